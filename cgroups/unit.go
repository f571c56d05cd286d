package cgroups

import (
	"errors"
	"fmt"

	"davit/cgroups/systemd"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The systemd driver: systemd makes a scope with the container's first process in it, and knows the limits that
// it has properties for; then everything is written to the cgroup too, exactly and with what systemd has no
// property for.

// unit is a systemd scope.
type unit struct {
	name, slice string
	user        bool   // of the user's manager
	started     bool   // it exists: after Start, or in a later verb
	unfinished  bool   // Add is to follow Start
	sub         string // Manager.Sub: the sub-cgroup, with a leading slash
	pending     bool   // Set came before Add
	extra       []systemd.Property
	conn        *systemd.Conn
}

func (u *unit) close() {
	if u != nil {
		u.conn.Close()
		u.conn = nil
	}
}

func (u *unit) dial() (*systemd.Conn, error) {
	if u.conn == nil {
		c, err := systemd.Dial(u.user)
		if err != nil {
			return nil, &Error{What: "reach systemd", Err: err, Hint: dialHint(u.user)}
		}
		u.conn = c
	}
	return u.conn, nil
}

// placeUnit decides the unit and its directories from a cgroupsPath of the form slice:prefix:name.
func (m *Manager) placeUnit() error {
	o := &m.opts
	if !systemd.Running() {
		return &Error{What: "systemd is not the init system of this host (no /run/systemd/system)",
			Hint: "leave out --systemd-cgroup"}
	}
	extra, err := systemd.FromAnnotations(o.Annotations)
	if err != nil {
		return err
	}
	slice, name, err := unitName(o.CgroupsPath, o.ID, o.Rootless)
	if err != nil {
		return err
	}
	inner, err := expandSlice(slice)
	if err != nil {
		return err
	}
	u := &unit{name: name, slice: slice, user: o.Rootless, extra: extra}
	m.unit = u
	m.state.Driver, m.state.Scope, m.state.Slice, m.state.User = Systemd, name, slice, u.user
	if u.user {
		if m.layout.mode != Unified {
			return &Error{What: "without root, systemd's driver needs cgroup v2", Hint: "leave out --systemd-cgroup"}
		}
		c, err := u.dial()
		if err != nil {
			return err
		}
		own, err := c.ManagerProperty("ControlGroup")
		if err != nil {
			return fmt.Errorf("ask systemd for its ControlGroup: %w", err)
		}
		inner = own + inner
	}
	inner += "/" + name
	if m.layout.v2 != "" {
		m.state.Dirs[""] = m.layout.v2 + inner
	}
	for i := range m.layout.v1 {
		h := &m.layout.v1[i]
		for _, c := range h.controllers {
			m.state.Dirs[c] = h.dir + inner
		}
	}
	return nil
}

// Start starts the scope with pid in it, unless it exists; Add is to follow. From then on, the unit is the container's
// own.
func (m *Manager) Start(pid int) error {
	u := m.unit
	if u.started {
		return nil
	}
	if err := m.checkThawed(); err != nil {
		return err
	}
	c, err := u.dial()
	if err != nil {
		return err
	}
	version, err := c.Version()
	if err != nil {
		return fmt.Errorf("ask systemd for its version: %w", err)
	}
	if err := lost(m.writes, version, true); err != nil {
		return err
	}
	props := []systemd.Property{
		{Name: "Description", Value: "davit container " + m.opts.ID},
		{Name: "Slice", Value: u.slice},
		{Name: "Delegate", Value: true},
		{Name: "DefaultDependencies", Value: false}, // shutdown is the engine's to order
		{Name: "CollectMode", Value: "inactive-or-failed"},
		{Name: "PIDs", Value: []uint32{uint32(pid)}},
		{Name: "CPUAccounting", Value: true},
		{Name: "MemoryAccounting", Value: true},
		{Name: "IOAccounting", Value: true},
		{Name: "TasksAccounting", Value: true},
	}
	props = append(props, properties(m.writes, version, true)...)
	if r := m.opts.Resources; r != nil && !m.state.Rootless {
		list, err := m.deviceProperties(r.Devices)
		if err != nil {
			return err
		}
		props = append(props, list...)
	}
	props = append(props, u.extra...)
	if err := c.StartTransientUnit(u.name, props); err != nil {
		return &Error{Field: "linux.cgroupsPath", What: fmt.Sprintf("start systemd's unit %s in %s", u.name, u.slice), Err: err, Hint: startHint(err)}
	}
	u.started, u.unfinished = true, true
	return nil
}

// checkThawed refuses a scope whose process would never start, as an ancestor is frozen. It is asked before: the scope's
// cgroup is not frozen until that process is.
func (m *Manager) checkThawed() error {
	if dir := m.state.Dirs["freezer"]; dir != "" {
		if err := checkThawed1(dir); err != nil {
			return err
		}
	}
	if !m.has2() {
		return nil
	}
	return checkThawed2(m.state.Dirs[""], m.layout.v2)
}

// finishUnit does for the scope's cgroups what systemd leaves undone: v1 hierarchies it does not use, controllers it
// does not know, the owner, limits that Set was given before.
func (m *Manager) finishUnit(pid int) error {
	if err := m.fillUnit(pid); err != nil || !m.unit.pending {
		return err
	}
	return m.Set(m.opts.Resources)
}

func (m *Manager) fillUnit(pid int) error {
	for i := range m.dirs {
		g := &m.dirs[i]
		if _, err := m.mkdir(g.dir, mountOf(g.dir), g.initialise()); err != nil {
			return err
		}
	}
	if err := m.add1(pid); err != nil {
		return err
	}
	if !m.has2() {
		return nil
	}
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	if m.state.Mode == Hybrid {
		if err := join(fd, m.state.Dirs[""], pid); err != nil {
			return err
		}
	}
	if err := m.enable(fd); err != nil {
		return err
	}
	if err := m.bound(fd); err != nil {
		return err
	}
	if m.opts.Owner != 0 && m.state.Mode == Unified {
		return chown(fd, m.state.Dirs[""], m.opts.Owner)
	}
	return nil
}

// attach moves a process to the scope through systemd, for a user who may not do it.
func (m *Manager) attach(pid int, refused error) error {
	c, err := m.unit.dial()
	if err != nil {
		return errors.Join(refused, err)
	}
	if err := c.AttachProcess(m.unit.name, m.unit.sub, pid); err != nil {
		return &Error{Field: "linux.cgroupsPath", What: fmt.Sprintf("move process %d to systemd's unit %s", pid, m.unit.name), Err: err}
	}
	return nil
}

// mayJoin says whether processes can be cloned into the scope: a user may only if davit itself runs
// below the user's manager.
func (m *Manager) mayJoin() bool {
	if m.unit == nil || !m.unit.user {
		return true
	}
	l, err := detect(true)
	return err == nil && l.v2 != "" && delegated(l.v2, m.state.Dirs[""], base(l.v2, l.own2), true)
}

// setUnit tells systemd of limits that are about to be written, so that it does not undo them later.
func (m *Manager) setUnit(writes []write, devices []specs.LinuxDeviceCgroup) error {
	c, err := m.unit.dial()
	if err != nil {
		return err
	}
	version, err := c.Version()
	if err != nil {
		return fmt.Errorf("ask systemd for its version: %w", err)
	}
	if err := lost(writes, version, false); err != nil {
		return err
	}
	props := properties(writes, version, false)
	if !m.state.Rootless {
		list, err := m.deviceProperties(devices)
		if err != nil {
			return err
		}
		props = append(props, list...)
	}
	if len(props) == 0 {
		return nil
	}
	if err := c.SetUnitProperties(m.unit.name, props); err != nil {
		return &Error{Field: "linux.resources", What: "set properties of systemd's unit " + m.unit.name, Err: err}
	}
	return nil
}

// stopUnit stops the scope; its cgroups go with it. What systemd has collected already is fine.
func (m *Manager) stopUnit() error {
	if frozen, _ := m.Frozen(); frozen {
		if err := m.Thaw(); err != nil && !gone(err) {
			return err
		}
	}
	c, err := m.unit.dial()
	if err == nil {
		err = c.StopUnit(m.unit.name)
	}
	if err == nil || unix.Access(m.leader(), unix.F_OK) != nil {
		return nil
	}
	return fmt.Errorf("stop systemd's unit %s: %w", m.unit.name, err)
}

// HasSystemd says whether systemd's driver is linked in, for `davit features`.
const HasSystemd = true

// deviceProperties tells systemd of device rules, nil being none. Systemd knows a list of what is allowed; if the rules
// are more than that, on v2 it is told to allow everything, as davit's own program holds whatever systemd does; on
// v1, where it would open everything when it writes the cgroup again, it is told what can be said.
func (m *Manager) deviceProperties(list []specs.LinuxDeviceCgroup) ([]systemd.Property, error) {
	if list == nil {
		return nil, nil
	}
	v := m.version("devices")
	l, e := deviceListOf(list)
	if e != nil && v == 1 {
		return nil, e
	}
	policy := "auto"
	allow := []systemd.Pair{}
	if e == nil && !l.allow {
		if pairs, whole := deviceAllow(&l, procDevices); whole || v == 1 {
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
