package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// Kill sends sig to every process of the container, its sub-cgroups included, whatever their pid
// namespace, also while they fork. SIGKILL on v2 is one write; anything else freezes, signals and thaws.
// A container that is frozen already stays so, except for SIGKILL on v1, which only works on thawed ones.
// An empty or missing cgroup is fine.
func (m *Manager) Kill(sig unix.Signal) error {
	if len(m.state.Dirs) == 0 {
		return errNoCgroup
	}
	var err error
	switch {
	case sig != unix.SIGKILL:
		err = m.signal(sig)
	case m.has2():
		err = fs.Retry(m.kill2) // a second SIGKILL does no harm
	default:
		err = fs.Retry(func() error { return m.signal(sig) })
	}
	if err != nil && fs.Gone(err) {
		return nil
	}
	return err
}

var errNoCgroup = errors.New("the container has no cgroup (rootless, without delegation): only its init can be signalled")

func (m *Manager) kill2() error {
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	err = fs.WriteAt(fd, "cgroup.kill", "1")
	if err == unix.EOPNOTSUPP { // a threaded cgroup
		return m.signal(unix.SIGKILL)
	}
	if err != nil {
		return fmt.Errorf("write 1 to %s/cgroup.kill: %w", m.state.Dirs[""], err)
	}
	if len(m.dirs) == 0 {
		return nil
	}
	return m.killStrays()
}

// signal freezes, so that nobody forks unseen, signals every process, and thaws, whatever happens. Where nothing can be
// frozen (no freezer; a process in uninterruptible sleep) it signals in rounds until nobody new appears.
func (m *Manager) signal(sig unix.Signal) error {
	was, err := m.Frozen()
	if err != nil {
		return err
	}
	frozen := was
	if !was {
		frozen = m.Freeze() == nil
	}
	err = m.signalRounds(sig, frozen)
	switch {
	case sig == unix.SIGKILL:
		err = errors.Join(err, m.ThawAll())
	case frozen && !was:
		err = errors.Join(err, m.Thaw())
	}
	return err
}

// signalRounds signals every process once. A round that fails for a moment is followed by another. A process that
// cannot be signalled does not keep the others from it.
func (m *Manager) signalRounds(sig unix.Signal, frozen bool) error {
	seen := make(map[int]bool)
	var refused error
	tell := func(pid int, err error) {
		seen[pid] = true
		if err != nil && refused == nil {
			refused = fmt.Errorf("kill process %d with %s: %w", pid, signalName(sig), err)
		}
	}
	for round := 0; round < 100; round++ {
		before := len(seen)
		if err := fs.Retry(func() error { return m.signalNew(sig, seen, tell) }); err != nil {
			return errors.Join(refused, err)
		}
		if len(seen) == before || frozen && !m.strays() {
			break
		}
	}
	return refused
}

func signalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}

// signalNew signals the processes that are not in seen yet, and tells each.
func (m *Manager) signalNew(sig unix.Signal, seen map[int]bool, tell func(pid int, err error)) error {
	for _, dir := range m.watched() {
		err := fs.Members(dir, func(at int, pids []int) error {
			pids = slices.DeleteFunc(pids, func(pid int) bool { return seen[pid] })
			for batch := range slices.Chunk(pids, signalBatch) {
				if err := signalMembers(at, batch, sig, tell); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && !fs.Gone(err) {
			return err
		}
	}
	return nil
}

// signalBatch is how many processes are held by descriptors at a time.
const signalBatch = 64

// signalMembers signals those of pids that are in the cgroup at, and tells each. Where nothing is frozen a pid may have
// become another process's, outside of the container, since it was read: so a pidfd is opened, and the cgroup looked at
// again. If the pid is in it now, the pidfd is that process's, or one's that has ended, which takes no signal.
func signalMembers(at int, pids []int, sig unix.Signal, tell func(pid int, err error)) error {
	fds := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH || err == unix.EINVAL || err == unix.ENOENT { // gone; or by now a thread's, which newer kernels tell by ENOENT
			continue
		}
		if err != nil {
			return fmt.Errorf("pidfd_open %d: %w", pid, err)
		}
		fds[pid] = fd
	}
	now, err := fs.PidsIn(at)
	if err != nil {
		return err
	}
	for _, pid := range now {
		fd, ok := fds[pid]
		if !ok {
			continue
		}
		err := unix.PidfdSendSignal(fd, sig, nil, 0)
		if err == unix.ESRCH {
			err = nil
		}
		tell(pid, err)
		unix.Close(fd)
		delete(fds, pid)
	}
	return nil
}

// watched are the directories whose processes are signalled: the leading one, and on a hybrid host one of v1's.
func (m *Manager) watched() []string {
	dirs := []string{m.leader()}
	if dir := m.leader1(); m.has2() && dir != "" {
		dirs = append(dirs, dir)
	}
	return dirs
}
