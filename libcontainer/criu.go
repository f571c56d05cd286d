package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"davit/internal/config"
	"davit/internal/criu"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/store"
	"davit/internal/sys"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CriuOptions are what checkpoint and restore share.
type CriuOptions struct {
	ImagePath      string // of the directory with the images; "": checkpoint
	WorkPath       string // of the directory for logs and statistics; "": the images'
	TCPEstablished bool   // connections are saved, and restored
	TCPClose       bool   // connections are restored as closed ones
	ExtUnixSk      bool   // unix sockets may be connected to the outside
	ShellJob       bool   // processes may belong to a session from outside
	FileLocks      bool
	CgroupsMode    string // ignore, none, props, soft, full, strict; "": CRIU's default, soft
	EmptyNS        string // "network": that namespace is made, and left empty
	AutoDedup      bool
	NetworkLock    string // iptables, nftables, skip; "": iptables if it is there, else nftables
	LazyPages      bool   // memory is fetched from the page server when it is used
}

// cgroupMode returns the mode of a name. Those of runc are the first three.
func cgroupMode(name string) (mode rpc.CriuCgMode, ok bool) {
	switch name {
	case "soft":
		return rpc.CriuCgMode_SOFT, true
	case "full":
		return rpc.CriuCgMode_FULL, true
	case "strict":
		return rpc.CriuCgMode_STRICT, true
	case "ignore":
		return rpc.CriuCgMode_IGNORE, true
	case "none":
		return rpc.CriuCgMode_CG_NONE, true
	case "props":
		return rpc.CriuCgMode_PROPS, true
	}
	return 0, false
}

// keepCgroupNamespace makes soft of the mode ignore for a container with a cgroup namespace of its own, which CRIU saves and makes
// again with the cgroups alone: without it the container would see the host's. What soft does more stays below the container's own
// cgroup, whose limits it leaves alone, since davit has made it.
func keepCgroupNamespace(r *rpc.CriuOpts, s *specs.Spec) {
	own := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" })
	if m := r.ManageCgroupsMode; own && m != nil && *m == rpc.CriuCgMode_IGNORE {
		r.ManageCgroupsMode = new(rpc.CriuCgMode_SOFT)
	}
}

// saveOwnCgroups has CRIU save only those hierarchies in which the container has a cgroup of its own: of each it saves the process's
// cgroup with all that is below it, and restore makes that again. Where davit made no cgroup (hierarchies of cgroup v1 beside a
// pure view of v2, rootless without delegation) it would be the host's. dirs are the container's cgroups (cgroups.State).
func saveOwnCgroups(r *rpc.CriuOpts, pid int, dirs map[string]string) error {
	all, err := memberships(pid)
	if err != nil {
		return err
	}
	var own []string
	shared := false
	for _, m := range all {
		first, _, _ := strings.Cut(m.names, ",") // those of one hierarchy have one directory
		if dirs[first] == "" {
			shared = true
		} else {
			own = append(own, m.names)
		}
	}
	switch {
	case !shared:
	case len(own) == 0:
		r.ManageCgroupsMode = new(rpc.CriuCgMode_IGNORE)
	default:
		r.CgroupDumpController = own
	}
	return nil
}

// membership is a process's cgroup in one hierarchy: a line of /proc/PID/cgroup (cgroups(7)).
type membership struct {
	names string // of the hierarchy's controllers, with commas; "name=NAME"; "" for cgroup2
	path  string
}

func memberships(pid int) (all []membership, err error) {
	data, err := store.ReadWhole("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			all = append(all, membership{f[1], f[2]})
		}
	}
	return all, nil
}

// images are the open directories of a checkpoint.
type images struct {
	path, workPath string
	dir, work      int
}

func (i *images) close() {
	unix.Close(i.dir)
	if i.work != i.dir {
		unix.Close(i.work)
	}
}

// openImages opens the directories; with create it makes those that are missing.
func (o *CriuOptions) openImages(create bool) (*images, error) {
	i := &images{path: o.ImagePath, workPath: o.WorkPath, dir: -1, work: -1}
	if i.path == "" {
		i.path = "checkpoint"
	}
	var err error
	if i.path, err = filepath.Abs(i.path); err != nil {
		return nil, err
	}
	if i.dir, err = openImageDir("option ImagePath", i.path, create); err != nil {
		return nil, err
	}
	i.work = i.dir
	if i.workPath == "" {
		i.workPath = i.path
		return i, nil
	}
	if i.workPath, err = filepath.Abs(i.workPath); err == nil {
		i.work, err = openImageDir("option WorkPath", i.workPath, true)
	}
	if err != nil {
		unix.Close(i.dir)
		return nil, err
	}
	return i, nil
}

