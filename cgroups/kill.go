package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// Kill sends sig to every process of the container, also to those in sub-cgroups and in other pid
// namespaces, and also while they fork. For SIGKILL on v2 that is a single write; otherwise Kill
// freezes the processes, signals them and thaws them. A container that was frozen stays frozen,
// except after SIGKILL on v1, where a frozen process does not die. An empty cgroup, or one that
// does not exist, is no error. A container without any cgroup is one.
func (m *Manager) Kill(sig unix.Signal) error {
	if len(m.state.Dirs) == 0 {
		return errNoCgroup
	}
	var err error
	switch {
	case sig != unix.SIGKILL:
		err = m.signal(sig)
	case m.has2():
		err = fs.Retry(m.kill2) // repeating SIGKILL does no harm
	default:
		err = fs.Retry(func() error { return m.signal(sig) })
	}
	if err != nil && fs.Gone(err) {
		return nil
	}
	return err
}

var (
	errNoCgroup = errors.New("the container has no cgroup (rootless, without delegation): only its init can be signalled")
	errNoStats  = errors.New("the container has no cgroup (rootless, without delegation), and so no figures")
)

func (m *Manager) kill2() error {
	fd, err := m.dir2()
	if err != nil {
		return err
	}
	err = fs.WriteAt(fd, "cgroup.kill", "1")
	if err == unix.EOPNOTSUPP { // the cgroup is threaded
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

// signal freezes the processes, so that none can fork unseen, signals each of them, and always
// thaws them again. If they cannot be frozen (there is no freezer, or a process is in
// uninterruptible sleep), it signals in rounds until no new process appears.
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

// signalRounds signals every process once. It repeats a round that fails for a moment. If a process
// cannot be signalled, it goes on with the others and returns the first such error.
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

// signalNew signals the processes that are not in seen yet, and calls tell for each.
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

// signalBatch is how many pidfds are open at a time.
const signalBatch = 64

// signalMembers signals those of pids that are in the open cgroup at, and calls tell for each.
// Unless the processes are frozen, a pid may meanwhile belong to another process, outside the
// container. Therefore it first opens a pidfd, and then reads the cgroup again: if the pid is still
// there, the pidfd refers to that process, or to one that has ended and takes no signal.
func signalMembers(at int, pids []int, sig unix.Signal, tell func(pid int, err error)) error {
	fds := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		// The process has ended; or the number now belongs to a thread, for which newer kernels
		// return ENOENT.
		if err == unix.ESRCH || err == unix.EINVAL || err == unix.ENOENT {
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

// watched returns the directories whose processes are signalled: the leading one, and on a hybrid
// host also one of v1.
func (m *Manager) watched() []string {
	dirs := []string{m.leader()}
	if dir := m.leader1(); m.has2() && dir != "" {
		dirs = append(dirs, dir)
	}
	return dirs
}
