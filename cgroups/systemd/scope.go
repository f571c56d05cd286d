package systemd

import (
	"fmt"
	"slices"

	"davit/cgroups/limits"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// scope is a systemd scope.
type Scope struct {
	Name, Slice string
	User        bool // of the user's manager
	Extra       []Property
	conn        *Conn
}

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

// controlGroup is the cgroup of systemd's manager.
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

// limited is what a scope is told of limits.
type Limits struct {
	Writes    []limits.Write
	Devices   []specs.LinuxDeviceCgroup // nil: none
	DevicesOn int                       // version of the devices controller's hierarchy
	// Has reports whether the cgroup has the value of a write. It is not asked before the scope exists.
	Has func(*limits.Write) bool
}

// start starts the scope of container id with pid in it.
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

// properties returns what the scope is started with. A property of an annotation takes the place of davit's own; one that
// says what the config's limits say gives way to them, as with runc and crun.
func (s *Scope) properties(id string, pid int, limits []Property) []Property {
	own := []Property{
		{Name: "Description", Value: "davit container " + id},
		{Name: "Slice", Value: s.Slice},
		{Name: "Delegate", Value: true},
		{Name: "DefaultDependencies", Value: false}, // shutdown is the engine's to order
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

// properties are those of the limits; start: the scope is being started.
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

// set tells systemd of limits that are about to be written, so that it does not undo them later.
func (s *Scope) Set(l Limits) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	props, err := l.properties(c, false)
	if err != nil || len(props) == 0 {
		return err
	}
	if err := c.SetUnitProperties(s.Name, props); err != nil {
		return &fault.Error{Field: "linux.resources", Text: "set properties of systemd's unit " + s.Name, Err: err}
	}
	return nil
}

// attach moves a process to the scope, or to sub below it, for a user who may not do it.
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

// stop stops the scope; its cgroups go with it.
func (s *Scope) Stop() error {
	c, err := s.dial()
	if err == nil {
		err = c.StopUnit(s.Name)
	}
	return err
}
