package systemd

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"davit/cgroups/devices"
	"davit/cgroups/failure"
	"davit/cgroups/fs"
	"davit/cgroups/limits"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// properties are what systemd (of that version) is told of the writes; what it has no property for is left
// out, since everything is written to the cgroup as well. A pure function. start: the unit is being started.
func properties(writes []limits.Write, version int, start bool) []Property {
	var p propertyList
	idle := false
	for i := range writes {
		idle = idle || writes[i].File == "cpu.idle" && writes[i].Value == "1" && version >= 252
	}
	for i := range writes {
		w := &writes[i]
		switch w.File {
		case "cpu.idle":
			if idle {
				p.add("CPUWeight", uint64(0)) // systemd's word for idle
			}
		case "cpu.weight":
			if !idle {
				p.number("CPUWeight", w.Value, w.File)
			}
		case "cpu.max":
			if f := strings.Fields(w.Value); len(f) > 0 {
				p.quota = f[0]
				if len(f) > 1 {
					p.period = f[1]
				}
			}
		case "cpuset.cpus", "cpuset.mems":
			if version >= 244 {
				p.set(w)
			}
		case "memory.oom.group":
			if start && version >= 253 { // only services have it before; it cannot be changed later
				p.add("OOMPolicy", map[bool]string{true: "kill", false: "continue"}[strings.TrimSpace(w.Value) == "1"])
			}
		case "memory.zswap.writeback":
			if version >= 256 {
				p.add("MemoryZSwapWriteback", strings.TrimSpace(w.Value) != "0")
			}
		case "memory.zswap.max":
			if version >= 253 {
				p.number("MemoryZSwapMax", w.Value, w.File)
			}
		default:
			p.plain(w)
		}
	}
	p.bandwidth(version)
	return p.list
}

type propertyList struct {
	list          []Property
	quota, period string
}

func (p *propertyList) add(name string, v any) {
	p.list = append(p.list, Property{Name: name, Value: v})
}

// lost refuses what systemd would undo when it next writes the cgroup, at a daemon-reload for example: a file that it
// writes, with a value that no property says. start as in properties.
func lost(writes []limits.Write, version int, start bool) error {
	for i := range writes {
		w := &writes[i]
		switch {
		case w.File == "cpu.weight.nice":
			return failure.Refuse(w.Field, "give cpu.weight in its place: nice 0 is 100", "systemd writes cpu.weight, and has no property for a nice value")
		case w.File == "memory.oom.group" && strings.TrimSpace(w.Value) == "1" && start && version < 253:
			return failure.Refuse(w.Field, "leave out --systemd-cgroup, or update systemd", "systemd %d has no OOMPolicy for scopes, which came with 253", version)
		}
	}
	return nil
}

// kernelNumber reads a number as the kernel does in a file of that name: decimal, octal after 0, hexadecimal after 0x, and
// of bytes with one letter for a unit (memparse in the kernel's lib/cmdline.c).
func kernelNumber(file, text string) (uint64, bool) {
	shift := 0
	if n := len(text); n > 0 && strings.HasPrefix(file, "memory.") {
		if i := strings.IndexByte("KMGTPE", text[n-1]&^0x20); i >= 0 && !(strings.HasPrefix(text, "0x") && i == 5) {
			shift, text = 10*(i+1), text[:n-1]
		}
	}
	base := 10
	switch {
	case strings.HasPrefix(text, "0x"), strings.HasPrefix(text, "0X"):
		base, text = 16, text[2:]
	case len(text) > 1 && text[0] == '0':
		base, text = 8, text[1:]
	}
	n, err := strconv.ParseUint(text, base, 64)
	return n << shift, err == nil && n <= math.MaxUint64>>shift
}

// number adds a number; none at all (max, -1) is systemd's infinity. What is no number the cgroup's file will refuse.
func (p *propertyList) number(name, value, file string) {
	value = strings.TrimSpace(value)
	if value == "max" || strings.HasPrefix(value, "-") {
		p.add(name, uint64(math.MaxUint64))
	} else if n, ok := kernelNumber(file, value); ok {
		p.add(name, n)
	}
}

// plain are the files whose property has the same number.
func (p *propertyList) plain(w *limits.Write) {
	switch w.File {
	case "memory.max":
		p.number("MemoryMax", w.Value, w.File)
	case "memory.high":
		p.number("MemoryHigh", w.Value, w.File)
	case "memory.low":
		p.number("MemoryLow", w.Value, w.File)
	case "memory.min":
		p.number("MemoryMin", w.Value, w.File)
	case "memory.swap.max":
		p.number("MemorySwapMax", w.Value, w.File)
	case "pids.max":
		p.number("TasksMax", w.Value, w.File)
	case "io.weight":
		if w.Flags&limits.Keyed == 0 {
			p.number("IOWeight", strings.TrimPrefix(w.Value, "default "), w.File)
		}
	case "io.bfq.weight":
		if w.Alt != nil {
			p.plain(w.Alt)
		}
	default:
		p.plain1(w)
	}
}

