package checkpoint

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"davit/internal/diagnose"
	"davit/internal/launch"
	"davit/internal/plan"
	"davit/internal/sys"
	"davit/rootfs"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// yard is the directory in which restore mounts what the container gets from the host. The mounts are in a mount namespace that only
// CRIU shares, so that the directory stays empty on the host. CRIU also enters it as the container's root user, who must be able to
// search all directories of the path.
const yard = "/run/davit-criu"

// Staging collects what a restored container gets from the host.
type Staging struct {
	Plan  *plan.Plan
	Spec  *specs.Spec
	Root  string // the path of the root filesystem on the host
	tmpIn int    // the root filesystem in which makeTmp has made a directory; 0: none
}

// Stage collects in the yard, in the mount namespace of the calling thread, the root filesystem and
// all sources of the host. It makes the mount points that are missing in the root filesystem.
func (r *Staging) Stage(q *rpc.CriuOpts) error {
	trees, err := r.openTrees()
	defer trees.close()
	if err != nil {
		return err
	}
	if err := makeYard(); err != nil {
		return fmt.Errorf("%s: %w", yard, err)
	}
	root := yard + "/root"
	if err := attach(trees.root, root); err != nil {
		return fmt.Errorf("root.path: %w", err)
	}
	q.Root = &root
	if err := r.makeMountpoints(trees.root); err != nil {
		return err
	}
	if err := r.makeTmp(trees.root); err != nil {
		return err
	}
	for i := range trees.mounts {
		m := &trees.mounts[i]
		if err := m.restrict(); err != nil {
			return fmt.Errorf("%s: %w", m.field, err)
		}
		if err := attach(m.fd, m.place()); err != nil {
			return fmt.Errorf("%s: %w", m.field, err)
		}
		q.External = append(q.External, "mnt["+m.key+"]:"+m.place())
	}
	if err := r.makeEmpty(q); err != nil {
		return err
	}
	// In these CRIU looks for the mounts of which the container's mounts are slaves.
	if err := unix.Mount("", yard, "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("mount %s as shared: %w", yard, err)
	}
	return trees.submounts(q)
}

// makeEmpty makes the empty directory for emptyKey. It is read-only, because all mounts with that key share it, and CRIU gives only the
// first of them its attributes.
func (r *Staging) makeEmpty(q *rpc.CriuOpts) error {
	if !slices.ContainsFunc(r.Plan.Steps, func(e plan.Entry) bool { _, is := e.Step.(plan.Mask); return is }) {
		return nil
	}
	const at = yard + "/empty"
	if err := unix.Mkdir(at, 0o755); err != nil {
		return fmt.Errorf("mkdir %s: %w", at, err)
	}
	if err := unix.Mount("davit", at, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=4k"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", at, err)
	}
	q.External = append(q.External, "mnt["+emptyKey+"]:"+at)
	return nil
}

// makeYard mounts a small tmpfs on the yard.
func makeYard() error {
	if err := unix.Mkdir(yard, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("mkdir: %w", err)
	}
	fd, err := unix.Open(yard, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Mount("davit", sys.FDPath(fd), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return nil
}

// HideTmp mounts a tmpfs on /tmp, in the mount namespace of the calling thread. CRIU makes a directory there that everybody may write
// to (/tmp/.criu.mntns.*), also as the container's root user, and leaves it if it is killed. In the tmpfs, nobody on the host reaches
// it, and it ends with CRIU. With a configuration file, which may name files below the host's /tmp, HideTmp does so only if that user
// could not write to /tmp.
func (r *Staging) HideTmp(configured bool) error {
	var st unix.Stat_t
	if _, _, mapped := mappedRoot(r.Spec); configured && (!mapped || unix.Stat("/tmp", &st) == nil && st.Mode&0o003 == 0o003) {
		return nil
	}
	if err := unix.Mount("davit", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=1m"); err != nil {
		return fmt.Errorf("mount tmpfs on /tmp: %w", err)
	}
	return nil
}

// attach mounts a tree on a new file or directory.
func attach(tree int, at string) error {
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return fmt.Errorf("fstat: %w", err)
	}
	var err error
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = unix.Mkdir(at, 0o755)
	} else {
		err = unix.Mknod(at, unix.S_IFREG|0o644, 0)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", at, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount to %s: %w", at, err)
	}
	return nil
}

