package cgroups

import (
	"errors"
	"fmt"

	"davit/cgroups/limits"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Set writes the limits of a new container, and restricts its devices. With the systemd driver,
// before Add, it only keeps them for Add. The error is a *fault.Error that names the field, the
// value and the file.
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

// Update writes what change sets. old is what the container has now; some values are written anew,
// because the kernel's files need them beside the changed ones. If one value is refused, Update
// puts back those that it has written before.
func (m *Manager) Update(old, change *specs.LinuxResources) error {
	return m.UpdateThen(old, change, func() error { return nil })
}

// UpdateThen is [Manager.Update], and calls then once all values are written. If then fails, it
// puts them back, too.
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

// checkUsage carries out memory.checkBeforeUpdate on v2. On v1 the kernel itself refuses a limit
// below the usage.
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

// redo writes again what systemd has undone of r. When systemd is told of one property, it writes
// all that it knows of the scope, in the form in which it knows it (a quota in whole per cent), and
// the default of some files that it was told nothing of.
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

// touched returns the device rules of r if an update by change has to set devices, nil if not. On
// v1 systemd writes devices together with every other property.
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
		// systemd is told of the values that the files had.
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
