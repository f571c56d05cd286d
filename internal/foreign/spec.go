package foreign

import (
	"fmt"
	"path/filepath"

	"davit/internal/config"
	"davit/internal/store"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Spec returns the config that the container was made from. crun keeps a copy of it. runc keeps
// only what it made from it, and for each exec reads the program's user, environment and working
// directory from the bundle. davit does the same. Everything that confines the container comes from
// runc's state, even if the bundle has changed since.
func (c *container) Spec() (*specs.Spec, error) {
	if c.spec == nil {
		s, err := c.bundleSpec()
		if err != nil {
			return nil, err
		}
		c.confine(s)
		c.spec = s
	}
	if err := c.compare(c.spec); err != nil {
		return nil, &store.ForeignError{Maker: c.maker, Reason: err}
	}
	return c.spec, nil
}

// bundleSpec reads config.json from the bundle, after it has checked that only root and the caller
// can have written it.
func (c *container) bundleSpec() (*specs.Spec, error) {
	path, err := store.TrustedPath(filepath.Join(c.state.Bundle, config.ConfigFile))
	if err != nil {
		return nil, fmt.Errorf("the bundle of a container that %s made: %w", c.maker, err)
	}
	data, err := sys.ReadSmall(unix.AT_FDCWD, path, config.MaxConfig, 0)
	if err != nil {
		return nil, fmt.Errorf("the bundle of a container that %s made: %w", c.maker, err)
	}
	s, err := config.Decode(data)
	if err != nil {
		return nil, err
	}
	if s.Process == nil {
		return nil, fmt.Errorf("%s: process: missing, although the container was created with it", path)
	}
	return s, nil
}

// confine replaces what config.json says about the confinement by runc's state.
func (c *container) confine(s *specs.Spec) {
	k := &c.runc.config
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	s.Root = &specs.Root{Path: k.rootfs, Readonly: s.Root != nil && s.Root.Readonly}
	s.Annotations = c.state.Annotations
	s.Hooks = &k.hooks
	s.Linux.Namespaces = k.namespaces
	s.Linux.UIDMappings, s.Linux.GIDMappings = k.uids, k.gids
	s.Linux.Seccomp = k.seccomp
	s.Linux.Resources = k.cgroup.resources(s.Linux.Resources)
	p := s.Process
	p.NoNewPrivileges = k.noNewPrivileges
	p.ApparmorProfile, p.SelinuxLabel = k.apparmor, k.label
	p.Capabilities = k.capabilities
	if k.rlimits != nil { // most versions of runc have the limits of the process only in config.json
		p.Rlimits = k.rlimits
	}
	p.OOMScoreAdj = k.oomScoreAdj
	p.User.Umask = k.umask
}
