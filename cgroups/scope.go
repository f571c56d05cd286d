package cgroups

import (
	"fmt"

	"davit/cgroups/systemd"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// scope is a systemd scope.
type scope struct {
	name, slice string
	user        bool // of the user's manager
	extra       []systemd.Property
	conn        *systemd.Conn
}

func (s *scope) close() {
	s.conn.Close()
	s.conn = nil
}

func (s *scope) dial() (*systemd.Conn, error) {
	if s.conn == nil {
		c, err := systemd.Dial(s.user)
		if err != nil {
			return nil, &Error{What: "reach systemd", Err: err, Hint: dialHint(s.user)}
		}
		s.conn = c
	}
	return s.conn, nil
}

// controlGroup is the cgroup of systemd's manager.
func (s *scope) controlGroup() (string, error) {
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
type limited struct {
	writes    []write
	devices   []specs.LinuxDeviceCgroup // nil: none
	devicesOn int                       // version of the devices controller's hierarchy
}

// start starts the scope of container id with pid in it.
func (s *scope) start(id string, pid int, l limited) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	limits, err := l.properties(c, true)
	if err != nil {
		return err
	}
	props := []systemd.Property{
		{Name: "Description", Value: "davit container " + id},
		{Name: "Slice", Value: s.slice},
		{Name: "Delegate", Value: true},
		{Name: "DefaultDependencies", Value: false}, // shutdown is the engine's to order
		{Name: "CollectMode", Value: "inactive-or-failed"},
		{Name: "PIDs", Value: []uint32{uint32(pid)}},
		{Name: "CPUAccounting", Value: true},
		{Name: "MemoryAccounting", Value: true},
		{Name: "IOAccounting", Value: true},
		{Name: "TasksAccounting", Value: true},
	}
	props = append(props, limits...)
	props = append(props, s.extra...)
	if err := c.StartTransientUnit(s.name, props); err != nil {
		return &Error{Field: "linux.cgroupsPath", What: fmt.Sprintf("start systemd's unit %s in %s", s.name, s.slice), Err: err, Hint: startHint(err)}
	}
	return nil
}

// properties are those of the limits; start: the scope is being started.
func (l *limited) properties(c *systemd.Conn, start bool) ([]systemd.Property, error) {
	version, err := c.Version()
	if err != nil {
		return nil, fmt.Errorf("ask systemd for its version: %w", err)
	}
	if err := lost(l.writes, version, start); err != nil {
		return nil, err
	}
	list, err := deviceProperties(l.devices, l.devicesOn)
	if err != nil {
		return nil, err
	}
	return append(properties(l.writes, version, start), list...), nil
}

// set tells systemd of limits that are about to be written, so that it does not undo them later.
func (s *scope) set(l limited) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	props, err := l.properties(c, false)
	if err != nil || len(props) == 0 {
		return err
	}
	if err := c.SetUnitProperties(s.name, props); err != nil {
		return &Error{Field: "linux.resources", What: "set properties of systemd's unit " + s.name, Err: err}
	}
	return nil
}

// attach moves a process to the scope, or to sub below it, for a user who may not do it.
func (s *scope) attach(sub string, pid int) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	if err := c.AttachProcess(s.name, sub, pid); err != nil {
		return &Error{Field: "linux.cgroupsPath", What: fmt.Sprintf("move process %d to systemd's unit %s", pid, s.name), Err: err}
	}
	return nil
}

// stop stops the scope; its cgroups go with it.
func (s *scope) stop() error {
	c, err := s.dial()
	if err == nil {
		err = c.StopUnit(s.name)
	}
	return err
}
