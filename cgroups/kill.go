package cgroups

import (
	"errors"
	"fmt"
	"slices"

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
	if sig == unix.SIGKILL && m.has2() {
		err = m.kill2()
	} else {
		err = m.signal(sig)
	}
	if err != nil && gone(err) {
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
	err = writeAt(fd, "cgroup.kill", "1")
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

// killStrays kills on a hybrid host what left the cgroup2 directory but not those of v1.
func (m *Manager) killStrays() error {
	dir := m.leader1()
	if dir == "" {
		return nil
	}
	if err := m.thawAll1(); err != nil { // a v1-frozen process would not die
		return err
	}
	in1, err := allPids(dir)
	if err != nil || len(in1) == 0 {
		return err
	}
	in2, err := allPids(m.state.Dirs[""])
	if err != nil {
		return err
	}
	for _, pid := range in1 {
		if !slices.Contains(in2, pid) {
			return m.signal(unix.SIGKILL)
		}
	}
	return nil
}

// signal freezes, so that nobody forks unseen, signals every process, and thaws. Where nothing can be frozen
// (no freezer; a process in uninterruptible sleep) it signals in rounds until nobody new appears.
func (m *Manager) signal(sig unix.Signal) error {
	was, err := m.Frozen()
	if err != nil {
		return err
	}
	frozen := was
	if !was {
		frozen = m.Freeze() == nil
	}
	seen := make(map[int]bool)
	for round := 0; round < 100; round++ {
		var n int
		if n, err = m.signalNew(sig, seen); err != nil {
			break
		}
		if n == 0 || frozen && !m.strays() {
			break
		}
	}
	switch {
	case sig == unix.SIGKILL:
		err = errors.Join(err, m.ThawAll())
	case frozen && !was:
		err = errors.Join(err, m.Thaw())
	}
	return err
}

// strays says that processes may be in v1 hierarchies only, which cgroup2's freezer does not stop.
func (m *Manager) strays() bool { return m.has2() && len(m.dirs) > 0 }

// signalNew signals the processes that are not in seen yet, and counts them.
func (m *Manager) signalNew(sig unix.Signal, seen map[int]bool) (int, error) {
	n := 0
	for _, dir := range m.watched() {
		pids, err := allPids(dir)
		if err != nil {
			return n, err
		}
		for _, pid := range pids {
			if seen[pid] {
				continue
			}
			seen[pid] = true
			n++
			if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
				return n, fmt.Errorf("kill process %d with %s: %w", pid, unix.SignalName(sig), err)
			}
		}
	}
	return n, nil
}

// watched are the directories whose processes are signalled: the leading one, and on a hybrid host one of v1's.
func (m *Manager) watched() []string {
	dirs := []string{m.leader()}
	if dir := m.leader1(); m.has2() && dir != "" {
		dirs = append(dirs, dir)
	}
	return dirs
}

// leader1 is the v1 directory that is asked for processes, "" if there is none that counts.
func (m *Manager) leader1() string {
	for _, name := range [...]string{"freezer", "pids", "devices"} {
		if dir := m.state.Dirs[name]; dir != "" {
			return dir
		}
	}
	return ""
}
