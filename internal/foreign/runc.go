package foreign

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"davit/cgroups"
	"davit/internal/jsonx"
	"davit/internal/resctrl"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	runcFile     = "state.json"
	runcVersions = "runc 1.0 to 1.5"
)

// runcState contains the parts of runc's state.json (type State of its package libcontainer) that
// davit needs.
type runcState struct {
	id         string
	pid        int
	start      uint64 // clock ticks since boot, field 22 of /proc/PID/stat
	created    string
	cgroups    map[string]string // in the form of cgroups.State.Dirs
	rdt, rdtM  string
	streams    []string // in the form of store.State.Stdio, but files by their path
	config     runcConfig
	hasConfig  bool
	unknownKey string // the first property that no known version has
}

// runcConfig is what runc made from config.json. It is what the container was created with, even if
// the bundle has changed since.
type runcConfig struct {
	rootfs          string
	umask           *uint32
	namespaces      []specs.LinuxNamespace
	capabilities    *specs.LinuxCapabilities
	cgroup          runcCgroup
	apparmor, label string
	rlimits         []specs.POSIXRlimit
	oomScoreAdj     *int
	uids, gids      []specs.LinuxIDMapping
	seccomp         *specs.LinuxSeccomp
	noNewPrivileges bool
	hooks           specs.Hooks
	version         string
	labels          []string
	noNewKeyring    bool
	closID          string
	rootlessCgroups bool
	err             error // the error for the first value that davit does not know
}

// runcCgroup says where runc put the container's cgroup, and its limits.
type runcCgroup struct {
	name, parent, prefix string
	systemd, said        bool // said: the state says whether runc used systemd's driver, which runc 1.0 does not
	memory               specs.LinuxMemory
	cpu                  specs.LinuxCPU
	pids                 specs.LinuxPids
	unified              map[string]string
}

// otherKeys are the properties of runc's config that davit does not need but knows: all that runc
// 1.0 to 1.5 write.
const otherKeys = " no_pivot_root parent_death_signal readonlyfs rootPropagation mounts devices netDevices mount_label hostname domainname " +
	"networks routes mask_paths readonly_paths sysctl memory_policy rootless_euid time_offsets scheduler personality io_priority exec_cpu_affinity "

func (c *container) readRunc() error {
	data, err := c.read(runcFile)
	if err != nil {
		return err
	}
	r, err := decodeRunc(data)
	if err != nil {
		return err
	}
	s := c.state
	if r.id != s.ID {
		return fmt.Errorf("%s: id: %q, but it is in the directory of %s", runcFile, r.id, s.ID)
	}
	c.runc = r
	k := &r.config
	s.OCIVersion, s.Created, s.Rootfs, s.Pid, s.StartTime = k.version, r.created, k.rootfs, r.pid, r.start
	for _, label := range k.labels {
		key, value, _ := strings.Cut(label, "=")
		if key == "bundle" { // runc also reads the first of several labels
			if s.Bundle == "" {
				s.Bundle = value
			}
			continue
		}
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[key] = value
	}
	if !filepath.IsAbs(s.Bundle) {
		return fmt.Errorf("%s: config.labels: bundle: %q is not an absolute path", runcFile, s.Bundle)
	}
	if !filepath.IsAbs(s.Rootfs) {
		return fmt.Errorf("%s: config.rootfs: %q is not an absolute path", runcFile, s.Rootfs)
	}
	s.NoKeyring, s.Stdio = k.noNewKeyring, r.streams
	s.OwnPid = hasOwn(k.namespaces, specs.PIDNamespace)
	c.poststop = k.hooks.Poststop                                                                      // runc runs poststart hooks in create
	for field, dir := range map[string]string{"intel_rdt_path": r.rdt, "intel_rdt_mon_path": r.rdtM} { // delete removes these directories
		if dir != "" && (filepath.Clean(dir) != dir || !strings.HasPrefix(dir, resctrl.Mountpoint+"/")) {
			return fmt.Errorf("%s: %s: %q is not below %s", runcFile, field, dir, resctrl.Mountpoint)
		}
	}
	if k.closID == "" { // with a closID the class may belong to others, too
		s.Resctrl = r.rdt
	}
	s.ResctrlMon = r.rdtM
	s.Cgroup = k.cgroup.state(r.cgroups)
	s.Cgroup.Rootless = k.rootlessCgroups
	s.Cgroup.User = s.Cgroup.Driver == cgroups.Systemd && k.rootlessCgroups
	return needMounts(k.namespaces)
}

// state returns the container's cgroups in the form of package cgroups.
func (g *runcCgroup) state(dirs map[string]string) cgroups.State {
	s := cgroups.State{Driver: cgroups.Cgroupfs, Dirs: map[string]string{}}
	last := ""
	for name, dir := range dirs {
		if dir == "" {
			continue
		}
		s.Dirs[name] = dir
		if last == "" || name == "" || name == "name=systemd" {
			last = filepath.Base(dir)
		}
	}
	unit := g.name
	if !strings.HasSuffix(unit, ".slice") {
		unit = g.prefix + "-" + g.name + ".scope"
	}
	if g.systemd || !g.said && g.prefix != "" && unit == last {
		s.Driver, s.Scope, s.Slice = cgroups.Systemd, unit, g.parent
		if s.Slice == "" {
			s.Slice = "system.slice"
		}
	}
	return s
}

