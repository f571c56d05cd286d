package launch

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/plan"
)

// SpareOwnNamespaces refuses to set names and sysctls, or to move network devices, in a namespace
// that the config joins by a path and that davit, too, is in: the host's, as a rule.
func (c *Prepared) SpareOwnNamespaces(fds Descriptors) error {
	for i := range c.Plan.Descriptors {
		if err := c.SpareOwn(&c.Plan.Descriptors[i], fds[i]); err != nil {
			return err
		}
	}
	return nil
}

// SpareOwn is SpareOwnNamespaces for one descriptor.
func (c *Prepared) SpareOwn(d *plan.Descriptor, fd int) error {
	if d.Kind != plan.Namespace {
		return nil
	}
	changed := c.changes(d.Flags)
	if changed == "" {
		return nil
	}
	own, err := isOwnNamespace(fd, d.Flags)
	if err != nil {
		return fault.In(d.Field, err)
	}
	if own {
		return fault.WithHint(fault.At(d.Field, "%s is the %s namespace that davit runs in: %s would change the host", d.Path, config.NamespaceName(d.Flags), changed),
			"give the container a namespace of its own, or remove "+changed)
	}
	return nil
}

// changes returns the field that has settings for the namespace of a type, if one has.
func (c *Prepared) changes(flag uint64) string {
	switch s := c.Spec; {
	case flag == unix.CLONE_NEWNET && len(s.Linux.NetDevices) > 0:
		return "linux.netDevices"
	case flag == unix.CLONE_NEWUTS && s.Hostname != "":
		return "hostname"
	case flag == unix.CLONE_NEWUTS && s.Domainname != "":
		return "domainname"
	}
	for key := range c.Spec.Linux.Sysctl {
		if config.NamespaceFlag(config.SysctlNamespace(config.SysctlPath(key))) == flag {
			return "linux.sysctl"
		}
	}
	return ""
}

func isOwnNamespace(fd int, flag uint64) (bool, error) {
	path := "/proc/self/ns/" + config.NamespaceFile(specs.LinuxNamespaceType(config.NamespaceName(flag)))
	var joined, own unix.Stat_t
	if err := unix.Fstat(fd, &joined); err != nil {
		return false, fmt.Errorf("fstat: %w", err)
	}
	if err := unix.Stat(path, &own); err != nil {
		return false, fmt.Errorf("stat %s: %w", path, err)
	}
	return joined.Ino == own.Ino && joined.Dev == own.Dev, nil
}
