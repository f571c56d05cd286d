package libcontainer

import (
	"errors"
	"fmt"
	"slices"

	"davit/cgroups"
	"davit/cgroups/limits"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/config/specjson"
	"davit/internal/fault"
	"davit/internal/jsonx"
	"davit/internal/resctrl"
	"davit/internal/store"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Update changes the limits of a container. Fields of change that are not set, or that are 0, keep their value. l3 and bandwidth are new
// schemata for the L3 cache and the memory bandwidth (linux.intelRdt); "" keeps the old one. If the kernel refuses one value,
// Update restores the values that it has already written. Afterwards the new limits are in the container's config. It fails with
// [ErrNotRunning] if the container has no process.
func (c *Container) Update(change *specs.LinuxResources, l3, bandwidth string) error {
	unlock, err := c.lock(false)
	defer unlock()
	if err != nil {
		return err
	}
	switch status := c.Status(); status {
	case specs.StateRunning, specs.StateCreated, store.Paused:
	default:
		return wrongState("update", status)
	}
	if c.Taken != nil && l3+bandwidth != "" {
		return fault.In("linux.intelRdt", &store.ForeignError{Maker: c.Taken.Maker()})
	}
	s, err := c.Spec()
	if err != nil {
		return err
	}
	old := s.Linux.Resources
	if old == nil {
		old = &specs.LinuxResources{}
	}
	if sameDevices(old.Devices, change.Devices) {
		change.Devices = nil // engines send the whole list; no window without rules for that
	}
	keepSet(change)
	liftSwap(old.Memory, change.Memory)
	now := limits.Merge(old, change)
	problems, _ := config.CheckResources(now)
	if err := compile.Judge(problems); err != nil {
		return err
	}
	if change.Devices != nil {
		change.Devices = append(slices.Clip(change.Devices), compile.AllowedDevices()...)
	}
	m := c.Cgroups()
	defer m.Close()
	if len(c.Cgroup.Dirs) == 0 {
		return errors.New("the container has no cgroup (rootless, without delegation), and so no limits")
	}
	if c.rt.Logger.Debug != nil {
		var e jsonx.Encoder
		specjson.EncodeLinuxResources(&e, change)
		c.rt.log().Debugf("write limits: %s", e.Bytes())
	}
	undo, err := c.updateSchemata(s, l3, bandwidth, m)
	if err != nil {
		return err
	}
	had := *old
	had.Devices = append(slices.Clip(old.Devices), compile.AllowedDevices()...)
	s.Linux.Resources = now
	// If the config cannot be written, for example because the disk is full, the limits are not changed either.
	if err := c.writeSpecAside(s, old); err != nil {
		return errors.Join(err, undo())
	}
	if err := m.UpdateThen(&had, change, c.takeSpecAside); err != nil {
		return errors.Join(err, undo(), c.dropSpecAside())
	}
	return nil
}

// updateSchemata writes the schemata of resctrl. If the container was created without a class, it makes one. undo takes that back.
func (c *Container) updateSchemata(s *specs.Spec, l3, bandwidth string, m *cgroups.Manager) (undo func() error, err error) {
	var lines []string
	for _, line := range [...]string{l3, bandwidth} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return func() error { return nil }, nil
	}
	now := specs.LinuxIntelRdt{}
	if s.Linux.IntelRdt != nil {
		now = *s.Linux.IntelRdt
	}
	if l3 != "" {
		now.L3CacheSchema = l3
	}
	if bandwidth != "" {
		now.MemBwSchema = bandwidth
	}
	g, err := resctrl.New(&now, c.ID)
	switch {
	case err != nil:
	case s.Linux.IntelRdt != nil:
		undo, err = g.Update(lines)
	default:
		undo, err = c.makeClass(g, m)
	}
	if err != nil {
		return nil, fault.In("linux.intelRdt", err)
	}
	s.Linux.IntelRdt = &now
	return undo, nil
}

