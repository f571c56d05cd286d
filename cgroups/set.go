package cgroups

import (
	"errors"
	"fmt"

	"davit/cgroups/limits"

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
	if err := m.checkUsage(r.Memory); err != nil {
		return err
	}
	end := m.span(func() string { return "write the limits" })
	err := limits.Apply(writes, m.open)
	end()
	if err != nil {
		return err
	}
	defer m.span(func() string { return "restrict devices" })()
	return m.setDevices(r.Devices, nil, false)
}

// open is the directory of a controller.
func (m *Manager) open(ctrl string) (int, error) {
	if m.version(ctrl) == 1 {
		return m.dir1(ctrl)
	}
	return m.dir2()
}

// Update applies what change sets on top of old, what the container has now. If one value is
// refused, those written before it are put back.
func (m *Manager) Update(old, change *specs.LinuxResources) error {
	return m.UpdateThen(old, change, func() error { return nil })
}

// UpdateThen is Update with something to do once all values are written. If that fails, they are put back, too.
func (m *Manager) UpdateThen(old, change *specs.LinuxResources, then func() error) error {
	if change == nil {
		return then()
	}
	whole := limits.Complete(old, change)
	writes, err := m.plan(whole)
	if err != nil {
		return err
	}
	if err := m.checkUsage(whole.Memory); err != nil {
		return err
	}
	before, err := limits.Snapshot(writes, m.open)
	if err != nil {
		return err
	}
	do := func() error { return m.update(old, change, writes, before, then) }
	if m.version("devices") == 1 && !m.state.Rootless && (m.unit != nil || change.Devices != nil) {
		return m.whileFrozen(do)
	}
	return do()
}

func (m *Manager) update(old, change *specs.LinuxResources, writes []limits.Write, before []limits.Undo, then func() error) error {
	if m.unit != nil {
		settled, _ := m.settle(writes)
		if err := m.unit.Set(m.limited(settled, change.Devices)); err != nil {
			return err
		}
	}
	now := limits.Merge(old, change)
	err := m.redo(now)
	if err == nil {
		err = limits.Apply(writes, m.open)
	}
	if err == nil {
		err = m.setDevices(m.touched(now, change), devicesOf(old), true)
	}
	if err == nil {
		if err = then(); err != nil && m.unit == nil && change.Devices != nil {
			err = errors.Join(err, m.setDevices(devicesOf(old), devicesOf(now), true))
		}
	}
	if err != nil {
		return m.back(err, before, old, change)
	}
	return nil
}

// checkUsage is memory.checkBeforeUpdate. v1's kernel refuses by itself a limit below what is in use.
func (m *Manager) checkUsage(mem *specs.LinuxMemory) error {
	if mem == nil || mem.CheckBeforeUpdate == nil || !*mem.CheckBeforeUpdate || m.version("memory") != 2 {
		return nil
	}
	dir, err := m.dir2()
	if err != nil {
		return err
	}
	return limits.CheckUsage(dir, mem)
}

// redo writes what systemd has undone of r: told of one property it writes all that it knows of the unit again, as
// it knows it (a quota in whole percents), and the default of some that it does not.
func (m *Manager) redo(r *specs.LinuxResources) error {
	if m.unit == nil {
		return nil
	}
	all, err := limits.Plan(r, m.version)
	if err != nil {
		return err
	}
	var undone []limits.Write
	for i := range all {
		dir, err := m.open(all[i].Ctrl)
		if err != nil {
			return err
		}
		if _, _, same := limits.Compare(dir, &all[i]); !same {
			undone = append(undone, all[i])
		}
	}
	return limits.Apply(undone, m.open)
}

// touched are the rules of r if an update by change is to set devices: v1's systemd writes with every property.
func (m *Manager) touched(r, change *specs.LinuxResources) []specs.LinuxDeviceCgroup {
	if change.Devices != nil || m.unit != nil && m.version("devices") == 1 {
		return devicesOf(r)
	}
	return nil
}

// back undoes a refused update.
func (m *Manager) back(refused error, before []limits.Undo, old, change *specs.LinuxResources) error {
	var errs []error
	if m.unit != nil {
		// What the files said is what systemd shall believe again.
		writes := make([]limits.Write, 0, len(before))
		for i := range before {
			writes = append(writes, before[i].Restoring())
		}
		var devices []specs.LinuxDeviceCgroup
		if change.Devices != nil {
			devices = devicesOf(old)
		}
		errs = append(errs, m.unit.Set(m.limited(writes, devices)))
	}
	errs = append(errs, limits.Rollback(before))
	if m.unit != nil {
		errs = append(errs, m.redo(old), m.setDevices(m.touched(old, change), devicesOf(old), true))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w (and the old values could not all be put back: %w)", refused, err)
	}
	return refused
}
