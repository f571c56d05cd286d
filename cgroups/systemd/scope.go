package systemd

import (
	"fmt"
	"slices"
	"strings"

	"davit/cgroups/limits"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Scope is a systemd scope. It connects to systemd when it first needs to, and keeps the connection
// until Close.
type Scope struct {
	Name, Slice string
	User        bool       // the scope belongs to the manager of the calling user
	Extra       []Property // those of annotations, see FromAnnotations
	conn        *Conn
}

// Close closes the connection to systemd. The scope stays.
func (s *Scope) Close() {
	s.conn.Close()
	s.conn = nil
}

func (s *Scope) dial() (*Conn, error) {
	if s.conn == nil {
		c, err := Dial(s.User)
		if err != nil {
			return nil, &fault.Error{Text: "reach systemd", Err: err, Hint: dialHint(s.User)}
		}
		s.conn = c
	}
	return s.conn, nil
}

// ControlGroup returns the path of the manager's cgroup, below the mount point.
func (s *Scope) ControlGroup() (string, error) {
	c, err := s.dial()
	if err != nil {
		return "", err
	}
	own, err := c.ManagerProperty("ControlGroup")
	if err != nil {
		return "", fmt.Errorf("ask systemd for its ControlGroup: %w", err)
	}
	return own, nil
}

// Limits is what systemd is told of a scope's limits.
type Limits struct {
	Writes    []limits.Write
	Devices   []specs.LinuxDeviceCgroup // nil: the devices are not limited
	DevicesOn int                       // the version of the hierarchy that controls devices
	// Has reports whether the cgroup has the value of a write. Start does not call it.
	Has func(*limits.Write) bool
}

// Start starts the scope of the container id, with the process pid in it, and returns once it runs.
func (s *Scope) Start(id string, pid int, l Limits) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	limits, err := l.properties(c, true)
	if err != nil {
		return err
	}
	props := s.properties(id, pid, limits)
	if err := c.StartTransientUnit(s.Name, props); err != nil {
		return &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("start systemd's unit %s in %s", s.Name, s.Slice), Err: err, Hint: startHint(err)}
	}
	return nil
}

// properties returns the properties with which the scope is started. An annotation's property
// replaces davit's own one of the same name. A limit of linux.resources replaces an annotation's
// property, as with runc and crun.
func (s *Scope) properties(id string, pid int, limits []Property) []Property {
	own := []Property{
		{Name: "Description", Value: "davit container " + id},
		{Name: "Slice", Value: s.Slice},
		{Name: "Delegate", Value: true},
		{Name: "DefaultDependencies", Value: false}, // the engine decides when to stop its containers at a shutdown
		{Name: "CollectMode", Value: "inactive-or-failed"},
		{Name: "PIDs", Value: []uint32{uint32(pid)}},
		{Name: "CPUAccounting", Value: true},
		{Name: "MemoryAccounting", Value: true},
		{Name: "IOAccounting", Value: true},
		{Name: "TasksAccounting", Value: true},
	}
	list := without(own, s.Extra)
	list = append(list, without(s.Extra, limits)...)
	return append(list, limits...)
}

// without returns the properties of list whose names are not in other.
func without(list, other []Property) []Property {
	var out []Property
	for _, p := range list {
		if !slices.ContainsFunc(other, func(o Property) bool { return o.Name == p.Name }) {
			out = append(out, p)
		}
	}
	return out
}

// properties returns the properties that express the limits. start says that the scope is being
// started.
func (l *Limits) properties(c *Conn, start bool) ([]Property, error) {
	version, err := c.Version()
	if err != nil {
		return nil, fmt.Errorf("ask systemd for its version: %w", err)
	}
	if err := lost(l.Writes, version, start, l.Has); err != nil {
		return nil, err
	}
	list, err := deviceProperties(l.Devices, l.DevicesOn)
	if err != nil {
		return nil, err
	}
	return append(properties(l.Writes, version, start), list...), nil
}

// Set tells systemd of limits that are about to be written to the cgroup. Otherwise systemd would
// undo them when it next writes the cgroup.
func (s *Scope) Set(l Limits) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	props, err := l.properties(c, false)
	if err != nil || len(props) == 0 {
		return err
	}
	// systemd compares its list of drop-in files with the sorted one: in another order it would say
	// that the unit needs a daemon-reload.
	slices.SortStableFunc(props, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	if err := c.SetUnitProperties(s.Name, props); err != nil {
		return &fault.Error{Field: "linux.resources", Text: "set properties of systemd's unit " + s.Name, Err: err}
	}
	return nil
}

// Attach asks systemd to move a process to the scope, or to its sub-cgroup sub ("/name"). It is for
// users who may not write to cgroup.procs themselves.
func (s *Scope) Attach(sub string, pid int) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	if err := c.AttachProcess(s.Name, sub, pid); err != nil {
		return &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("move process %d to systemd's unit %s", pid, s.Name), Err: err}
	}
	return nil
}

// Stop stops the scope and with it removes its cgroups. A scope that does not exist is no error.
func (s *Scope) Stop() error {
	c, err := s.dial()
	if err == nil {
		err = c.StopUnit(s.Name)
	}
	return err
}