func (c *Container) makeClass(g *resctrl.Group, m *cgroups.Manager) (undo func() error, err error) {
	undo = func() error {
		c.Resctrl = ""
		return errors.Join(g.Remove(), c.State.Write(c.Dir.Int(), false))
	}
	if err = g.Make(); err == nil {
		c.Resctrl = g.Dir
		err = c.State.Write(c.Dir.Int(), false)
	}
	if err == nil {
		var pids []int
		if pids, err = m.Pids(); err == nil {
			err = g.AddAll(pids)
		}
	}
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

// limitsFile is the file of the state directory that keeps the limits.
func (c *Container) limitsFile() string {
	if c.Taken != nil {
		return c.Taken.LimitsFile()
	}
	return store.ConfigFile
}

// configAside is the name under which an update keeps the new config until the limits are written.
func (c *Container) configAside() string { return c.limitsFile() + ".new" }

// writeSpecAside writes the config s under the name configAside. old are the limits before the update.
func (c *Container) writeSpecAside(s *specs.Spec, old *specs.LinuxResources) error {
	var data []byte
	if c.Taken != nil {
		text, err := c.Taken.Limits(old, s.Linux.Resources)
		if err != nil {
			return err
		}
		data = text
	} else {
		var e jsonx.Encoder
		specjson.EncodeSpec(&e, s)
		data = e.Bytes()
	}
	return sys.WriteNew(c.Dir.Int(), c.configAside(), data, 0o600)
}

// takeSpecAside renames that file, so that it becomes the container's config.
func (c *Container) takeSpecAside() error {
	if err := unix.Renameat(c.Dir.Int(), c.configAside(), c.Dir.Int(), c.limitsFile()); err != nil {
		return fmt.Errorf("rename %s: %w", c.configAside(), err)
	}
	return nil
}

func (c *Container) dropSpecAside() error {
	if err := unix.Unlinkat(c.Dir.Int(), c.configAside(), 0); err != nil && err != unix.ENOENT {
		return fmt.Errorf("unlink %s: %w", c.configAside(), err)
	}
	return nil
}

// keepSet drops the zeros, by which engines and the form in runc's `update --help` say
// "not set": without them, merging keeps what the container has.
func keepSet(r *specs.LinuxResources) {
	if m := r.Memory; m != nil {
		drop(&m.Limit)
		drop(&m.Reservation)
		drop(&m.Swap)
		drop(&m.Kernel)    //nolint:staticcheck // engines still send it
		drop(&m.KernelTCP) //nolint:staticcheck // the same
	}
	if c := r.CPU; c != nil {
		drop(&c.Shares)
		drop(&c.Quota)
		drop(&c.Period)
		drop(&c.RealtimeRuntime)
		drop(&c.RealtimePeriod)
	}
	if b := r.BlockIO; b != nil {
		drop(&b.Weight)
		drop(&b.LeafWeight)
	}
	if p := r.Pids; p != nil && (p.Limit == nil || *p.Limit == 0) {
		r.Pids = nil
	}
}

// liftSwap lifts the limit of memory and swap together, if there is one, with that of memory, as runc
// does: it cannot outlive the limit that is part of it.
func liftSwap(old, change *specs.LinuxMemory) {
	if old == nil || old.Swap == nil || *old.Swap <= 0 || change == nil || change.Swap != nil {
		return
	}
	if change.Limit != nil && *change.Limit == -1 {
		change.Swap = change.Limit
	}
}

func drop[T int64 | uint64 | uint16](v **T) {
	if *v != nil && **v == 0 {
		*v = nil
	}
}

func sameDevices(a, b []specs.LinuxDeviceCgroup) bool {
	number := func(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
	return slices.EqualFunc(a, b, func(a, b specs.LinuxDeviceCgroup) bool {
		return a.Allow == b.Allow && a.Type == b.Type && a.Access == b.Access && number(a.Major, b.Major) && number(a.Minor, b.Minor)
	})
}