// set converts a list of CPUs or nodes to bits, the lowest in the first byte.
func (p *propertyList) set(w *limits.Write) {
	var bits []byte
	for _, n := range fs.ParseList(w.Value) {
		for int(n)/8 >= len(bits) {
			bits = append(bits, 0)
		}
		bits[n/8] |= 1 << (n % 8)
	}
	if w.File == "cpuset.cpus" {
		p.add("AllowedCPUs", bits)
	} else {
		p.add("AllowedMemoryNodes", bits)
	}
}

// bandwidth converts the quota per period to one per second, in whole percents of a CPU, rounded up: systemd keeps
// no finer ones, and a lower one than the container's would keep its own sub-cgroups from having what it has.
func (p *propertyList) bandwidth(version int) {
	if p.quota == "" && p.period == "" {
		return
	}
	period := uint64(100000) // the kernel's default
	if n, err := strconv.ParseUint(p.period, 10, 64); err == nil && n > 0 {
		period = n
		if version >= 242 {
			p.add("CPUQuotaPeriodUSec", period)
		}
	}
	const percent = 10000 // µs per second
	perSecond := uint64(math.MaxUint64)
	if n, err := strconv.ParseUint(p.quota, 10, 64); err == nil && n > 0 && n < math.MaxUint64/1000000 {
		perSecond = (n*1000000/period + percent - 1) / percent * percent
	}
	p.add("CPUQuotaPerSecUSec", perSecond)
}

// deviceProperties tells systemd of device rules, nil being none. Systemd knows a list of what is allowed; if the rules
// are more than that, on v2 it is told to allow everything, as davit's own program holds whatever systemd does; on
// v1, where it would open everything when it writes the cgroup again, it is told what can be said.
func deviceProperties(list []specs.LinuxDeviceCgroup, on int) ([]Property, error) {
	if list == nil {
		return nil, nil
	}
	l, e := devices.ListOf(list)
	if e != nil && on == 1 {
		return nil, e
	}
	policy := "auto"
	allow := []Pair{}
	if e == nil && !l.Allow {
		if pairs, whole := deviceAllow(&l, procDevices); whole || on == 1 {
			policy, allow = "strict", pairs
		}
	}
	// Systemd wants a daemon-reload if the policy comes first (systemd #35710). An empty list
	// forgets what was allowed before.
	props := []Property{{Name: "DeviceAllow", Value: []Pair{}}}
	if len(allow) > 0 {
		props = append(props, Property{Name: "DeviceAllow", Value: allow})
	}
	return append(props, Property{Name: "DevicePolicy", Value: policy}), nil
}

// deviceAllow says what a list allows in DeviceAllow's terms, each node once, as the last one counts; and
// whether that is all of it. names maps the kind and number of a driver to its name.
func deviceAllow(l *devices.List, names func(kind byte, major int64) string) (allow []Pair, whole bool) {
	allow, whole = []Pair{}, true
	access := []byte{} // of allow's entries
	for i := range l.Exceptions {
		r := &l.Exceptions[i]
		word := map[byte]string{'b': "block", 'c': "char"}[r.Kind]
		node := ""
		switch {
		case r.Major != devices.Any && r.Minor != devices.Any:
			node = "/dev/" + word + "/" + r.Number()
		case r.Major != devices.Any:
			if name := names(r.Kind, r.Major); name != "" {
				node = word + "-" + name
			}
		case r.Minor == devices.Any:
			node = word + "-*"
		}
		if node == "" {
			whole = false
			continue
		}
		// Drivers may share a name.
		if at := slices.IndexFunc(allow, func(p Pair) bool { return p[0] == node }); at >= 0 {
			access[at] |= r.Access
			allow[at][1] = devices.AccessString(access[at])
			continue
		}
		allow, access = append(allow, Pair{node, devices.AccessString(r.Access)}), append(access, r.Access)
	}
	return allow, whole
}

// procDevices looks a driver's name up in /proc/devices.
func procDevices(kind byte, major int64) string {
	text, err := fs.ReadString(unix.AT_FDCWD, "/proc/devices")
	if err != nil {
		return ""
	}
	char, block, _ := strings.Cut(text, "Block devices:")
	if kind == 'b' {
		char = block
	}
	for line := range strings.Lines(char) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == strconv.FormatInt(major, 10) {
			return f[1]
		}
	}
	return ""
}
