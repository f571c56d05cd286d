package launch

import (
	"errors"
	"fmt"
	"strings"

	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/plan"
	"davit/internal/sys"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// Descriptors are the open descriptors of a plan, in its order. -1 stands for one that is not open.
type Descriptors []int

// at returns the number of a descriptor of the plan, or -1 for plan.NoFD.
func (d Descriptors) at(fd plan.FD) int {
	if fd == plan.NoFD {
		return -1
	}
	return d[fd-1]
}

// Close closes those that are open. A second call closes nothing.
func (d Descriptors) Close() {
	for i, fd := range d {
		if fd >= 0 {
			unix.Close(fd)
			d[i] = -1
		}
	}
}

// OpenDescriptors opens what the plan needs from the host, before anything is made there. The start socket is opened later, because its
// directory does not exist yet. given has descriptors that the caller has already opened; preserved is the number of descriptors
// that the process gets besides those of the plan. The caller closes what is returned.
func OpenDescriptors(p *plan.Plan, given map[string]int, preserved int) (Descriptors, error) {
	fds := make(Descriptors, len(p.Descriptors))
	for i := range fds {
		fds[i] = -1
	}
	low, err := reserveLow(p, preserved)
	if err != nil {
		return nil, err
	}
	defer low.Close()
	if err := openNodes(p, fds); err != nil {
		fds.Close()
		return nil, err
	}
	maps := Idmaps{}
	defer maps.Close()
	apart := false
	for i := range p.Descriptors {
		d := p.Descriptors[i]
		if d.Apart {
			apart = true
			continue
		}
		if d.Kind == plan.Node {
			continue
		}
		if d.Within { // the place, and whether it is there
			d.Kind, d.Maps, d.Namespace = plan.Path, "", plan.NoFD
		}
		var err error
		if d.Kind == plan.Instance {
			fds[i], err = OpenInstance(&d, fds.at(d.Namespace))
		} else {
			fds[i], err = OpenMapped(&d, fds.at(d.Namespace), given, maps)
		}
		if err != nil {
			fds.Close()
			return nil, err
		}
	}
	if apart {
		if err := openApart(p, fds, maps); err != nil {
			fds.Close()
			return nil, err
		}
	}
	return fds, nil
}

// openApart opens the trees that are Apart in a copy of the mount namespace, on a thread that ends afterwards.
func openApart(p *plan.Plan, fds Descriptors, maps Idmaps) error {
	if err := maps.prepare(p, func(d *plan.Descriptor) bool { return d.Apart }); err != nil {
		return err
	}
	return sys.OwnMounts(func() error {
		for i := range p.Descriptors {
			d := &p.Descriptors[i]
			if !d.Apart {
				continue
			}
			var err error
			if fds[i], err = OpenMapped(d, fds.at(d.Namespace), nil, maps); err != nil {
				return err
			}
		}
		return nil
	})
}

// reserveLow occupies the lowest free numbers, so that the descriptors opened next have higher numbers than they will have in the
// stage. nsenter.Spawn hands descriptors over by package syscall, which first copies each one whose number is lower than its
// new one: without this, thousands of descriptors would count twice against RLIMIT_NOFILE. The caller closes what is returned.
func reserveLow(p *plan.Plan, preserved int) (Descriptors, error) {
	later := 0 // opened by the stage, or when the state directory is there
	for i := range p.Descriptors {
		switch p.Descriptors[i].Kind {
		case plan.Own, plan.Listen, plan.StateTree:
			later++
		}
	}
	if len(p.Descriptors)-later < compile.ManyDescriptors {
		return nil, nil
	}
	n := nsenter.Before + preserved + later
	low := make(Descriptors, 0, n)
	for range n {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			low.Close()
			return nil, fmt.Errorf("fcntl F_DUPFD_CLOEXEC: %w", err)
		}
		low = append(low, fd)
	}
	return low, nil
}

// OpenWithin opens the descriptors that are Within, in the mount namespace of the stage, and sends them to the stage.
func OpenWithin(p *plan.Plan, fds Descriptors, stage *nsenter.Stage) error {
	maps := Idmaps{}
	defer maps.Close()
	if err := maps.prepare(p, func(d *plan.Descriptor) bool { return d.Within }); err != nil {
		return err
	}
	return sys.OnThread(func() error { return openInside(p, fds, stage, maps) })
}

