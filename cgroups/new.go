package cgroups

import (
	"fmt"
	"path"
	"strings"

	"davit/cgroups/limits"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// New decides where the container's cgroups go, and whether this host can honour its resources. It
// changes nothing.
//
// An absolute CgroupsPath starts at the root of each hierarchy. A relative one starts, as with
// runc, at davit's own cgroup on v1, and at the parent of davit's own cgroup on v2: davit's own has
// processes, so it cannot enable controllers for its children. An empty path stands for the
// container's ID, as a relative path. With the systemd driver the path has the form
// slice:prefix:name.
//
// Without privileges, a hierarchy is used if the user may make cgroups in it and move processes to
// them. If there is none, the container has no cgroup; that is an error only if the config asks for
// something that needs one.
//
// The error is a *fault.Error or a fault.List, each with the field of config.json and a hint, if
// the config asks for something impossible.
func New(o Options) (*Manager, error) {
	if o.Disabled {
		return without(o)
	}
	m := &Manager{opts: o, v2: -1}
	m.state = State{Driver: Cgroupfs, Rootless: o.Rootless}
	relative := !strings.HasPrefix(o.CgroupsPath, "/")
	l, err := detect(relative && !o.Systemd || o.Rootless)
	if err == errNoCgroups && o.Rootless {
		l = &layout{}
	} else if err != nil {
		return nil, err
	}
	m.layout, m.state.Mode = l, l.mode
	if err := m.checkBelow(); err != nil {
		return nil, err
	}
	if err := m.place(); err != nil {
		m.Close()
		return nil, err
	}
	if o.Rootless && !o.Systemd {
		if err := m.keepWritable(); err != nil {
			m.Close()
			return nil, err
		}
	}
	m.group()
	if m.writes, err = m.plan(o.Resources); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// without returns the manager of a container that is to have no cgroup.
func without(o Options) (*Manager, error) {
	if o.CgroupsPath != "" {
		return nil, &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("%q, but cgroups are disabled", o.CgroupsPath),
			Hint: "remove the field, or option NoCgroup"}
	}
	m := &Manager{opts: o, v2: -1, layout: &layout{}}
	m.state = State{Driver: Cgroupfs, Rootless: true}
	var err error
	m.writes, err = m.plan(o.Resources)
	return m, err
}

// checkBelow refuses what only a unified host has, and adds the hierarchy that Options.SystemdV1
// asks for.
func (m *Manager) checkBelow() error {
	o, l := &m.opts, m.layout
	if o.Delegate != "" && l.mode != Unified {
		return &fault.Error{Text: "a delegated cgroup needs a host with cgroup v2 alone", Hint: "remove the annotation run.oci.delegate-cgroup"}
	}
	if o.Subgroup != "" && o.Systemd && l.mode != Unified {
		return &fault.Error{Text: "a cgroup in the scope needs a host with cgroup v2 alone", Hint: "remove the annotation run.oci.systemd.subgroup"}
	}
	if !o.SystemdV1 || l.on1("name=systemd") != nil {
		return nil
	}
	if err := l.addSystemd(); err != nil {
		return &fault.Error{Text: "cgroup v1's hierarchy name=systemd", Err: err,
			Hint: "mount it on the host: mount -t cgroup -o none,name=systemd,xattr cgroup " + root + "/systemd"}
	}
	return nil
}

// place fills State.Dirs from Options.CgroupsPath.
func (m *Manager) place() error {
	l, o := m.layout, &m.opts
	m.state.Dirs = make(map[string]string, len(l.v1)+2)
	if o.Systemd {
		return m.placeUnit()
	}
	p := o.CgroupsPath
	if p == "" {
		p = o.ID
	}
	relative := !strings.HasPrefix(p, "/")
	p = path.Clean("/" + p)
	if p == "/" {
		return &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("%q is the root cgroup", o.CgroupsPath),
			Hint: "name a cgroup below it, as in /davit/web"}
	}
	own := func(mount, own string) string {
		if !relative {
			return mount + p
		}
		return base(mount, own) + p
	}
	if l.v2 != "" {
		m.state.Dirs[""] = own(l.v2, path.Dir(l.own2))
	}
	for i := range l.v1 {
		dir := own(l.v1[i].dir, l.v1[i].own)
		for _, c := range l.v1[i].controllers {
			m.state.Dirs[c] = dir
		}
	}
	return nil
}

// base returns the directory of davit's own cgroup. If the mount shows a part of the hierarchy that
// does not contain it, as in a container without a cgroup namespace, that is the mount point.
func base(mount, own string) string {
	if own == "/" || own == "." || strings.HasPrefix(own, "/..") {
		return mount
	}
	if unix.Access(mount+own, unix.F_OK) != nil {
		return mount
	}
	return mount + own
}

// plan returns the writes that r asks for, and checks what is no write. If the container has no
// cgroup at all, the errors say why.
func (m *Manager) plan(r *specs.LinuxResources) ([]limits.Write, error) {
	if r != nil && len(m.state.Dirs) > 0 { // before the controller is looked for: it could not help
		if err := limits.CheckPageSizes(r.HugepageLimits); err != nil {
			return nil, err
		}
	}
	writes, err := limits.Plan(r, m.version)
	if len(m.state.Dirs) == 0 {
		fault.Each(err, func(e *fault.Error) {
			e.Text = "no cgroup is delegated to this user"
			e.Hint = "run below a systemd user session with option SystemdCgroup, or remove the field"
			if m.opts.Disabled {
				e.Text, e.Hint = "cgroups are disabled", "remove the field, or option NoCgroup"
			}
		})
	}
	if err == nil && r != nil {
		err = m.checkDevices(r.Devices)
	}
	return writes, err
}

// keepWritable removes from State.Dirs the hierarchies in which this user cannot make the cgroup,
// or cannot move a process to it.
func (m *Manager) keepWritable() error {
	l := m.layout
	for name, dir := range m.state.Dirs {
		mount, own := l.v2, l.own2
		if name != "" {
			h := l.on1(name)
			mount, own = h.dir, h.own
		}
		if !delegated(mount, dir, base(mount, own), name == "") {
			delete(m.state.Dirs, name)
		}
	}
	if len(m.state.Dirs) > 0 {
		return nil
	}
	m.state.Mode = ""
	if m.opts.CgroupsPath != "" {
		return &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("%q: no cgroup there is delegated to this user", m.opts.CgroupsPath),
			Hint: "remove the field, or run below a systemd user session with option SystemdCgroup"}
	}
	return nil
}

// delegated reports whether the user may make dir, and move processes there from own. On v2 that
// needs write access to cgroup.procs of their nearest common ancestor (cgroups(7), "Delegation
// containment rules").
func delegated(mount, dir, own string, v2 bool) bool {
	parent := dir
	for parent != mount && unix.Access(parent, unix.F_OK) != nil {
		parent = path.Dir(parent)
	}
	if unix.Faccessat(unix.AT_FDCWD, parent, unix.W_OK, unix.AT_EACCESS) != nil {
		return false
	}
	if !v2 {
		return true
	}
	common := parent
	for common != mount && own != common && !strings.HasPrefix(own, common+"/") {
		common = path.Dir(common)
	}
	return unix.Faccessat(unix.AT_FDCWD, common+"/cgroup.procs", unix.W_OK, unix.AT_EACCESS) == nil
}