// stagedMount is a mount tree of the host, with the key by which CRIU asks for it.
type stagedMount struct {
	externalMount
	fd, number int
}

func (m *stagedMount) place() string { return yard + "/" + strconv.Itoa(m.number) }

// restrict gives the tree the attributes of the container's mount. CRIU sets them, too, but not if
// it takes the mount for a copy of another one (do_bind_mount_v2 of CRIU 4.2).
func (m *stagedMount) restrict() error {
	for _, a := range [...]struct {
		flags      uint
		set, clear uint64
	}{{unix.AT_RECURSIVE, m.allSet, m.allClear}, {0, m.set, m.clear}} {
		attr := unix.MountAttr{Attr_set: a.set, Attr_clr: a.clear}
		if a.set&unix.MOUNT_ATTR__ATIME != 0 { // mount_setattr(2) requires this together with any of these
			attr.Attr_clr |= unix.MOUNT_ATTR__ATIME
		}
		if attr.Attr_set|attr.Attr_clr == 0 {
			continue
		}
		if err := unix.MountSetattr(m.fd, "", unix.AT_EMPTY_PATH|a.flags, &attr); err != nil {
			return fmt.Errorf("mount_setattr: %w", err)
		}
	}
	return nil
}

// stagedTrees are the open mount trees of a container.
type stagedTrees struct {
	root   int
	mounts []stagedMount
}

func (t *stagedTrees) close() {
	if t.root >= 0 {
		unix.Close(t.root)
	}
	for i := range t.mounts {
		if fd := t.mounts[i].fd; fd >= 0 {
			unix.Close(fd)
		}
	}
}

// openTrees opens all trees before the first one is mounted, because a mount could change where a path of the host leads.
func (r *Staging) openTrees() (*stagedTrees, error) {
	t := &stagedTrees{root: -1}
	var err error
	root := plan.Descriptor{Kind: plan.TreeRecursive, Path: r.Root, Field: "root.path"}
	if t.root, err = launch.OpenDescriptor(&root, nil); err != nil {
		return t, launch.OpenFailed(&root, err, diagnose.HintOpen(&root, err))
	}
	maps := launch.Idmaps{}
	defer maps.Close()
	seen := map[string]bool{}
	for _, m := range externalMountsOf(r.Plan) {
		if seen[m.key] {
			continue
		}
		seen[m.key] = true
		for _, v := range m.variants() {
			fd, err := r.openSource(&v, maps)
			if err != nil {
				return t, err
			}
			t.mounts = append(t.mounts, stagedMount{externalMount: v, fd: fd, number: len(t.mounts)})
		}
	}
	return t, nil
}

func (r *Staging) openSource(m *externalMount, maps launch.Idmaps) (int, error) {
	d := m.source
	switch d.Kind {
	case plan.StateTree:
		return launch.OpenTree(&d)
	case plan.Path: // a device
		d.Kind = plan.Tree
	}
	joined := -1
	if d.Namespace != plan.NoFD {
		var err error
		of := r.Plan.Descriptors[d.Namespace-1]
		if joined, err = launch.OpenDescriptor(&of, nil); err != nil {
			return -1, launch.OpenFailed(&of, err, "")
		}
		defer unix.Close(joined)
	}
	if d.Kind == plan.Instance {
		return launch.OpenInstance(&d, joined)
	}
	return launch.OpenMapped(&d, joined, nil, maps)
}

