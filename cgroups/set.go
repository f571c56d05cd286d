package cgroups

import (
	"errors"
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Set applies the limits of a new container. With systemd's driver, before Add, it only keeps them for Add.
func (m *Manager) Set(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	if m.unit != nil && !m.unit.started {
		writes, err := m.plan(r)
		m.opts.Resources, m.writes, m.unit.pending = r, writes, true
		return err
	}
	writes := m.writes
	if r != m.opts.Resources || writes == nil {
		var err error
		if writes, err = m.plan(r); err != nil {
			return err
		}
	}
	if err := m.checkUsage(r); err != nil {
		return err
	}
	if err := (&applier{}).apply(writes, m.open); err != nil {
		return err
	}
	return m.setDevices(r.Devices, nil, false)
}

// open is the directory that a write goes to.
func (m *Manager) open(w *write) (int, error) {
	if m.version(w.ctrl) == 1 {
		return m.dir1(w.ctrl)
	}
	return m.dir2()
}

// Update applies what change sets on top of old, what the container has now. If one value is
// refused, those written before it are put back.
func (m *Manager) Update(old, change *specs.LinuxResources) error {
	if change == nil {
		return nil
	}
	whole := complete(old, change)
	writes, err := m.plan(whole)
	if err != nil {
		return err
	}
	if err := m.checkUsage(whole); err != nil {
		return err
	}
	before, err := snapshot(writes, m.open)
	if err != nil {
		return err
	}
	if m.unit != nil {
		if err := m.setUnit(writes, change.Devices); err != nil {
			return err
		}
	}
	err = (&applier{}).apply(writes, m.open)
	if err == nil {
		err = m.setDevices(change.Devices, devicesOf(old), true)
	}
	if err != nil {
		var devices []specs.LinuxDeviceCgroup
		if change.Devices != nil && old != nil {
			devices = old.Devices
		}
		return m.back(err, before, devices)
	}
	return nil
}

// back undoes a refused update. devices are those that systemd shall believe again, nil if they were not to be changed.
func (m *Manager) back(refused error, before []undo, devices []specs.LinuxDeviceCgroup) error {
	err := rollback(before)
	if m.unit != nil {
		// What the files said is what systemd shall believe again.
		writes := make([]write, 0, len(before))
		for _, u := range before {
			w := *u.w
			w.value, w.alt = u.value, nil
			writes = append(writes, w)
		}
		err = errors.Join(err, m.setUnit(writes, devices))
	}
	if err != nil {
		return fmt.Errorf("%w (and the old values could not all be put back: %w)", refused, err)
	}
	return refused
}

// checkUsage refuses a limit below what is in use, if memory.checkBeforeUpdate asks for it. v1's
// kernel refuses by itself; v2's would reclaim, then kill.
func (m *Manager) checkUsage(r *specs.LinuxResources) error {
	mem := r.Memory
	if mem == nil || mem.CheckBeforeUpdate == nil || !*mem.CheckBeforeUpdate || m.version("memory") != 2 {
		return nil
	}
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	check := func(file, field, limit string) error {
		if limit == "" || limit == "max" {
			return nil
		}
		s, err := readString(fd, file)
		if err != nil {
			return nil // no swap accounting
		}
		used, _ := strconv.ParseUint(s, 10, 64)
		max, _ := strconv.ParseUint(limit, 10, 64)
		if used > max {
			return refuse(field, "memory.checkBeforeUpdate refuses what would kill processes: free memory first",
				"%s is less than the %d bytes in use (%s)", limit, used, file)
		}
		return nil
	}
	if v, ok := given(mem.Limit); ok {
		if err := check("memory.current", "memory.limit", orMax(v)); err != nil {
			return err
		}
	}
	swap, _ := swapOnly(mem)
	return check("memory.swap.current", "memory.swap", swap)
}

func devicesOf(r *specs.LinuxResources) []specs.LinuxDeviceCgroup {
	if r == nil {
		return nil
	}
	return r.Devices
}
