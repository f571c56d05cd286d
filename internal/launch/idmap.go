package launch

import (
	"fmt"
	"io"
	"os"
	"strings"

	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/plan"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// Idmaps has an open user namespace for each set of id mappings, because engines use the same set for many mounts. Close closes them.
type Idmaps map[string]int

// Apply sets the id mappings of a detached mount tree: those of the user namespace joined, or d's own.
func (m Idmaps) Apply(tree int, d *plan.Descriptor, joined int) error {
	ns := joined
	if d.Maps != "" {
		var err error
		if ns, err = m.namespace(d.Maps); err != nil {
			return err
		}
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if d.MapsAll {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns)})
	if err != nil {
		return fmt.Errorf("mount_setattr idmap %s: %w", d.Path, err)
	}
	return nil
}

// prepare makes the user namespaces for the chosen descriptors, because the thread that uses them later cannot start a process.
func (m Idmaps) prepare(p *plan.Plan, chosen func(d *plan.Descriptor) bool) error {
	for i := range p.Descriptors {
		if d := &p.Descriptors[i]; d.Maps != "" && chosen(d) {
			if _, err := m.namespace(d.Maps); err != nil {
				return fault.In(d.Field, err)
			}
		}
	}
	return nil
}

func (m Idmaps) namespace(maps string) (int, error) {
	ns, made := m[maps]
	if !made {
		var err error
		if ns, err = mappedNamespace(maps); err != nil {
			return -1, fmt.Errorf("user namespace for the mappings: %w", err)
		}
		m[maps] = ns
	}
	return ns, nil
}

func (m Idmaps) Close() {
	for _, ns := range m {
		unix.Close(ns)
	}
}

// mappedNamespace returns a user namespace with the mappings. It is made with a stage that does nothing but wait until davit has
// opened the namespace.
func mappedNamespace(maps string) (int, error) {
	var p plan.Plan
	if host.Host().InitialUserNS() {
		p.Clone = unix.CLONE_NEWUSER
	} else {
		// The files of a process that is not dumpable are the root's of the user namespace in which it was executed. If
		// the stage were executed in the new one, where nobody is mapped yet, that would be the initial namespace's root.
		p.Add("", plan.Fork{Types: unix.CLONE_NEWUSER, Mappable: os.Geteuid() != 0})
	}
	p.Add("", plan.Sync{Phase: plan.Mapped})
	encoded, err := p.Encode()
	if err != nil {
		return -1, err
	}
	null, err := Named("open", "/dev/null")(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))
	if err != nil {
		return -1, err
	}
	defer unix.Close(null)
	stage, err := nsenter.Spawn(nsenter.Options{Plan: encoded, Clone: p.Clone, Stdio: [3]int{null, null, null}, Cgroup: -1, Fork: p.ForkStep()})
	if err != nil {
		return -1, err
	}
	defer stage.Close()
	defer stage.Kill()
	if _, err := stage.Receive(); err != nil && err != io.EOF {
		return -1, err
	}
	uids, gids, _ := strings.Cut(maps, "\x00")
	dir := fmt.Sprintf("/proc/%d/", stage.Pid)
	if err := WriteProc(dir+"uid_map", uids); err != nil {
		return -1, err
	}
	if err := WriteProc(dir+"gid_map", gids); err != nil {
		return -1, err
	}
	return Named("open", dir+"ns/user")(unix.Open(dir+"ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0))
}