// submounts tells CRIU about the mounts below the trees. In the container they are at the same
// places below their tree.
func (t *stagedTrees) submounts(q *rpc.CriuOpts) error {
	lines, err := sys.Mounts("thread-self")
	if err != nil {
		return err
	}
	for _, line := range lines {
		rest, is := strings.CutPrefix(line.Point, yard+"/")
		if !is {
			continue
		}
		top, below, sub := strings.Cut(rest, "/")
		if !sub {
			continue
		}
		key := "/"
		if top != "root" {
			n, err := strconv.Atoi(top)
			if err != nil || n >= len(t.mounts) {
				continue
			}
			key = t.mounts[n].key
		}
		q.External = append(q.External, "mnt["+path.Join(key, below)+"]:"+line.Point)
	}
	return nil
}

// makeMountpoints makes the mount points that are missing in a new root filesystem. It leaves out those that lie on another mount: CRIU
// gets these from the images or from the host.
func (r *Staging) makeMountpoints(root int) error {
	var covered []string
	for _, e := range r.Plan.Steps {
		target, isFile := "", false
		switch s := e.Step.(type) {
		case plan.Mount:
			target = s.Target
		case plan.CopyUp:
			target = s.Target
		case plan.Bind:
			target = s.Target
			isFile = r.bindsFile(&s)
		default:
			continue
		}
		if !isBelow(target, covered) {
			if err := makeBelow(root, target, isFile); err != nil {
				return fmt.Errorf("%s: make the mount point %s: %w", e.Field, target, err)
			}
		}
		covered = append(covered, target)
	}
	return nil
}

// bindsFile reports whether the source of a bind mount exists and is not a directory.
func (r *Staging) bindsFile(s *plan.Bind) bool {
	var st unix.Stat_t
	if s.How&plan.BindInRoot != 0 || s.Source == "" || unix.Stat(s.Source, &st) != nil {
		return false
	}
	return st.Mode&unix.S_IFMT != unix.S_IFDIR
}

// makeTmp makes the directory /tmp if a read-only root filesystem has none. CRIU puts the old root
// there when it changes to the container's root, and cannot make the directory itself. RemoveTmp
// removes it afterwards.
func (r *Staging) makeTmp(root int) error {
	if !rootfs.ReadOnly(r.Spec) {
		return nil
	}
	err := unix.Mkdirat(root, "tmp", 0o755)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("root.path: mkdir tmp, which CRIU needs in %s: %w", r.Root, err)
	}
	r.tmpIn, err = launch.Named("fcntl", "root.path")(unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0))
	return err
}

// RemoveTmp removes the directory that makeTmp has made, if it has made one. It may be called twice.
func (r *Staging) RemoveTmp() {
	if r.tmpIn > 0 {
		_ = unix.Unlinkat(r.tmpIn, "tmp", unix.AT_REMOVEDIR)
		unix.Close(r.tmpIn)
		r.tmpIn = 0
	}
}

func isBelow(target string, mounts []string) bool {
	for _, m := range mounts {
		if strings.HasPrefix(target, m+"/") {
			return true
		}
	}
	return false
}

// makeBelow makes the missing parts of a path below a root directory. It makes each name in a
// directory that the kernel has found below the root, and then looks up the whole path again,
// because somebody may exchange a directory on the way.
func makeBelow(root int, target string, isFile bool) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	done := "/"
	parts := strings.Split(strings.Trim(filepath.Clean("/"+target), "/"), "/")
	for i, part := range parts {
		next := path.Join(done, part)
		fd, err := unix.Openat2(root, next, &how)
		if err == nil {
			unix.Close(fd)
			done = next
			continue
		}
		if !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("openat2 %s: %w", next, err)
		}
		dir, err := unix.Openat2(root, done, &how)
		if err != nil {
			return fmt.Errorf("openat2 %s: %w", done, err)
		}
		if isFile && i == len(parts)-1 {
			err = unix.Mknodat(dir, part, unix.S_IFREG|0o644, 0)
		} else {
			err = unix.Mkdirat(dir, part, 0o755)
		}
		unix.Close(dir)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("make %s: %w", next, err)
		}
		done = next
	}
	return nil
}
