// Package running compares running containers with their configs.
package running

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"davit/internal/config"
	"davit/internal/launch"
	"davit/internal/process"
	"davit/internal/store"
	"davit/internal/sys"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Drift is one difference between a running container and its config.
type Drift struct {
	Field string // the field of config.json
	Want  string
	Have  string
}

// verification compares a process with the config. It reads /proc.
type verification struct {
	c      *store.Entry
	spec   *specs.Spec
	proc   string // /proc/PID/
	root   int    // a descriptor of its root directory, or -1
	rootAt string // the path of that directory in davit's mount namespace
	status map[string]string
	drifts []Drift
}

// Verify compares a container's first process and its cgroups with its config, and returns the differences. It fails with
// store.ErrNotRunning if the process has ended, and with c.Broken if the state could not be read.
func Verify(c *store.Entry) ([]Drift, error) {
	if c.Broken != nil {
		return nil, c.Broken
	}
	if c.Pidfd.Int() < 0 {
		return nil, store.ErrNotRunning
	}
	s, err := c.Spec()
	if err != nil {
		return nil, err
	}
	v := &verification{c: c, spec: s, proc: "/proc/" + strconv.Itoa(c.Pid) + "/", root: -1}
	checks := []func() error{v.readStatus, v.namespaces, v.mounts, v.cgroups}
	if s.Process != nil { // otherwise the process is the stage, which waits for ever
		checks = append(checks, v.identity, v.capabilities, v.confinement, v.limits)
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if store.HasExited(c.Pidfd.Int()) { // the number may have been another process's meanwhile
		return nil, store.ErrNotRunning
	}
	return v.drifts, nil
}

func (v *verification) expect(field, want, have string) {
	if want != have {
		v.drifts = append(v.drifts, Drift{field, want, have})
	}
}

func (v *verification) readStatus() (err error) {
	v.status, err = sys.Status(strconv.Itoa(v.c.Pid))
	return err
}

func (v *verification) namespaces() error {
	asked := map[specs.LinuxNamespaceType]bool{}
	for i, n := range v.spec.Linux.Namespaces {
		asked[n.Type] = true
		field := fmt.Sprintf("linux.namespaces[%d]", i)
		have, err := os.Readlink(v.proc + "ns/" + config.NamespaceFile(n.Type))
		if err != nil {
			return err
		}
		own, err := os.Readlink("/proc/self/ns/" + config.NamespaceFile(n.Type))
		if err != nil {
			return err
		}
		switch {
		case n.Path == "" && have == own:
			v.expect(field, "its own "+string(n.Type)+" namespace", "that of the host: "+have)
		case n.Path != "":
			if want, err := os.Readlink(n.Path); err == nil {
				v.expect(field+".path", want, have)
			}
		}
	}
	for _, n := range config.Namespaces {
		if asked[n.Type] {
			continue
		}
		have, err1 := os.Readlink(v.proc + "ns/" + config.NamespaceFile(n.Type))
		own, err2 := os.Readlink("/proc/self/ns/" + config.NamespaceFile(n.Type))
		if err1 == nil && err2 == nil && have != own {
			v.drifts = append(v.drifts, Drift{"linux.namespaces", "the host's " + string(n.Type) + " namespace " + own, have})
		}
	}
	return nil
}

// mountpoint is a mount of the container.
type mountpoint struct {
	path, fstype string
	options      map[string]bool // the options of the mount
}

func (v *verification) mounts() error {
	table, err := readMounts(strconv.Itoa(v.c.Pid))
	if err != nil {
		return err
	}
	if v.root, err = unix.Open(v.proc+"root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		defer unix.Close(v.root)
		v.rootAt, _ = os.Readlink(sys.FDPath(v.root))
	}
	explained := map[string]bool{"/": true, "/dev/console": true}
	var trees []string // destinations of recursive bind mounts, below which there may be more mounts
	for i, m := range v.spec.Mounts {
		links := slices.Contains(m.Options, "dest-nofollow") || slices.Contains(m.Options, "copy-symlink")
		at, _ := v.resolve(m.Destination, links)
		if slices.Contains(m.Options, "copy-symlink") && v.isLink(m.Destination) {
			continue
		}
		v.mount(fmt.Sprintf("mounts[%d]", i), &m, at, table)
		explained[at] = true
		if m.Type == "cgroup" || slices.Contains(m.Options, "rbind") {
			trees = append(trees, at+"/")
		}
	}
	if len(v.spec.Linux.UIDMappings) > 0 {
		trees = append(trees, "/dev/") // devices may be bind mounts
	}
	v.expect("root.readonly", strconv.FormatBool(rootfs.ReadOnly(v.spec)), strconv.FormatBool(table["/"].options["ro"]))
	for i, p := range v.spec.Linux.MaskedPaths {
		at := v.covered(fmt.Sprintf("linux.maskedPaths[%d]", i), p, "masked", table, func(m mountpoint) bool { return m.fstype == "tmpfs" || m.fstype == "devtmpfs" })
		explained[at] = true
	}
	for i, p := range v.spec.Linux.ReadonlyPaths {
		at := v.covered(fmt.Sprintf("linux.readonlyPaths[%d]", i), p, "read-only", table, func(m mountpoint) bool { return m.options["ro"] })
		explained[at] = true
	}
	for p := range table {
		if !explained[p] && !slices.ContainsFunc(trees, func(tree string) bool { return strings.HasPrefix(p, tree) }) {
			v.drifts = append(v.drifts, Drift{"mounts", "no mount on " + p, table[p].fstype})
		}
	}
	return nil
}

// readMounts returns the topmost mount of each path, as a process sees them.
func readMounts(pid string) (map[string]mountpoint, error) {
	mounts, err := sys.Mounts(pid)
	if err != nil {
		return nil, err
	}
	table := map[string]mountpoint{}
	for _, line := range mounts {
		m := mountpoint{path: line.Point, fstype: line.Type, options: map[string]bool{}}
		for o := range strings.SplitSeq(line.Options, ",") {
			m.options[o] = true
		}
		table[m.path] = m
	}
	return table, nil
}

// resolve returns where a path of the config leads in the container, whose image may have symlinks
// on the way, and whether a file exists there. With link it does not follow a link at the end. It
// stays within the container's root.
func (v *verification) resolve(p string, link bool) (at string, found bool) {
	flags := uint64(unix.O_PATH | unix.O_CLOEXEC)
	if link {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat2(v.root, p, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return path.Clean("/" + p), false
	}
	defer unix.Close(fd)
	if at, err = os.Readlink(sys.FDPath(fd)); err != nil {
		return path.Clean("/" + p), true
	}
	// In its own mount namespace the container's root is /, in davit's it has a path.
	return path.Clean("/" + strings.TrimPrefix(at, v.rootAt)), true
}

// isLink reports whether a path of the config is a symbolic link in the container.
func (v *verification) isLink(p string) bool {
	fd, err := unix.Openat2(v.root, p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// mount checks one entry of mounts: that something is mounted there, that it has the right type, and that it has the restrictions
// for which the config asks.
func (v *verification) mount(field string, m *specs.Mount, at string, table map[string]mountpoint) {
	have, ok := table[at]
	if !ok {
		v.drifts = append(v.drifts, Drift{field, "a mount on " + m.Destination, "none"})
		return
	}
	kind := m.Type
	switch {
	case kind == "cgroup" && (have.fstype == "cgroup2" || have.fstype == "tmpfs"):
		kind = have.fstype
	case kind == "bind" || kind == "none" || kind == "":
		kind = have.fstype
	}
	for _, o := range m.Options {
		switch o {
		case "bind", "rbind":
			kind = have.fstype
		case "ro", "nosuid", "nodev", "noexec", "nosymfollow":
			if !have.options[o] {
				v.drifts = append(v.drifts, Drift{field + ".options", o, "not " + o})
			}
		}
	}
	v.expect(field+".type", kind, have.fstype)
}

// covered checks a masked or read-only path, if it exists in the container, and returns the path to which it leads.
func (v *verification) covered(field, p, what string, table map[string]mountpoint, ok func(mountpoint) bool) (at string) {
	at, found := v.resolve(p, false)
	if m, there := table[at]; found && (!there || !ok(m)) {
		v.drifts = append(v.drifts, Drift{field, p + " " + what, "it is not"})
	}
	return at
}

func (v *verification) identity() error {
	p := v.spec.Process
	have := func(name string) string { return strings.Join(strings.Fields(v.status[name]), " ") }
	if len(v.spec.Linux.UIDMappings) == 0 && v.c.Namespaces&unix.CLONE_NEWUSER == 0 {
		uid, gid := strconv.Itoa(int(p.User.UID)), strconv.Itoa(int(p.User.GID))
		v.expect("process.user.uid", strings.Join([]string{uid, uid, uid, uid}, " "), have("Uid"))
		v.expect("process.user.gid", strings.Join([]string{gid, gid, gid, gid}, " "), have("Gid"))
	}
	if p.User.Umask != nil {
		v.expect("process.user.umask", fmt.Sprintf("%04o", *p.User.Umask), have("Umask"))
	}
	if p.OOMScoreAdj != nil {
		data, err := sys.ReadWhole(v.proc + "oom_score_adj")
		if err != nil {
			return err
		}
		v.expect("process.oomScoreAdj", strconv.Itoa(*p.OOMScoreAdj), launch.TrimNewline(data))
	}
	return nil
}

// capabilities checks the capability sets. An exec gives root those of the bounding set (capabilities(7)).
func (v *verification) capabilities() error {
	sets, bounding := process.Capabilities(v.spec.Process.Capabilities, ^uint64(0))
	if v.spec.Process.User.UID == 0 {
		sets.Permitted, sets.Effective = bounding|sets.Inheritable, bounding|sets.Inheritable
	} else {
		sets.Permitted, sets.Effective = sets.Ambient, sets.Ambient
	}
	for _, set := range [...]struct {
		name, status string
		want         uint64
	}{
		{"bounding", "CapBnd", bounding}, {"permitted", "CapPrm", sets.Permitted}, {"effective", "CapEff", sets.Effective},
		{"inheritable", "CapInh", sets.Inheritable}, {"ambient", "CapAmb", sets.Ambient},
	} {
		have, err := strconv.ParseUint(v.status[set.status], 16, 64)
		if err != nil {
			return fmt.Errorf("%s of /proc/%d/status: %w", set.status, v.c.Pid, err)
		}
		v.expect("process.capabilities."+set.name, capList(set.want), capList(have))
	}
	return nil
}

func capList(m uint64) string {
	var names []string
	for n := range 64 {
		if m>>n&1 != 0 {
			names = append(names, config.CapabilityName(n))
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}

// confinement checks no_new_privs, seccomp and the LSM label.
func (v *verification) confinement() error {
	want := "0"
	if v.spec.Process.NoNewPrivileges {
		want = "1"
	}
	v.expect("process.noNewPrivileges", want, v.status["NoNewPrivs"])
	want = "0"
	if v.spec.Linux.Seccomp != nil {
		want = "2" // SECCOMP_MODE_FILTER
	}
	v.expect("linux.seccomp", want, v.status["Seccomp"])
	label, err := sys.ReadWhole(v.proc + "attr/current")
	have := strings.TrimRight(string(label), "\x00\n")
	switch {
	case err != nil:
	case v.spec.Process.SelinuxLabel != "":
		v.expect("process.selinuxLabel", v.spec.Process.SelinuxLabel, have)
	case v.spec.Process.ApparmorProfile != "":
		name, _, _ := strings.Cut(have, " (")
		v.expect("process.apparmorProfile", v.spec.Process.ApparmorProfile, name)
	}
	return nil
}

// limits reads /proc/PID/limits, which has one line for each limit, in the order of their numbers:
// prlimit(2) on another user's process needs CAP_SYS_RESOURCE.
func (v *verification) limits() error {
	data, err := sys.ReadWhole(v.proc + "limits")
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")[1:]
	show := func(n uint64) string {
		if n == unix.RLIM_INFINITY {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	for i, r := range v.spec.Process.Rlimits {
		n, ok := config.Rlimit(r.Type)
		if !ok || int(n) >= len(lines) || len(lines[n]) < 46 {
			continue
		}
		have := strings.Fields(lines[n][26:]) // after a name of 25 columns (proc_pid_limits of fs/proc/base.c): soft, hard, unit
		v.expect(fmt.Sprintf("process.rlimits[%d]", i), r.Type+" soft "+show(r.Soft)+" hard "+show(r.Hard), r.Type+" soft "+have[0]+" hard "+have[1])
	}
	return nil
}

func (v *verification) cgroups() error {
	m := v.c.Cgroups()
	defer m.Close()
	drifts, err := m.Verify(v.spec.Linux.Resources)
	for _, d := range drifts {
		v.drifts = append(v.drifts, Drift{d.Field, d.File + " " + d.Want, d.Have})
	}
	return err
}
