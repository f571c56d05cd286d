package cgroups

import (
	"fmt"
	"slices"

	"davit/cgroups/limits"
	"davit/cgroups/systemd"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The systemd driver: systemd makes a scope with the container's first process in it, and is told
// of the limits that it has properties for. Then davit writes all limits to the cgroup, too:
// exactly, and also those without a property.

// unit is the container's scope.
type unit struct {
	systemd.Scope
	started    bool   // the scope exists: after Start, or in a later verb
	unfinished bool   // Start was called, and Add has to finish what systemd leaves undone
	sub        string // the cgroup in the scope that is meant, with a leading slash; "" is the scope's own
	pending    bool   // Set was called before Add
}

// placeUnit decides on the scope and its directories by a CgroupsPath of the form
// slice:prefix:name.
func (m *Manager) placeUnit() error {
	o := &m.opts
	if !systemd.Running() {
		return &fault.Error{Text: "systemd is not the init system of this host (no /run/systemd/system)",
			Hint: "leave out option SystemdCgroup"}
	}
	extra, err := systemd.FromAnnotations(o.Annotations)
	if err != nil {
		return err
	}
	slice, name, err := systemd.UnitName(o.CgroupsPath, o.ID, o.Rootless)
	if err != nil {
		return err
	}
	inner, err := systemd.SlicePath(slice)
	if err != nil {
		return err
	}
	u := &unit{Scope: systemd.Scope{Name: name, Slice: slice, User: o.Rootless, Extra: extra}}
	m.unit = u
	m.state.Driver, m.state.Scope, m.state.Slice, m.state.User = Systemd, name, slice, u.User
	if u.User {
		if m.layout.mode != Unified {
			return &fault.Error{Text: "without root, systemd's driver needs cgroup v2", Hint: "leave out option SystemdCgroup"}
		}
		own, err := u.ControlGroup()
		if err != nil {
			return err
		}
		inner = own + inner
	}
	u.sub = o.sub()
	inner += "/" + name + u.sub
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

// Start starts the scope with the process pid in it, unless it exists already. The caller then
// calls Add. Once Start has succeeded, the scope belongs to the container.
func (m *Manager) Start(pid int) error {
	u := m.unit
	if u.started {
		return nil
	}
	if err := m.checkThawed(); err != nil {
		return err
	}
	if err := u.Start(m.opts.ID, pid, m.limited(m.writes, devicesOf(m.opts.Resources))); err != nil {
		return err
	}
	u.started, u.unfinished = true, true
	return nil
}

// checkThawed refuses a scope below a frozen cgroup, as its process would never start. It looks
// before the scope is made: afterwards the scope's own cgroup does not count as frozen until that
// process is.
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

// finishUnit does what systemd leaves undone: v1 hierarchies that it does not use, controllers that
// it does not know, the owner, and the limits that Set was given before.
func (m *Manager) finishUnit(pid int) error {
	if err := m.fillUnit(pid); err != nil || !m.unit.pending {
		return err
	}
	if _, exact := m.settle(m.writes); len(exact) > 0 {
		if err := m.unit.Set(m.limited(exact, nil)); err != nil {
			return err
		}
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
	if m.unit.sub != "" {
		if _, err := m.mkdir(m.state.Dirs[""], m.layout.v2, func(string) error { return nil }); err != nil {
			return err
		}
	}
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	if m.state.Mode == Hybrid || m.unit.sub != "" {
		if err := m.join(fd, m.state.Dirs[""], pid); err != nil {
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

// mayJoin reports whether processes can be cloned into the scope. For a user that is so only if
// davit itself runs below the user's manager.
func (m *Manager) mayJoin() bool {
	if m.unit == nil || !m.unit.User {
		return true
	}
	l, err := detect(true)
	return err == nil && l.v2 != "" && delegated(l.v2, m.state.Dirs[""], base(l.v2, l.own2), true)
}

// limited returns what systemd is told of the limits. A rootless container has no device rules.
func (m *Manager) limited(writes []limits.Write, devices []specs.LinuxDeviceCgroup) systemd.Limits {
	if m.state.Rootless {
		devices = nil
	}
	return systemd.Limits{Writes: writes, Devices: devices, DevicesOn: m.version("devices"), Has: func(w *limits.Write) bool {
		dir, err := m.open(w.Ctrl)
		if err != nil {
			return false
		}
		_, _, same := limits.Compare(dir, w)
		return same
	}}
}

// settle returns the writes with the choice between File and Alt made, which needs the cgroup to
// exist. exact has the writes to File: before, systemd was told of Alt.
func (m *Manager) settle(writes []limits.Write) (settled, exact []limits.Write) {
	settled = slices.Clone(writes)
	for i := range settled {
		w := &settled[i]
		if w.Alt == nil {
			continue
		}
		dir, err := m.open(w.Ctrl)
		if err != nil || unix.Faccessat(dir, w.File, unix.F_OK, 0) != nil {
			continue
		}
		w.Alt = nil
		exact = append(exact, *w)
	}
	return settled, exact
}

// stopUnit stops the scope, with which systemd removes its cgroups. A scope that has ended already
// is no error.
func (m *Manager) stopUnit() error {
	if frozen, _ := m.Frozen(); frozen {
		if err := m.Thaw(); err != nil {
			return err
		}
	}
	err := m.unit.Stop()
	if err == nil || unix.Access(m.leader(), unix.F_OK) != nil {
		return nil
	}
	return fmt.Errorf("stop systemd's unit %s: %w", m.unit.Name, err)
}

// HasSystemd says that the systemd driver is linked in, for `davit features`.
const HasSystemd = true
