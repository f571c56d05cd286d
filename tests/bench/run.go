package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// environment is the environment of every contestant.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}

// patience is how long one command may take. After that it counts as hung.
const patience = 60 * time.Second

// sample is what one command took. It has counts if the counters were open.
type sample struct {
	wall, cpu     time.Duration
	faults, calls int64
}

// runner starts the contestants' commands, from one thread, in a cgroup of its own. It reaps at
// once whatever they leave, because init on this kind of host is slow to do so.
type runner struct {
	cgroup  *os.File // the commands start in this cgroup
	cpuStat *os.File // of the cgroup above it, which also contains the containers' cgroups
	output  *os.File // stdout and stderr of the commands
	null    *os.File
	env     string   // one more variable for the next command, or ""
	faults  *counter // nil: page faults are not counted
	calls   *counter
}

func newRunner(v view) (*runner, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("prctl PR_SET_CHILD_SUBREAPER: %w", err)
	}
	top := v.unifiedRoot() + "/" + cgroupDir
	if err := os.Mkdir(top+"/callers", 0o755); err != nil && !os.IsExist(err) {
		return nil, err
	}
	r := &runner{}
	for _, f := range []struct {
		file **os.File
		path string
		mode int
	}{
		{&r.cgroup, top + "/callers", os.O_RDONLY},
		{&r.cpuStat, top + "/cpu.stat", os.O_RDONLY},
		{&r.output, fmt.Sprintf("%s/output-%d", workDir, os.Getpid()), os.O_CREATE | os.O_TRUNC | os.O_RDWR | os.O_APPEND},
		{&r.null, "/dev/null", os.O_RDWR},
	} {
		var err error
		if *f.file, err = os.OpenFile(f.path, f.mode, 0o644); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// start starts a command and returns its pid.
func (r *runner) start(argv []string) (int, error) {
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir:   workDir,
		Env:   append(slices.Clip(environment), r.env),
		Files: []uintptr{r.null.Fd(), r.output.Fd(), r.output.Fd()},
		Sys:   &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(r.cgroup.Fd())},
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", argv[0], err)
	}
	return pid, nil
}

// reap waits until one of the children has ended, or one of the orphans that this process has got.
func reap() (int, syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != syscall.EINTR {
			return pid, status, err
		}
	}
}

// await reaps until pid has ended, and fails if its exit status is not 0.
func (r *runner) await(pid int) error {
	hung := time.AfterFunc(patience, func() { unix.Kill(pid, unix.SIGKILL) })
	defer hung.Stop()
	for {
		got, status, err := reap()
		if err != nil {
			return fmt.Errorf("wait for %d: %w", pid, err)
		}
		if got != pid {
			continue
		}
		if status.Signaled() && status.Signal() == unix.SIGKILL {
			return fmt.Errorf("killed, perhaps by the benchmark after %v", patience)
		}
		if status != 0 {
			return fmt.Errorf("exit status %d", status.ExitStatus())
		}
		return nil
	}
}

// run runs a command to its end and measures it.
func (r *runner) run(argv ...string) (sample, error) {
	var s sample
	if err := r.output.Truncate(0); err != nil {
		return s, err
	}
	cpu, faults, calls := r.cpuTime(), r.faults.value(), r.calls.value()
	from := time.Now()
	pid, err := r.start(argv)
	if err != nil {
		return s, err
	}
	err = r.await(pid)
	s.wall = time.Since(from)
	s.cpu, s.faults, s.calls = r.cpuTime()-cpu, r.faults.since(faults), r.calls.since(calls)
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, r.said())
	}
	return s, nil
}

// said returns the command's output, on one line.
func (r *runner) said() string {
	buf := make([]byte, 1000)
	n, _ := r.output.ReadAt(buf, 0)
	return strings.Join(strings.Fields(string(buf[:n])), " ")
}

// calibrate finds what the counters count of this program's child before its exec. It starts a
// child whose exec fails, and subtracts what only such a child does.
func (r *runner) calibrate() error {
	const execWriteExit = 3 // the system calls of such a child from the exec on
	faults, calls := r.faults.value(), r.calls.value()
	if _, err := r.start([]string{"/nonexistent"}); !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("exec of a missing program: %w", err)
	}
	r.faults.start, r.calls.start = r.faults.value()-faults, r.calls.value()-calls-execWriteExit
	return nil
}

// cpuTime returns the user and system time of all processes that ever ran below the benchmark's
// cgroup.
func (r *runner) cpuTime() time.Duration {
	var buf [256]byte
	n, err := r.cpuStat.ReadAt(buf[:], 0)
	if n == 0 {
		fatal(fmt.Errorf("read %s: %w", r.cpuStat.Name(), err))
	}
	fields := strings.Fields(string(buf[:n]))
	usec, err := strconv.ParseInt(fields[1], 10, 64)
	if fields[0] != "usage_usec" || err != nil {
		fatal(fmt.Errorf("%s begins with %q", r.cpuStat.Name(), fields[:2]))
	}
	return time.Duration(usec) * time.Microsecond
}

// gone waits until the process pid, an orphan that this process has got, has ended.
func (r *runner) gone(pid int) error {
	hung := time.AfterFunc(patience, func() { unix.Kill(pid, unix.SIGKILL) })
	defer hung.Stop()
	for {
		switch _, err := syscall.Wait4(pid, nil, 0, nil); err {
		case nil, syscall.ECHILD: // it has ended now, or before, while another command ran
			return nil
		case syscall.EINTR:
		default:
			return fmt.Errorf("wait for %d: %w", pid, err)
		}
	}
}

// reapAll waits until all children and orphans have ended. They must have been killed before.
func (r *runner) reapAll() {
	for {
		if _, _, err := reap(); err != nil {
			return
		}
	}
}
