package integration

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKilled kills davit (SIGKILL) right before its first, seventh, 13th… system call, up to its
// end. Whatever davit was doing, delete --force then removes everything: no process, cgroup, mount
// or state is left.
func TestKilled(t *testing.T) {
	stride := 6
	if exhaustive() {
		stride = 1
	}
	for _, verb := range []string{"create", "run", "run --detach", "start", "exec", "kill", "delete", "delete --force"} {
		t.Run(strings.ReplaceAll(verb, " ", "_"), func(t *testing.T) {
			b := newBox(t, `process.args=["sleep","1000"]`, `hooks.createRuntime=[{"path":"/bin/true"}]`)
			args := append(strings.Fields(verb), "c1")
			switch verb {
			case "exec":
				args = append(args, "true")
			case "kill":
				args = append(args, "KILL")
			case "run":
				b.edit(`process.args=["true"]`)
			}
			for n := 1; ; n += stride {
				switch verb {
				case "start", "delete":
					b.davit("create", "c1")
				case "exec", "kill", "delete --force":
					b.davit("run", "-d", "c1")
				}
				ended := b.killAtCall(n, args...)
				if _, err := stateOf(b.root, "c1"); err == nil { // davit reports one of the known statuses
					b.davit("state", "c1")
				}
				b.davit("delete", "--force", "c1")
				if left := whatIsLeft(b.root); left != "" {
					t.Fatalf("killed before its system call %d, %s leaves %s", n, verb, left)
				}
				if ended {
					recordLine(t, "killed", "%s | %d | %d |", verb, stride, (n-1)/stride)
					return
				}
			}
		})
	}
}

// TestKilledInAnothersCgroup kills a create that davit was going to refuse, because its cgroup
// belongs to a running container. Deleting the remains of that create does not touch the running
// container.
func TestKilledInAnothersCgroup(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	const stride = 2
	for n := 1; ; n += stride {
		ended := b.killAtCall(n, "create", "c2")
		b.davit("delete", "--force", "c2")
		if state, err := stateOf(b.root, "c1"); err != nil || state.Status != "running" {
			t.Fatalf("killed before its system call %d and deleted, the second leaves the first %s, %v", n, state.Status, err)
		}
		if ended {
			break
		}
	}
	b.davit("delete", "--force", "c1")
}

// whatIsLeft returns what is left of containers. It waits a moment for processes that are about to
// end.
func whatIsLeft(root string) string {
	for _, pid := range strangers() {
		if !exitWithin(pid, 5*time.Second) {
			return "process " + commOf(pid)
		}
	}
	if dirs := cgroupsLeft(); len(dirs) > 0 {
		return "cgroup " + dirs[0]
	}
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if e.Name() != ".seccomp" {
			return "state " + e.Name()
		}
	}
	return ""
}

// killAtCall runs davit and kills it right before its n-th system call. It returns true if davit
// had ended before.
func (b *box) killAtCall(n int, args ...string) bool {
	b.t.Helper()
	calls := 0
	// It follows davit's threads, and not the stage, which is made with vfork.
	_, ended := b.traced(unix.PTRACE_O_TRACECLONE, func(int) bool { calls++; return calls < n }, args...)
	return ended
}

// traced runs davit, and calls each before every system call of the threads and processes that
// options follow. The argument is the thread's number. When each returns false, davit is killed,
// and ended is false. out is davit's output.
func (b *box) traced(options int, each func(thread int) bool, args ...string) (out string, ended bool) {
	b.t.Helper()
	runtime.LockOSThread() // ptrace is bound to the thread
	defer runtime.UnlockOSThread()
	file, err := os.Create(filepath.Join(b.work, "traced"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		b.t.Fatal(err)
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL|options); err != nil {
		b.t.Fatal(err)
	}
	unix.PtraceSyscall(pid, 0)
	inside := map[int]bool{} // threads between the entry to a call and its exit
	for {
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			b.t.Fatal(err)
		case status.Exited() || status.Signaled():
			if thread == pid {
				data, _ := os.ReadFile(file.Name())
				return string(data), true
			}
			continue
		case !status.Stopped():
			continue
		}
		signal := 0
		switch stop := status.StopSignal(); {
		case stop == unix.SIGTRAP|0x80:
			if inside[thread] = !inside[thread]; inside[thread] && !each(thread) {
				unix.Kill(pid, unix.SIGKILL)
				b.reapThreads(pid)
				return "", false
			}
		case stop == unix.SIGTRAP: // an event
		case stop == unix.SIGSTOP: // a new thread
		default:
			signal = int(stop)
		}
		unix.PtraceSyscall(thread, signal)
	}
}

// reapThreads waits for a killed process and its threads.
func (b *box) reapThreads(pid int) {
	for {
		var status unix.WaitStatus
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || thread == pid && (status.Exited() || status.Signaled()) {
			return
		}
	}
}
