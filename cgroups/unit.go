package cgroups

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// unit is a systemd scope or slice.
type unit struct {
	name, slice string
	user        bool
	started     bool
	sub         bool // a sub-cgroup of it
}

var errNoSystemd = errors.New("systemd's driver is not linked in")

func (u *unit) close()                                             {}
func (m *Manager) placeUnit() error                                { return errNoSystemd }
func (m *Manager) startUnit(pid int) error                         { return errNoSystemd }
func (m *Manager) setUnit(old, change *specs.LinuxResources) error { return errNoSystemd }
func (m *Manager) stopUnit() error                                 { return errNoSystemd }
