package foreign

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/jsonx"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	crunFile     = "status"
	crunVersions = "crun 1.x"
)

// crunStatus is crun's status file (libcrun_write_container_status).
type crunStatus struct {
	pid                     int
	start                   uint64 // clock ticks since boot, field 22 of /proc/PID/stat
	cgroup                  string // the path below the root of each hierarchy
	scope                   string
	rootfs, bundle, created string
	systemd                 bool
	streams                 []string // in the form of store.State.Stdio, but files by their path
	unknownKey              string
}

func (c *container) readCrun() error {
	data, err := c.read(crunFile)
	if err != nil {
		return err
	}
	st, err := decodeCrun(data)
	if err != nil {
		return err
	}
	// crun copies config.json there before it writes the status.
	if data, err = c.read(store.ConfigFile); err != nil {
		return err
	}
	spec, err := config.Decode(data)
	if err != nil {
		return err
	}
	if err := ociVersion(store.ConfigFile+": ociVersion", spec.Version); err != nil {
		return err
	}
	if spec.Root == nil {
		return errors.New(store.ConfigFile + ": root: not there")
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	c.spec = spec
	s := c.state
	s.OCIVersion, s.Created, s.Bundle, s.Pid, s.StartTime = spec.Version, st.created, st.bundle, st.pid, st.start
	s.Annotations, s.Stdio = spec.Annotations, st.streams
	if !filepath.IsAbs(s.Bundle) {
		return fmt.Errorf("%s: bundle: %q is not an absolute path", crunFile, s.Bundle)
	}
	if s.Rootfs = st.rootfs; !filepath.IsAbs(s.Rootfs) {
		s.Rootfs = filepath.Join(s.Bundle, s.Rootfs)
	}
	s.Terminal = spec.Process != nil && spec.Process.Terminal
	s.OwnPid = hasOwn(spec.Linux.Namespaces, specs.PIDNamespace)
	if spec.Hooks != nil {
		c.poststop = spec.Hooks.Poststop
		s.Poststart = len(spec.Hooks.Poststart) > 0 // crun runs these hooks in start
	}
	if err := needMounts(spec.Linux.Namespaces); err != nil {
		return err
	}
	c.cgroup = st.cgroup
	s.Cgroup, err = st.state(s.ID)
	return err
}

func decodeCrun(data []byte) (*crunStatus, error) {
	st := &crunStatus{}
	d := jsonx.NewDecoder(crunFile, data)
	d.Want("an object")
	object(&d, func() { st.property(&d) })
	if err := d.End(); err != nil {
		return nil, err
	}
	switch {
	case st.unknownKey != "":
		return nil, unknown(crunFile, st.unknownKey, crunVersions)
	case st.pid <= 0 || st.start == 0:
		return nil, fmt.Errorf("%s: pid: %d, process-start-time: %d: they name no process", crunFile, st.pid, st.start)
	}
	return st, nil
}

func (st *crunStatus) property(d *jsonx.Decoder) {
	switch d.Key() {
	case "pid":
		st.pid = int(d.Int(32))
	case "process-start-time":
		st.start = d.Uint(64)
	case "cgroup-path":
		st.cgroup = d.String()
	case "scope":
		st.scope = d.String()
	case "rootfs":
		st.rootfs = d.String()
	case "systemd-cgroup":
		st.systemd = d.Bool()
	case "bundle":
		st.bundle = d.String()
	case "created":
		st.created = d.String()
	case "external_descriptors":
		st.streams = readStreams(d.String())
	case "owner", "detached", "intelrdt":
		d.Skip()
	default:
		if st.unknownKey == "" {
			st.unknownKey = d.Key()
		}
		d.Skip()
	}
}

// readStreams reads the standard streams, which crun writes as a string that contains an array. Without an array it returns nil.
func readStreams(text string) []string {
	d := jsonx.NewDecoder(crunFile, []byte(text))
	streams := d.Strings()
	if d.End() != nil {
		return nil
	}
	return streams
}

// state returns the container's cgroups in the form of package cgroups. crun stores a single path,
// which is the same in each hierarchy that it uses.
func (st *crunStatus) state(id string) (cgroups.State, error) {
	none := cgroups.State{Driver: cgroups.Cgroupfs, Dirs: map[string]string{}}
	if st.cgroup == "" { // --cgroup-manager disabled
		return none, nil
	}
	if !strings.HasPrefix(st.cgroup, "/") || path.Clean(st.cgroup) != st.cgroup || st.cgroup == "/" {
		return none, fmt.Errorf("%s: cgroup-path: %q is not the path of a cgroup", crunFile, st.cgroup)
	}
	m, err := cgroups.New(cgroups.Options{ID: id, CgroupsPath: st.cgroup})
	if err != nil {
		return none, err
	}
	defer m.Close()
	s := m.State()
	for name, dir := range s.Dirs {
		if (name != "" || s.Mode == cgroups.Hybrid) && unix.Access(dir, unix.F_OK) == unix.ENOENT {
			delete(s.Dirs, name) // crun did not use this controller
		}
	}
	if !st.systemd {
		return s, nil
	}
	before, _, found := strings.Cut(st.cgroup+"/", "/"+st.scope+"/")
	if st.scope == "" || !found {
		return none, fmt.Errorf("%s: scope: %q is not in cgroup-path %q", crunFile, st.scope, st.cgroup)
	}
	s.Driver, s.Scope, s.Slice = cgroups.Systemd, st.scope, path.Base("/"+before)
	s.User = unix.Geteuid() != 0
	return s, nil
}