// decodeRunc reads a state.json. It refuses properties that no known version has, and values that
// davit does not know.
func decodeRunc(data []byte) (*runcState, error) {
	r := &runcState{}
	d := jsonx.NewDecoder(runcFile, data)
	d.Want("an object")
	if d.Object() {
		for d.Next() {
			r.property(&d)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	switch {
	case r.unknownKey != "":
		return nil, unknown(runcFile, r.unknownKey, runcVersions)
	case r.config.err != nil:
		return nil, r.config.err
	case !r.hasConfig:
		return nil, errors.New(runcFile + ": config: not there")
	case r.pid < 0 || r.pid > 0 && r.start == 0:
		return nil, fmt.Errorf("%s: init_process_pid: %d, init_process_start: %d: they name no process", runcFile, r.pid, r.start)
	}
	return r, ociVersion(runcFile+": config.version", r.config.version)
}

// ociVersion refuses a version of the spec other than 1.x.
func ociVersion(field, v string) error {
	major, _, _ := strings.Cut(v, ".")
	if major != "1" {
		return fmt.Errorf("%s: %q, but davit only knows 1.x", field, v)
	}
	return nil
}

func (r *runcState) property(d *jsonx.Decoder) {
	switch d.Key() {
	case "id":
		r.id = d.String()
	case "init_process_pid":
		r.pid = int(d.Int(32))
	case "init_process_start":
		r.start = d.Uint(64)
	case "created":
		r.created = d.String()
	case "cgroup_paths":
		r.cgroups = d.StringMap()
	case "intel_rdt_path":
		r.rdt = d.String()
	case "intel_rdt_mon_path":
		r.rdtM = d.String()
	case "config":
		if r.hasConfig = d.Object(); r.hasConfig {
			for d.Next() {
				name := d.Key()
				if !r.config.property(d) && r.unknownKey == "" {
					r.unknownKey = "config." + name
				}
			}
		}
	case "external_descriptors":
		r.streams = d.Strings()
	case "rootless", "namespace_paths":
		d.Skip()
	default:
		if r.unknownKey == "" {
			r.unknownKey = d.Key()
		}
		d.Skip()
	}
}

// property reads one property of config, and reports whether its name is known.
func (k *runcConfig) property(d *jsonx.Decoder) bool {
	switch d.Key() {
	case "rootfs":
		k.rootfs = d.String()
	case "umask":
		if !d.Null() {
			mask := uint32(d.Uint(32))
			k.umask = &mask
		}
	case "namespaces":
		elements(d, func() { k.namespaces = append(k.namespaces, k.namespace(d)) })
	case "capabilities":
		k.capabilities = readCapabilities(d)
	case "cgroups":
		object(d, func() { k.cgroup.property(d) })
	case "apparmor_profile":
		k.apparmor = d.String()
	case "process_label":
		k.label = d.String()
	case "rlimits":
		elements(d, func() { k.rlimits = append(k.rlimits, k.rlimit(d)) })
	case "oom_score_adj":
		if !d.Null() {
			score := int(d.Int(32))
			k.oomScoreAdj = &score
		}
	case "uid_mappings":
		elements(d, func() { k.uids = append(k.uids, idMapping(d)) })
	case "gid_mappings":
		elements(d, func() { k.gids = append(k.gids, idMapping(d)) })
	case "seccomp":
		k.seccomp = k.readSeccomp(d)
	case "no_new_privileges":
		k.noNewPrivileges = d.Bool()
	case "Hooks":
		k.readHooks(d)
	case "version":
		k.version = d.String()
	case "labels":
		k.labels = d.Strings()
	case "no_new_keyring":
		k.noNewKeyring = d.Bool()
	case "rootless_cgroups":
		k.rootlessCgroups = d.Bool()
	case "intel_rdt":
		object(d, func() {
			if d.Key() == "closID" || d.Key() == "clos_id" {
				k.closID = d.String()
			} else {
				d.Skip()
			}
		})
	default:
		known := strings.Contains(otherKeys, " "+d.Key()+" ")
		d.Skip()
		return known
	}
	return true
}

func (g *runcCgroup) property(d *jsonx.Decoder) {
	switch d.Key() {
	case "name":
		g.name = d.String()
	case "parent":
		g.parent = d.String()
	case "scope_prefix":
		g.prefix = d.String()
	case "Systemd", "systemd":
		g.systemd, g.said = d.Bool(), true
	default:
		if !g.limit(d) {
			d.Skip()
		}
	}
}

// namespaceType returns the spec's name for a namespace type in runc's state, "" for an unknown
// one.
func namespaceType(name string) specs.LinuxNamespaceType {
	switch name {
	case "NEWNET":
		return specs.NetworkNamespace
	case "NEWPID":
		return specs.PIDNamespace
	case "NEWNS":
		return specs.MountNamespace
	case "NEWUTS":
		return specs.UTSNamespace
	case "NEWIPC":
		return specs.IPCNamespace
	case "NEWUSER":
		return specs.UserNamespace
	case "NEWCGROUP":
		return specs.CgroupNamespace
	case "NEWTIME":
		return specs.TimeNamespace
	}
	return ""
}

func (k *runcConfig) namespace(d *jsonx.Decoder) (n specs.LinuxNamespace) {
	object(d, func() {
		switch d.Key() {
		case "type":
			name := d.String()
			if n.Type = namespaceType(name); n.Type == "" {
				k.refuse("namespaces: %q is no namespace of runc's", name)
			}
		case "path":
			n.Path = d.String()
		default:
			d.Skip()
		}
	})
	return n
}

// rlimitNames are the names of the limits RLIMIT_*, by number (getrlimit(2)). The numbers are the
// same on all architectures that davit runs on.
var rlimitNames = [...]string{"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"}

func (k *runcConfig) rlimit(d *jsonx.Decoder) (l specs.POSIXRlimit) {
	object(d, func() {
		switch d.Key() {
		case "type":
			n := d.Int(32)
			if n < 0 || int(n) >= len(rlimitNames) {
				k.refuse("rlimits: type %d is no limit", n)
				return
			}
			l.Type = "RLIMIT_" + rlimitNames[n]
		case "hard":
			l.Hard = d.Uint(64)
		case "soft":
			l.Soft = d.Uint(64)
		default:
			d.Skip()
		}
	})
	return l
}

func idMapping(d *jsonx.Decoder) (m specs.LinuxIDMapping) {
	object(d, func() {
		switch d.Key() {
		case "container_id":
			m.ContainerID = uint32(d.Uint(32))
		case "host_id":
			m.HostID = uint32(d.Uint(32))
		case "size":
			m.Size = uint32(d.Uint(32))
		default:
			d.Skip()
		}
	})
	return m
}

func readCapabilities(d *jsonx.Decoder) *specs.LinuxCapabilities {
	if d.Null() {
		return nil
	}
	c := &specs.LinuxCapabilities{}
	object(d, func() {
		switch d.Key() {
		case "Bounding":
			c.Bounding = d.Strings()
		case "Effective":
			c.Effective = d.Strings()
		case "Inheritable":
			c.Inheritable = d.Strings()
		case "Permitted":
			c.Permitted = d.Strings()
		case "Ambient":
			c.Ambient = d.Strings()
		default:
			d.Skip()
		}
	})
	return c
}

// readHooks reads the hooks that delete runs, and those that a restore runs again.
func (k *runcConfig) readHooks(d *jsonx.Decoder) {
	object(d, func() {
		var hooks *[]specs.Hook
		switch d.Key() {
		case "poststop":
			hooks = &k.hooks.Poststop
		case "prestart":
			hooks = &k.hooks.Prestart //nolint:staticcheck // deprecated, but engines use it
		case "createRuntime":
			hooks = &k.hooks.CreateRuntime
		default:
			d.Skip()
			return
		}
		elements(d, func() { *hooks = append(*hooks, runcHook(d)) })
	})
}

func runcHook(d *jsonx.Decoder) (h specs.Hook) {
	object(d, func() {
		switch d.Key() {
		case "path":
			h.Path = d.String()
		case "args":
			h.Args = d.Strings()
		case "env":
			h.Env = d.Strings()
		case "timeout":
			if !d.Null() { // nanoseconds; config.json has seconds
				seconds := max(int((d.Int(64)+999_999_999)/1_000_000_000), 1)
				h.Timeout = &seconds
			}
		default:
			d.Skip()
		}
	})
	return h
}

func (k *runcConfig) refuse(format string, args ...any) {
	if k.err == nil {
		k.err = fmt.Errorf(runcFile+": config."+format, args...)
	}
}

// object calls f for each property of an object; for null it does nothing.
func object(d *jsonx.Decoder, f func()) {
	if d.Object() {
		for d.Next() {
			f()
		}
	}
}

// elements calls f for each element of an array; for null it does nothing.
func elements(d *jsonx.Decoder, f func()) {
	if d.Array() {
		for d.More() {
			f()
		}
	}
}

// hasOwn reports whether the container got a new namespace of that type.
func hasOwn(list []specs.LinuxNamespace, kind specs.LinuxNamespaceType) bool {
	for _, n := range list {
		if n.Type == kind && n.Path == "" {
			return true
		}
	}
	return false
}

// needMounts refuses a container whose mounts are in a mount namespace that it shares with others:
// then nothing says which mounts are the container's.
func needMounts(list []specs.LinuxNamespace) error {
	for _, n := range list {
		if n.Type == specs.MountNamespace {
			return nil
		}
	}
	return errors.New("it has no mount namespace of its own, and nothing says which mounts are its own")
}