func openImageDir(flag, path string, create bool) (int, error) {
	if create {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return -1, fmt.Errorf("%s: %w", flag, err)
		}
	}
	fd, err := launch.Named("open", path)(unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return -1, fmt.Errorf("%s: %w", flag, err)
	}
	return fd, nil
}

// reopen opens the directories anew in the mount namespace of the calling thread: CRIU mounts in the second of
// them, which the kernel allows in its own mount namespace only.
func (i *images) reopen() error {
	dir, err := openAgain("option ImagePath", i.path, i.dir)
	if err != nil {
		return err
	}
	work := dir
	if i.work != i.dir {
		if work, err = openAgain("option WorkPath", i.workPath, i.work); err != nil {
			unix.Close(dir)
			return err
		}
	}
	i.close()
	i.dir, i.work = dir, work
	return nil
}

func openAgain(flag, path string, old int) (int, error) {
	fd, err := openImageDir(flag, path, false)
	if err != nil {
		return -1, err
	}
	var a, b unix.Stat_t
	if unix.Fstat(fd, &a) == nil && unix.Fstat(old, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino {
		return fd, nil
	}
	unix.Close(fd)
	return -1, fmt.Errorf("%s: %s is another directory by now", flag, path)
}

// request fills in what both verbs ask of CRIU.
func (o *CriuOptions) request(i *images, log string) (*rpc.CriuOpts, error) {
	r := &rpc.CriuOpts{
		ImagesDirFd: new(int32(i.dir)), WorkDirFd: new(int32(i.work)), LogLevel: new(int32(4)), LogFile: new(log),
		ManageCgroups: new(true), OrphanPtsMaster: new(true),
		TcpEstablished: new(o.TCPEstablished), TcpClose: new(o.TCPClose), ExtUnixSk: new(o.ExtUnixSk),
		ShellJob: new(o.ShellJob), FileLocks: new(o.FileLocks), AutoDedup: new(o.AutoDedup), LazyPages: new(o.LazyPages),
	}
	if o.CgroupsMode != "" {
		mode, ok := cgroupMode(o.CgroupsMode)
		if !ok {
			return nil, fmt.Errorf("option CgroupsMode: %q: one of soft, full, strict, ignore, none, props", o.CgroupsMode)
		}
		r.ManageCgroupsMode = &mode
	}
	if err := o.lockNetwork(r); err != nil {
		return nil, err
	}
	switch o.EmptyNS {
	case "":
	case "network":
		r.EmptyNs = new(uint32(unix.CLONE_NEWNET))
	default:
		return nil, fmt.Errorf("option EmptyNS: %q: only network can be left empty", o.EmptyNS)
	}
	return r, nil
}

// lockNetwork says how packets are held back while the processes are stopped.
func (o *CriuOptions) lockNetwork(r *rpc.CriuOpts) error {
	switch o.NetworkLock {
	case "":
		// CRIU's default is iptables, whether that is there or not.
		if _, err := exec.LookPath("iptables-restore"); err != nil {
			r.NetworkLock = new(rpc.CriuNetworkLockMethod_NFTABLES)
		}
	case "iptables":
		if _, err := exec.LookPath("iptables-restore"); err != nil {
			return withHint(errors.New("option NetworkLock: iptables: iptables-restore is not in PATH"), "install iptables, or take nftables or skip")
		}
		r.NetworkLock = new(rpc.CriuNetworkLockMethod_IPTABLES)
	case "nftables":
		r.NetworkLock = new(rpc.CriuNetworkLockMethod_NFTABLES)
	case "skip":
		r.NetworkLock = new(rpc.CriuNetworkLockMethod_SKIP)
	default:
		return fmt.Errorf("option NetworkLock: %q: one of iptables, nftables, skip", o.NetworkLock)
	}
	return nil
}

// criuConfig names the file with settings for CRIU: what the annotation says, or the first of these.
func criuConfig(annotations map[string]string) *string {
	if path, set := annotations["org.criu.config"]; set {
		if path == "" { // no file at all, as with runc
			return nil
		}
		return &path
	}
	for _, path := range [...]string{"/etc/criu/davit.conf", "/etc/criu/runc.conf"} {
		if _, err := os.Stat(path); err == nil {
			return &path
		}
	}
	return nil
}

// checkRestorable refuses what CRIU cannot save, or could not restore. verb is for the message.
func checkRestorable(s *specs.Spec, facts *host.Facts) error {
	if facts.UID() != 0 || !facts.InitialUserNS() {
		return errors.New("it takes root in the initial user namespace: CRIU reads and sets what no other user may")
	}
	if sc := s.Linux.Seccomp; sc != nil {
		notify := func(a specs.LinuxSeccompAction) bool { return a == specs.ActNotify }
		if notify(sc.DefaultAction) {
			return errors.New("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY: CRIU cannot save a filter that has a listener")
		}
		if at := slices.IndexFunc(sc.Syscalls, func(r specs.LinuxSyscall) bool { return notify(r.Action) }); at >= 0 {
			return fmt.Errorf("linux.seccomp.syscalls[%d].action: SCMP_ACT_NOTIFY: CRIU cannot save a filter that has a listener", at)
		}
	}
	own := false
	for i, n := range s.Linux.Namespaces {
		if n.Path != "" && (n.Type == specs.CgroupNamespace || n.Type == specs.MountNamespace || n.Type == specs.UserNamespace) {
			return withHint(fmt.Errorf("linux.namespaces[%d].path: %s: CRIU cannot restore a container that joins a %s namespace", i, n.Path, n.Type),
				"give the container a "+string(n.Type)+" namespace of its own")
		}
		own = own || n.Type == specs.MountNamespace
	}
	if !own {
		return withHint(errors.New("linux.namespaces: there is no mount namespace: the container's mounts are its caller's, which CRIU cannot restore"),
			`add {"type": "mount"} to linux.namespaces`)
	}
	return nil
}

// criuFailed adds what CRIU's log says to its error.
func criuFailed(err error, i *images, log string) error {
	lines := criu.LogErrors(i.work, log)
	var own *criu.Error
	if !errors.As(err, &own) && len(lines) == 0 {
		return err
	}
	text := err.Error()
	if len(lines) > 0 && own != nil { // its message is the first of these lines
		text = "criu: " + strings.Join(lines, "; ")
	}
	err = &criuError{text + " (" + filepath.Join(i.workPath, log) + ")", err}
	return withHint(err, criu.Hint(append(lines, text)))
}

// criuError is an error whose text was written anew.
type criuError struct {
	text string
	err  error
}

func (e *criuError) Error() string { return e.text }
func (e *criuError) Unwrap() error { return e.err }

// namespaceKey is the name by which a namespace that a container joins is known in the images. runc
// has the same names.
func namespaceKey(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.NetworkNamespace:
		return "extRootNetNS"
	case specs.PIDNamespace:
		return "extRootPidNS"
	}
	return ""
}