// openInside does that on the calling thread, which stays in the stage's mount namespace.
func openInside(p *plan.Plan, fds Descriptors, stage *nsenter.Stage, maps Idmaps) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	root := fmt.Sprintf("/proc/%d/root", stage.Pid)
	fd, err := Named("open", root)(unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Setns(stage.PidFD.Int(), unix.CLONE_NEWNS); err != nil {
		return fault.WithHint(fmt.Errorf("setns mount namespace of the stage: %w", err), "it needs CAP_SYS_PTRACE and CAP_SYS_CHROOT, not only CAP_SYS_ADMIN")
	}
	// setns(2) sets the thread's root to that of the mount namespace. The paths are below davit's root, which is another
	// directory if davit runs in a chroot. The stage has the copy of that directory as its root.
	if err := unix.Fchdir(fd); err != nil {
		return fmt.Errorf("fchdir %s: %w", root, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot %s: %w", root, err)
	}
	for i := range p.Descriptors {
		d := &p.Descriptors[i]
		if !d.Within {
			continue
		}
		fd, err := OpenMapped(d, fds.at(d.Namespace), nil, maps)
		if err != nil {
			return err
		}
		err = stage.Control.Opened(i, fd)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// OpenMapped opens a descriptor and gives the mount its id mappings, if it has some. joined is the user namespace from which it may
// take them, or -1. The caller closes the descriptor. The error names the field.
func OpenMapped(d *plan.Descriptor, joined int, given map[string]int, maps Idmaps) (int, error) {
	fd, err := OpenDescriptor(d, given)
	hint := diagnose.HintOpen(d, err)
	if err == nil && d.Mapped() {
		err = maps.Apply(fd, d, joined)
		hint = diagnose.HintMap(err)
	}
	if err == nil {
		return fd, nil
	}
	if fd >= 0 {
		unix.Close(fd)
	}
	return -1, OpenFailed(d, err, hint)
}

// OpenFailed adds the field of a descriptor and the hint to err.
func OpenFailed(d *plan.Descriptor, err error, hint string) error {
	if d.Field != "" {
		err = fault.In(d.Field, err)
	}
	return fault.WithHint(err, hint)
}

func OpenDescriptor(d *plan.Descriptor, given map[string]int) (int, error) {
	if d.Below != "" {
		return openBelow(d)
	}
	switch d.Kind {
	case plan.Path:
		flags := unix.O_PATH | unix.O_CLOEXEC
		if d.Link {
			flags |= unix.O_NOFOLLOW
		}
		return Named("open", d.Path)(unix.Open(d.Path, flags, 0))
	case plan.Tree, plan.TreeRecursive:
		return OpenTree(d)
	case plan.Node:
		return openNode(d)
	case plan.Namespace:
		return OpenNamespace(d.Path, d.Flags)
	case plan.Proc:
		return openProc()
	case plan.Connect:
		return Connect(d.Path, unix.SOCK_STREAM)
	case plan.Given:
		fd, ok := given[d.Path]
		if !ok {
			return -1, fmt.Errorf("no descriptor for %s", d.Path)
		}
		return Named("dup", d.Path)(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3))
	}
	return -1, nil // plan.Listen and plan.StateTree: see openState; plan.Own: the stage opens it
}

// openBelow opens a path in the container's root without leaving that, because the image decides what is there.
func openBelow(d *plan.Descriptor) (int, error) {
	root, err := Named("open", d.Below)(unix.Open(d.Below, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if d.Link {
		how.Flags |= unix.O_NOFOLLOW
	}
	at, err := Named("openat2", d.Path)(unix.Openat2(root, d.Path, &how))
	if err != nil || d.Kind == plan.Path {
		return at, err
	}
	defer unix.Close(at)
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if d.Kind == plan.TreeRecursive {
		flags |= unix.AT_RECURSIVE
	}
	return Named("open_tree", d.Path)(unix.OpenTree(at, "", flags))
}

func OpenTree(d *plan.Descriptor) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if d.Kind == plan.TreeRecursive {
		flags |= unix.AT_RECURSIVE
	}
	if d.Link {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	return Named("open_tree", d.Path)(unix.OpenTree(unix.AT_FDCWD, d.Path, flags))
}

// Named returns a function that adds the name of a call and its subject to the error of that call.
func Named(call, path string) func(int, error) (int, error) {
	return func(fd int, err error) (int, error) {
		if err != nil {
			return -1, fmt.Errorf("%s %s: %w", call, path, err)
		}
		return fd, nil
	}
}

// OpenNamespace opens a file of nsfs and checks that it is a namespace of the type flag (CLONE_NEW*). The caller closes it.
func OpenNamespace(path string, flag uint64) (int, error) {
	fd, err := Named("open", path)(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0))
	if err != nil {
		return -1, err
	}
	is, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err == nil && uint64(is) == flag {
		return fd, nil
	}
	unix.Close(fd)
	if err != nil {
		return -1, fmt.Errorf("%s is not a namespace", path)
	}
	return -1, fmt.Errorf("%s is a %s namespace, not a %s one", path, config.NamespaceName(uint64(is)), config.NamespaceName(flag))
}

// openProc opens /proc of the host, and checks that it is a procfs (invariant 4).
func openProc() (int, error) {
	fd, err := Named("open", "/proc")(unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return -1, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		unix.Close(fd)
		return -1, errors.New("/proc is not a procfs")
	}
	return fd, nil
}

// socketPath shortens a path that does not fit in a socket's address, by way
// of a descriptor of its directory. The caller calls done afterwards.
func socketPath(path string) (short string, done func(), err error) {
	if len(path) < 108 {
		return path, func() {}, nil
	}
	i := strings.LastIndexByte(path, '/')
	fd, err := Named("open", path)(unix.Open(path[:max(i, 0)+1], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, path[i+1:]), func() { unix.Close(fd) }, nil
}

func Connect(path string, kind int) (int, error) {
	short, done, err := socketPath(path)
	if err != nil {
		return -1, err
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: short}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", path, err)
	}
	return fd, nil
}

// Listen makes the socket on which the stage waits for start. The caller closes it.
func Listen(path string) (int, error) {
	short, done, err := socketPath(path)
	if err != nil {
		return -1, err
	}
	defer done()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: short}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on %s: %w", path, err)
	}
	return fd, nil
}

func WriteProc(path, text string) error {
	fd, err := Named("open", path)(unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return fmt.Errorf("write %q to %s: %w", strings.TrimSpace(text), path, err)
	}
	return nil
}
