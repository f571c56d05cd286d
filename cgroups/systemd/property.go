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

// properties returns what systemd of that version is told of the writes. It decides by its
// arguments alone. A file for which systemd has no property is left out: systemd does not write it,
// and davit writes all files itself. start says that the scope is being started: some properties
// cannot be set later.
func properties(writes []limits.Write, version int, start bool) []Property {
	var p propertyList
	p.weight(writes, version)
	for i := range writes {
		w := &writes[i]
		switch w.File {
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
			if start && version >= 253 { // before 253 only services have the property, and no running scope can change it
				p.add("OOMPolicy", map[bool]string{true: "kill", false: "continue"}[isTrue(w)])
			}
		case "memory.zswap.writeback":
			if version >= 256 {
				p.add("MemoryZSwapWriteback", isTrue(w))
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

// weight adds CPUWeight. Since systemd 252 its value 0 makes a cgroup idle. An idle cgroup has no
// other weight. When it stops being idle, the kernel gives it the default weight, 100.
func (p *propertyList) weight(writes []limits.Write, version int) {
	idle, weight := (*limits.Write)(nil), (*limits.Write)(nil)
	for i := range writes {
		switch w := &writes[i]; w.File {
		case "cpu.idle":
			idle = w
		case "cpu.weight":
			weight = w
		}
	}
	switch {
	case idle != nil && isTrue(idle):
		if version >= 252 {
			p.add("CPUWeight", uint64(0))
		}
	case weight != nil:
		p.number("CPUWeight", weight.Value, weight.File)
	case idle != nil && version >= 252:
		p.add("CPUWeight", uint64(100))
	}
}

// isTrue reports whether the value of a file that takes 0 or 1 is 1.
func isTrue(w *limits.Write) bool {
	n, ok := kernelNumber(w.File, strings.TrimSpace(w.Value))
	return ok && n != 0
}

type propertyList struct {
	list          []Property
	quota, period string
}

func (p *propertyList) add(name string, v any) {
	p.list = append(p.list, Property{Name: name, Value: v})
}

// lost refuses writes that systemd would undo when it next writes the cgroup, at a daemon-reload
// for example: to files that systemd writes, too, with values that no property can express. start
// is as in properties. set reports whether the cgroup already has the value of a write: then
// systemd knows it, or has it as its default.
func lost(writes []limits.Write, version int, start bool, set func(*limits.Write) bool) error {
	for i := range writes {
		w := &writes[i]
		switch w.File {
		case "cpu.weight.nice":
			return failure.Refuse(w.Field, "give cpu.weight in its place: nice 0 is 100", "systemd writes cpu.weight, and has no property for a nice value")
		case "memory.oom.group":
			if start && version < 253 && isTrue(w) {
				return failure.Refuse(w.Field, "leave out option SystemdCgroup, or update systemd", "systemd %d has no OOMPolicy for scopes, which came with 253", version)
			}
			if !start && !set(w) {
				return failure.Refuse(w.Field, "set it when the container is created", "systemd writes memory.oom.group, and changes OOMPolicy of no scope that runs")
			}
		case "cpuset.cpus", "cpuset.mems":
			if _, ok := bitsOf(w.Value); !ok && version >= 244 {
				return failure.Refuse(w.Field, "give numbers and ranges, as in 0-3,8", "systemd writes %s, and cannot be told of %q", w.File, w.Value)
			}
		}
	}
	return nil
}

// kernelNumber reads a number as the kernel does in a file of that name: decimal, octal after 0,
// hexadecimal after 0x. A number of bytes may end with a unit, K to E (memparse in the kernel's
// lib/cmdline.c).
func kernelNumber(file, text string) (uint64, bool) {
	shift := 0
	if n := len(text); n > 0 && strings.HasPrefix(file, "memory.") {
		hexadecimal := strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X") // where e is a digit
		if i := strings.IndexByte("KMGTPE", text[n-1]&^0x20); i >= 0 && !(hexadecimal && i == 5) {
			shift, text = 10*(i+1), text[:n-1]
		}
	} else {
		text = strings.TrimPrefix(text, "+") // as kstrtoull in the kernel's lib/kstrtox.c
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

// number adds a property that is a number. "max" and negative numbers mean no limit, for which
// systemd has the largest uint64. It adds nothing for a value that is no number: the kernel will
// refuse to write it.
func (p *propertyList) number(name, value, file string) {
	value = strings.TrimSpace(value)
	if value == "max" || strings.HasPrefix(value, "-") {
		p.add(name, uint64(math.MaxUint64))
	} else if n, ok := kernelNumber(file, value); ok {
		p.add(name, n)
	}
}

// plain adds the property of a file that has the same number.
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
		if w.Alt != nil { // davit does not know yet which of the two files the cgroup will have
			p.plain(w.Alt)
		} else if n, ok := kernelNumber(w.File, strings.TrimSpace(strings.TrimPrefix(w.Value, "default "))); ok {
			p.add("IOWeight", bfqWeight(n))
		}
	default:
		p.plain1(w)
	}
}

// set adds a list of CPUs or memory nodes. lost has refused what bitsOf cannot read.
func (p *propertyList) set(w *limits.Write) {
	bits, ok := bitsOf(w.Value)
	switch {
	case !ok:
	case w.File == "cpuset.cpus":
		p.add("AllowedCPUs", bits)
	default:
		p.add("AllowedMemoryNodes", bits)
	}
}

// bfqWeight returns the IOWeight (1 to 10000) that systemd converts to the io.bfq.weight w (1 to
// 1000). The default of both is 100; what is above it systemd divides by 11 (BFQ_WEIGHT in its
// src/basic/cgroup-util.h).
func bfqWeight(w uint64) uint64 {
	if w <= 100 {
		return w
	}
	return 100 + (w-100)*11
}

// bitsOf converts a list of CPUs or memory nodes to a bit mask with the lowest bits in the first
// byte, as systemd takes it. The kernel's lists are numbers and ranges with commas or blanks
// between them. Of a range A-B:USED/GROUP, the first USED of every GROUP count (bitmap_parselist in
// the kernel's lib/bitmap-str.c). ok is false for anything else, and for the words "all" and "N",
// whose meaning depends on the host.
func bitsOf(list string) (bits []byte, ok bool) {
	for _, part := range strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' }) {
		span, pattern, grouped := strings.Cut(part, ":")
		from, to, ranged := strings.Cut(span, "-")
		if !ranged {
			to = from
		}
		used, group := "1", "1"
		if grouped {
			var both bool
			if used, group, both = strings.Cut(pattern, "/"); !both || !ranged {
				return nil, false
			}
		}
		var n [4]uint64
		for i, text := range [...]string{from, to, used, group} {
			var err error
			if n[i], err = strconv.ParseUint(text, 10, 16); err != nil {
				return nil, false
			}
		}
		if n[0] > n[1] || n[2] == 0 || n[2] > n[3] {
			return nil, false
		}
		for at := n[0]; at <= n[1]; at++ {
			if (at-n[0])%n[3] >= n[2] {
				continue
			}
			for at/8 >= uint64(len(bits)) {
				bits = append(bits, 0)
			}
			bits[at/8] |= 1 << (at % 8)
		}
	}
	return bits, true
}

// bandwidth converts the quota for a period to one for a second, in microseconds. It rounds up to
// whole per cent of a CPU, since systemd keeps nothing finer. Rounding down would give the
// container less than its config says.
func (p *propertyList) bandwidth(version int) {
	if p.quota == "" && p.period == "" {
		return
	}
	period := uint64(100000) // µs, the kernel's default
	if n, err := strconv.ParseUint(p.period, 10, 64); err == nil && n > 0 {
		period = n
		if version >= 242 {
			p.add("CPUQuotaPeriodUSec", period)
		}
	}
	const percent = 10000 // of a CPU, in µs per second
	perSecond := uint64(math.MaxUint64)
	if n, err := strconv.ParseUint(p.quota, 10, 64); err == nil && n > 0 && n < math.MaxUint64/1000000 {
		perSecond = (n*1000000/period + percent - 1) / percent * percent
	}
	p.add("CPUQuotaPerSecUSec", perSecond)
}

// deviceProperties returns the properties for device rules, none for a nil list. Systemd only knows
// a list of what is allowed. If the rules cannot be expressed like that, on v2 systemd is told to
// allow everything: davit's own program restricts the devices, whatever systemd does. On v1 systemd
// would then allow everything when it next writes the cgroup, so it is told the part that can be
// expressed.
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
	// If the policy comes first, systemd says that the unit needs a daemon-reload (systemd issue
	// 35710). An empty list makes it forget what was allowed before.
	props := []Property{{Name: "DeviceAllow", Value: []Pair{}}}
	if len(allow) > 0 {
		props = append(props, Property{Name: "DeviceAllow", Value: allow})
	}
	return append(props, Property{Name: "DevicePolicy", Value: policy}), nil
}

// deviceAllow converts what a list allows to DeviceAllow's entries, with one entry for each node:
// of several, systemd takes the last. whole is false if a part of the list cannot be expressed.
// names returns the name of the driver with a kind and major number.
func deviceAllow(l *devices.List, names func(kind byte, major int64) string) (allow []Pair, whole bool) {
	allow, whole = []Pair{}, true
	access := []byte{} // the access of allow's entries
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
		// Several drivers may have the same name.
		if at := slices.IndexFunc(allow, func(p Pair) bool { return p[0] == node }); at >= 0 {
			access[at] |= r.Access
			allow[at][1] = devices.AccessString(access[at])
			continue
		}
		allow, access = append(allow, Pair{node, devices.AccessString(r.Access)}), append(access, r.Access)
	}
	return allow, whole
}

// procDevices returns a driver's name from /proc/devices, "" if it is not there.
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
