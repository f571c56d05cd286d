package foreign

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"davit/cgroups/limits"
	"davit/internal/config/specjson"
	"davit/internal/jsonx"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Limits returns the text of LimitsFile with the limits now instead of old. Everything else in the
// text stays, so that the runtime that made the container can still use it. It returns an error
// with the name of a limit that the file cannot contain.
func (c *container) Limits(old, now *specs.LinuxResources) ([]byte, error) {
	var path []string
	var set []property
	if c.maker == "runc" {
		var err error
		if set, err = runcLimits(old, now); err != nil {
			return nil, err
		}
		path = []string{"config", "cgroups"}
	} else {
		var e jsonx.Encoder
		specjson.EncodeLinuxResources(&e, now)
		path, set = []string{"linux"}, []property{{"resources", jsonx.Raw(e.Bytes())}}
	}
	text, err := c.read(c.LimitsFile())
	if err != nil {
		return nil, err
	}
	d := jsonx.NewDecoder(c.LimitsFile(), text)
	var e jsonx.Encoder
	rebuild(&e, &d, path, set)
	if err := d.End(); err != nil {
		return nil, err
	}
	return e.Bytes(), nil
}

// LimitsFile is the name of the file in the state directory that has the container's limits.
func (c *container) LimitsFile() string {
	if c.maker == "runc" {
		return runcFile
	}
	return store.ConfigFile
}

// property is one property of an object, as JSON text.
type property struct {
	name  string
	value jsonx.Raw
}

// rebuild writes the object that d reads. In the object that path leads to, it sets the given
// properties. It adds objects that are missing on the way.
func rebuild(e *jsonx.Encoder, d *jsonx.Decoder, path []string, set []property) {
	found := len(path) == 0
	e.Object()
	object(d, func() {
		name := d.Key()
		if len(path) > 0 && name == path[0] {
			found = true
			e.Key(name)
			rebuild(e, d, path[1:], set)
			return
		}
		value := d.Raw()
		if len(path) > 0 || !slices.ContainsFunc(set, func(p property) bool { return p.name == name }) {
			e.Key(name)
			e.Raw(value)
		}
	})
	if !found {
		empty := jsonx.NewDecoder("", []byte("{}"))
		e.Key(path[0])
		rebuild(e, &empty, path[1:], set)
	}
	if len(path) == 0 {
		for _, p := range set {
			e.Key(p.name)
			e.Raw(p.value)
		}
	}
	e.EndObject()
}

// runcLimits returns the limits in the form of runc's state (type Resources of its package
// cgroups).
func runcLimits(old, now *specs.LinuxResources) ([]property, error) {
	if field := notInRunc(old, now); field != "" {
		return nil, fmt.Errorf("%s: %w: runc's state.json is not changed in that", field, errors.ErrUnsupported)
	}
	var set []property
	number := func(name string, p *int64) {
		if p != nil {
			set = append(set, property{name, jsonx.Raw(fmt.Sprint(*p))})
		}
	}
	count := func(name string, p *uint64) {
		if p != nil {
			set = append(set, property{name, jsonx.Raw(fmt.Sprint(*p))})
		}
	}
	text := func(name, s string) {
		if s != "" {
			var e jsonx.Encoder
			e.String(s)
			set = append(set, property{name, jsonx.Raw(e.Bytes())})
		}
	}
	if m := now.Memory; m != nil {
		number("memory", m.Limit)
		number("memory_reservation", m.Reservation)
		number("memory_swap", m.Swap)
		count("memory_swappiness", m.Swappiness)
	}
	if p := now.CPU; p != nil {
		count("cpu_shares", p.Shares)
		if p.Shares != nil { // runc writes this one on cgroup v2
			set = append(set, property{"cpu_weight", jsonx.Raw(fmt.Sprint(limits.Weight(*p.Shares)))})
		}
		number("cpu_quota", p.Quota)
		count("cpu_burst", p.Burst)
		count("cpu_period", p.Period)
		number("cpu_rt_quota", p.RealtimeRuntime)
		count("cpu_rt_period", p.RealtimePeriod)
		text("cpuset_cpus", p.Cpus)
		text("cpuset_mems", p.Mems)
		number("cpu_idle", p.Idle)
	}
	if now.Pids != nil {
		number("pids_limit", now.Pids.Limit)
	}
	if b := now.BlockIO; b != nil && b.Weight != nil {
		set = append(set, property{"blkio_weight", jsonx.Raw(fmt.Sprint(*b.Weight))})
	}
	if len(now.Unified) > 0 {
		var e jsonx.Encoder
		e.StringMap(now.Unified)
		set = append(set, property{"unified", jsonx.Raw(e.Bytes())})
	}
	return set, nil
}

// notInRunc returns a field that differs and that runcLimits does not write, "" if there is none.
func notInRunc(old, now *specs.LinuxResources) string {
	rest := func(r *specs.LinuxResources) (io specs.LinuxBlockIO) {
		if r.BlockIO != nil {
			io = *r.BlockIO
			io.Weight = nil
		}
		return io
	}
	differs := func(a, b any, n, m int) bool { return n+m > 0 && !reflect.DeepEqual(a, b) }
	switch {
	case differs(old.Devices, now.Devices, len(old.Devices), len(now.Devices)):
		return "linux.resources.devices"
	case differs(old.HugepageLimits, now.HugepageLimits, len(old.HugepageLimits), len(now.HugepageLimits)):
		return "linux.resources.hugepageLimits"
	case differs(old.Rdma, now.Rdma, len(old.Rdma), len(now.Rdma)):
		return "linux.resources.rdma"
	case now.Network != nil && !reflect.DeepEqual(old.Network, now.Network):
		return "linux.resources.network"
	case now.BlockIO != nil && !reflect.DeepEqual(rest(old), rest(now)):
		return "linux.resources.blockIO"
	}
	return ""
}

// limit reads a limit from runc's state, and reports whether it is set: 0 means "not set" there.
func (g *runcCgroup) limit(d *jsonx.Decoder) bool {
	m, p := &g.memory, &g.cpu
	switch d.Key() {
	case "memory":
		m.Limit = signed(d)
	case "memory_reservation":
		m.Reservation = signed(d)
	case "memory_swap":
		m.Swap = signed(d)
	case "cpu_shares":
		p.Shares = unsigned(d)
	case "cpu_quota":
		p.Quota = signed(d)
	case "cpu_burst":
		p.Burst = unsigned(d)
	case "cpu_period":
		p.Period = unsigned(d)
	case "cpu_rt_quota":
		p.RealtimeRuntime = signed(d)
	case "cpu_rt_period":
		p.RealtimePeriod = unsigned(d)
	case "cpuset_cpus":
		p.Cpus = d.String()
	case "cpuset_mems":
		p.Mems = d.String()
	case "pids_limit":
		g.pids.Limit = signed(d)
	case "unified":
		g.unified = d.StringMap()
	default:
		return false
	}
	return true
}

func signed(d *jsonx.Decoder) *int64 {
	if n := d.Int(64); n != 0 {
		return &n
	}
	return nil
}

func unsigned(d *jsonx.Decoder) *uint64 {
	if n := d.Uint(64); n != 0 {
		return &n
	}
	return nil
}

// resources replaces the limits of the bundle's config by those of runc's state.
func (g *runcCgroup) resources(old *specs.LinuxResources) *specs.LinuxResources {
	change := &specs.LinuxResources{Memory: &g.memory, CPU: &g.cpu, Unified: g.unified}
	if g.pids.Limit != nil {
		change.Pids = &g.pids
	}
	return limits.Merge(old, change)
}
