// Package nsenter starts the stage: the small C program in stage/ that carries out a plan inside
// the new namespaces and then becomes the container process.
//
// The stage is embedded in davit, and executed from a sealed memfd. So davit's own binary is never
// the executable of a process in a container (invariant 1, CVE-2019-5736), there is never a second
// Go runtime, and the process that waits for start has only a few pages of its own.
package nsenter

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"davit/internal/fault"
	"davit/internal/memfd"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Options are the options of Spawn.
type Options struct {
	Plan        []byte // the encoded plan
	Descriptors []int  // the plan's descriptors, in its order; -1: the stage opens it itself (plan.Own)
	Stdio       [3]int
	Preserve    []int  // descriptors that become 3, 4, … in the stage and in the container process
	Clone       uint64 // CLONE_NEW* flags
	Cgroup      int    // a descriptor of the cgroup directory for CLONE_INTO_CGROUP; -1: none
	Fork        int    // the index of the plan's fork step; -1: none
}

// Stage is a process that carries out a plan.
type Stage struct {
	Pid     int
	PidFD   *sys.FD // nil once the process is known to have ended
	Control *Conn
	fork    int       // the index of a fork step that is not done yet; -1: none
	held    []Message // messages of the process that the fork step made, until its pid is known
}

// Before is how many descriptors the stage has before the preserved ones and those of its plan:
// stdio, the plan and the control socket.
const Before = 5

// Spawn starts a stage. The caller still owns its descriptors.
func Spawn(o Options) (*Stage, error) {
	exe, err := memfd.Program("davit-stage", stageELF)
	if err != nil {
		return nil, err
	}
	defer unix.Close(exe)
	plan, err := memfd.Data("davit-plan", o.Plan)
	if err != nil {
		return nil, err
	}
	defer unix.Close(plan)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[1])

	files := make([]uintptr, 0, 6+len(o.Preserve)+len(o.Descriptors))
	add := func(fds ...int) {
		for _, fd := range fds {
			files = append(files, uintptr(fd))
		}
	}
	add(o.Stdio[:]...)
	add(o.Preserve...)
	first := len(files)
	add(plan, pair[1])
	holder, err := placeholder(o.Descriptors, plan, len(files)+len(o.Descriptors)+1)
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	if holder != plan {
		defer unix.Close(holder)
	}
	for _, fd := range o.Descriptors {
		if fd < 0 { // the stage opens it; the placeholder keeps the number free until then
			fd = holder
		}
		add(fd)
	}
	add(exe) // at a number that is known beforehand
	s, pidfd := &Stage{Control: NewConn(pair[0]), fork: o.Fork}, -1
	s.Pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(len(files)-1),
		[]string{"davit-stage", strconv.Itoa(first), strconv.Itoa(len(o.Plan)), strconv.Itoa(len(o.Descriptors))},
		&syscall.ProcAttr{Files: files, Env: []string{}, Sys: &syscall.SysProcAttr{
			Cloneflags: uintptr(o.Clone), PidFD: &pidfd,
			UseCgroupFD: o.Cgroup >= 0, CgroupFD: max(o.Cgroup, 0),
		}})
	if err != nil {
		s.Control.Close()
		return nil, spawnError(err, o)
	}
	s.PidFD = sys.Own(pidfd)
	return s, nil
}

func spawnError(err error, o Options) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOSPC):
		hint = "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"
	case errors.Is(err, unix.EBUSY) && o.Cgroup >= 0 && handsOn(o.Cgroup): // dup3(2) returns EBUSY, too
		hint = "the cgroup enables controllers for its children, so it cannot have processes itself"
	case errors.Is(err, unix.EOPNOTSUPP) && o.Cgroup >= 0:
		hint = "the cgroup is in an invalid threaded state: see its cgroup.type"
	case errors.Is(err, unix.EAGAIN):
		hint = "a limit on processes is reached: pids.max of the cgroup, RLIMIT_NPROC or kernel.pid_max"
	case errors.Is(err, unix.EPERM) && os.Geteuid() != 0:
		hint = "without root, the config needs a user namespace: see `davit spec --rootless`"
	}
	return fault.WithHint(fmt.Errorf("clone3, or what the child does before its exec: %w", err), hint)
}

// handsOn reports whether a cgroup2 directory enables controllers for its children, that is whether
// cgroup.subtree_control is not empty.
func handsOn(cgroup int) bool {
	fd, err := unix.Openat(cgroup, "cgroup.subtree_control", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var buf [1]byte
	n, err := unix.Read(fd, buf[:])
	return err == nil && n == 1 && buf[0] != '\n'
}

// Receive waits for a message. The process that a fork step makes may send messages before its
// maker has sent its pid. Such messages are held until then.
func (s *Stage) Receive() (Message, error) {
	for {
		if len(s.held) > 0 && s.fork < 0 {
			m := s.held[0]
			s.held = s.held[1:]
			return m, nil
		}
		m, err := s.Control.Receive()
		switch {
		case err != nil && len(s.held) > 0:
			s.fork = -1
		case err != nil:
			return m, err
		case m.Kind == Forked && m.Step == s.fork: // only then: otherwise an attacker who controls the stage could name any process
			if err := s.reopen(int(m.Value)); err != nil {
				return m, err
			}
		case s.fork >= 0 && m.Step > s.fork:
			s.held = append(s.held, m)
		default:
			return m, nil
		}
	}
}

// reopen makes s the process that a Forked message names, after the stage that sent the message has
// exited.
func (s *Stage) reopen(pid int) error {
	s.fork = -1
	s.Reap()
	s.PidFD.Close()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	s.Pid, s.PidFD = pid, sys.Own(fd)
	return nil
}

// Reap waits for the process to end and collects its status.
func (s *Stage) Reap() unix.WaitStatus {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(s.Pid, &status, 0, nil)
		if err != unix.EINTR {
			return status
		}
	}
}

// Kill ends the process, if it has not ended yet, and reaps it. If a fork step has made another
// process whose pid is not known yet, that one ends by itself, because nobody answers it.
func (s *Stage) Kill() {
	s.Control.Close()
	if s.PidFD.Int() >= 0 {
		if unix.PidfdSendSignal(s.PidFD.Int(), unix.SIGKILL, nil, 0) != nil {
			unix.Kill(s.Pid, unix.SIGKILL) // its number is still its own, since it is a child that was not reaped
		}
		s.Reap()
	}
}

// Close closes the descriptors of the process, which goes on.
func (s *Stage) Close() {
	s.Control.Close()
	s.PidFD.Close()
}

// placeholder returns the descriptor that is passed for those that are -1: plan itself or, if there
// are many, a copy of it above all the numbers. Package syscall copies a descriptor once more if it
// is below its new number, and then the limit of open files would be reached with half as many.
func placeholder(descriptors []int, plan, above int) (int, error) {
	many := 4
	for _, fd := range descriptors {
		if fd >= 0 {
			continue
		}
		if many--; many == 0 {
			fd, err := unix.FcntlInt(uintptr(plan), unix.F_DUPFD_CLOEXEC, above)
			if err == unix.EINVAL { // above is beyond the limit of open files
				err = unix.EMFILE
			}
			if err != nil {
				return -1, fmt.Errorf("fcntl F_DUPFD_CLOEXEC: %w", err)
			}
			return fd, nil
		}
	}
	return plan, nil
}