// hasRuntimeHooks reports whether hooks set up the network namespace, whose content CRIU then leaves
// to them.
func hasRuntimeHooks(s *specs.Spec) bool {
	return s.Hooks != nil && len(s.Hooks.Prestart)+len(s.Hooks.CreateRuntime) > 0 && //nolint:staticcheck // deprecated, but engines use it
		slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace && n.Path == "" })
}

// mappedRoot returns the ids that 0 has on the host in the container's user namespace.
func mappedRoot(s *specs.Spec) (uid, gid int, mapped bool) {
	if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
		return 0, 0, false
	}
	uid, gid = config.HostID(s.Linux.UIDMappings, 0), config.HostID(s.Linux.GIDMappings, 0)
	return uid, gid, uid > 0
}

// giveImages lets the container's root read the images, and nobody else. In the user namespace CRIU reads some of them
// before it has become that root, when it has davit's ids and no privileges: that is what the group is for.
func giveImages(i *images, s *specs.Spec) error {
	uid, _, mapped := mappedRoot(s)
	if !mapped {
		return nil
	}
	gid := os.Getegid()
	dir, err := unix.Openat(i.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", i.path, err)
	}
	f := os.NewFile(uintptr(dir), i.path)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".img") {
			continue
		}
		if err := giveFile(i.dir, name, uid, gid); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(i.path, name), err)
		}
	}
	if err := unix.Fchown(i.dir, uid, gid); err != nil {
		return fmt.Errorf("chown %s: %w", i.path, err)
	}
	if err := unix.Fchmod(i.dir, 0o750); err != nil {
		return fmt.Errorf("chmod %s: %w", i.path, err)
	}
	return nil
}

// giveFile changes the owner of a regular file, and takes it from all others.
func giveFile(dir int, name string, uid, gid int) error {
	fd, err := sys.Retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		return errors.New("not a regular file with one name")
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return err
	}
	return unix.Fchmod(fd, 0o640)
}
