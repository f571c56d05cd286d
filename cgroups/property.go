package cgroups

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"davit/cgroups/systemd"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// properties are what systemd (of that version) is told of the writes; what it has no property for is left
// out, since everything is written to the cgroup as well. A pure function. start: the unit is being started.
func properties(writes []write, version int, start bool) []systemd.Property {
	var p propertyList
	idle := false
	for i := range writes {
		idle = idle || writes[i].file == "cpu.idle" && writes[i].value == "1" && version >= 252
	}
	for i := range writes {
		w := &writes[i]
		switch w.file {
		case "cpu.idle":
			if idle {
				p.add("CPUWeight", uint64(0)) // systemd's word for idle
			}
		case "cpu.weight":
			if !idle {
				p.number("CPUWeight", w.value, w.file)
			}
		case "cpu.shares":
			p.number("CPUShares", w.value, w.file)
		case "cpu.max":
			if f := strings.Fields(w.value); len(f) > 0 {
				p.quota = f[0]
				if len(f) > 1 {
					p.period = f[1]
				}
			}
		case "cpu.cfs_quota_us":
			p.quota = w.value
		case "cpu.cfs_period_us":
			p.period = w.value
		case "cpuset.cpus", "cpuset.mems":
			if version >= 244 {
				p.set(w)
			}
		case "memory.oom.group":
			if start && version >= 253 { // only services have it before; it cannot be changed later
				p.add("OOMPolicy", map[bool]string{true: "kill", false: "continue"}[strings.TrimSpace(w.value) == "1"])
			}
		case "memory.zswap.writeback":
			if version >= 256 {
				p.add("MemoryZSwapWriteback", strings.TrimSpace(w.value) != "0")
			}
		case "memory.zswap.max":
			if version >= 253 {
				p.number("MemoryZSwapMax", w.value, w.file)
			}
		default:
			p.plain(w)
		}
	}
	p.bandwidth(version)
	return p.list
}

type propertyList struct {
	list          []systemd.Property
	quota, period string
}

func (p *propertyList) add(name string, v any) {
	p.list = append(p.list, systemd.Property{Name: name, Value: v})
}

// lost refuses what systemd would undo when it next writes the cgroup, at a daemon-reload for example: a file that it
// writes, with a value that no property says. start as in properties.
func lost(writes []write, version int, start bool) error {
	for i := range writes {
		w := &writes[i]
		switch {
		case w.file == "cpu.weight.nice":
			return refuse(w.field, "give cpu.weight in its place: nice 0 is 100", "systemd writes cpu.weight, and has no property for a nice value")
		case w.file == "memory.oom.group" && strings.TrimSpace(w.value) == "1" && start && version < 253:
			return refuse(w.field, "leave out --systemd-cgroup, or update systemd", "systemd %d has no OOMPolicy for scopes, which came with 253", version)
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
func (p *propertyList) plain(w *write) {
	switch w.file {
	case "memory.max":
		p.number("MemoryMax", w.value, w.file)
	case "memory.high":
		p.number("MemoryHigh", w.value, w.file)
	case "memory.low":
		p.number("MemoryLow", w.value, w.file)
	case "memory.min":
		p.number("MemoryMin", w.value, w.file)
	case "memory.swap.max":
		p.number("MemorySwapMax", w.value, w.file)
	case "memory.limit_in_bytes":
		p.number("MemoryLimit", w.value, w.file)
	case "pids.max":
		p.number("TasksMax", w.value, w.file)
	case "blkio.weight":
		p.number("BlockIOWeight", w.value, w.file)
	case "io.weight":
		if w.flags&keyed == 0 {
			p.number("IOWeight", strings.TrimPrefix(w.value, "default "), w.file)
		}
	case "io.bfq.weight":
		if w.alt != nil {
			p.plain(w.alt)
		}
	}
}

// set converts a list of CPUs or nodes to bits, the lowest in the first byte.
func (p *propertyList) set(w *write) {
	var bits []byte
	for _, n := range parseList(w.value) {
		for int(n)/8 >= len(bits) {
			bits = append(bits, 0)
		}
		bits[n/8] |= 1 << (n % 8)
	}
	if w.file == "cpuset.cpus" {
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
func deviceProperties(list []specs.LinuxDeviceCgroup, on int) ([]systemd.Property, error) {
	if list == nil {
		return nil, nil
	}
	l, e := deviceListOf(list)
	if e != nil && on == 1 {
		return nil, e
	}
	policy := "auto"
	allow := []systemd.Pair{}
	if e == nil && !l.allow {
		if pairs, whole := deviceAllow(&l, procDevices); whole || on == 1 {
			policy, allow = "strict", pairs
		}
	}
	// Systemd wants a daemon-reload if the policy comes first (systemd #35710). An empty list
	// forgets what was allowed before.
	props := []systemd.Property{{Name: "DeviceAllow", Value: []systemd.Pair{}}}
	if len(allow) > 0 {
		props = append(props, systemd.Property{Name: "DeviceAllow", Value: allow})
	}
	return append(props, systemd.Property{Name: "DevicePolicy", Value: policy}), nil
}

// deviceAllow says what a list allows in DeviceAllow's terms, each node once, as the last one counts; and
// whether that is all of it. names maps the kind and number of a driver to its name.
func deviceAllow(l *deviceList, names func(kind byte, major int64) string) (allow []systemd.Pair, whole bool) {
	allow, whole = []systemd.Pair{}, true
	access := []byte{} // of allow's entries
	for i := range l.exceptions {
		r := &l.exceptions[i]
		word := map[byte]string{'b': "block", 'c': "char"}[r.kind]
		node := ""
		switch {
		case r.major != anyDevice && r.minor != anyDevice:
			node = "/dev/" + word + "/" + r.number()
		case r.major != anyDevice:
			if name := names(r.kind, r.major); name != "" {
				node = word + "-" + name
			}
		case r.minor == anyDevice:
			node = word + "-*"
		}
		if node == "" {
			whole = false
			continue
		}
		// Drivers may share a name.
		if at := slices.IndexFunc(allow, func(p systemd.Pair) bool { return p[0] == node }); at >= 0 {
			access[at] |= r.access
			allow[at][1] = accessString(access[at])
			continue
		}
		allow, access = append(allow, systemd.Pair{node, accessString(r.access)}), append(access, r.access)
	}
	return allow, whole
}

// procDevices looks a driver's name up in /proc/devices.
func procDevices(kind byte, major int64) string {
	text, err := readString(unix.AT_FDCWD, "/proc/devices")
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
