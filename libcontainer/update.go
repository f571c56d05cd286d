package libcontainer

import (
	"errors"
	"fmt"
	"slices"

	"davit/cgroups"
	"davit/spec"
	"davit/spec/jsonx"
	"davit/spec/specjson"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Update changes a container's limits. What change leaves out (or has as 0, the
// spec's "not set") stays as it is. If one value is refused, those written before
// it are put back. What is set afterwards is in the container's config.
func (c *Container) Update(change *specs.LinuxResources) error {
	if c.Broken != nil {
		return c.Broken
	}
	switch status := c.Status(); status {
	case specs.StateRunning, specs.StateCreated, statePaused:
	default:
		return wrongState("update", status)
	}
	s, err := c.Spec()
	if err != nil {
		return err
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	old := s.Linux.Resources
	if old == nil {
		old = &specs.LinuxResources{}
	}
	if sameDevices(old.Devices, change.Devices) {
		change.Devices = nil // engines send the whole list; no window without rules for that
	}
	keepSet(change)
	now := cgroups.Merge(old, change)
	if problems := spec.ValidateResources(now); len(problems) > 0 {
		return invalid(problems)
	}
	if change.Devices != nil {
		change.Devices = append(slices.Clip(change.Devices), allowedDevices()...)
	}
	m := c.Cgroups()
	defer m.Close()
	if len(c.Cgroup.Dirs) == 0 {
		return errors.New("the container has no cgroup (rootless, without delegation), and so no limits")
	}
	if Log != nil {
		var e jsonx.Encoder
		specjson.EncodeLinuxResources(&e, change)
		logf("write limits: %s", e.Bytes())
	}
	if err := m.Update(old, change); err != nil {
		return err
	}
	s.Linux.Resources = now
	return c.keepSpec(s)
}

// keepSpec replaces the container's config on disk.
func (c *Container) keepSpec(s *specs.Spec) error {
	var e jsonx.Encoder
	specjson.EncodeSpec(&e, s)
	const aside = configFile + ".new"
	if err := writeFile(c.dir, aside, e.Bytes()); err != nil {
		return err
	}
	if err := unix.Renameat(c.dir, aside, c.dir, configFile); err != nil {
		return fmt.Errorf("rename %s: %w", aside, err)
	}
	return nil
}

// keepSet drops the zeros, by which engines and the form in `update --help` say
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
