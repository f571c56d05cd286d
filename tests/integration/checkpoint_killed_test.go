package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killPoints returns the system calls before which davit is killed, and the distance between them.
// These are every sixth call (make test-faults), or some. Two of the latter are at the end, when
// the container continues already.
func killPoints(calls int) (points []int, stride int) {
	if !exhaustive() {
		return []int{calls / 2, calls * 3 / 4, calls - 12, calls - 4}, calls / 4
	}
	for n := 1; n <= calls; n += 6 {
		points = append(points, n)
	}
	return points, 6
}

// TestCheckpointKilled kills davit right before its system calls, in checkpoint and in restore.
// Afterwards the container continues, or is gone, or can be deleted, and nothing is left.
func TestCheckpointKilled(t *testing.T) {
	for _, verb := range []string{"checkpoint", "restore"} {
		t.Run(verb, func(t *testing.T) {
			s := newSaved(t)
			s.davit("run", "--detach", s.id)
			s.count(3)
			s.checkpoint()
			args := []string{"restore", "--detach", "--image-path", s.images, s.id}
			if verb == "checkpoint" {
				args = []string{"checkpoint", "--image-path", filepath.Join(s.work, "again"), s.id}
				s.restore()
			}
			calls := 0
			if _, ended := s.traced(unix.PTRACE_O_TRACECLONE, func(int) bool { calls++; return true }, args...); !ended {
				t.Fatal("traced davit did not end")
			}
			s.davit("delete", "--force", s.id)
			points, stride := killPoints(calls)
			kills := 0
			for _, n := range points {
				if _, err := stateOf(s.root, s.id); err != nil && verb == "checkpoint" {
					s.restore()
				}
				ended := s.killAtCall(n, args...)
				s.settled(fmt.Sprintf("davit %s, killed before its system call %d of %d,", verb, n, calls), verb == "checkpoint")
				if ended {
					break
				}
				kills++
			}
			s.davit("delete", "--force", s.id)
			recordLine(t, "killed", "%s | %d | %d |", verb, stride, kills)
		})
	}
}

// TestCheckpointCriuKilled kills CRIU at moments of a dump and of a restore, alone or together with
// davit.
func TestCheckpointCriuKilled(t *testing.T) {
	for _, verb := range []string{"checkpoint", "restore"} {
		for _, both := range []bool{false, true} {
			name := verb
			if both {
				if name += " and davit"; !exhaustive() {
					continue
				}
			}
			t.Run(name, func(t *testing.T) {
				s := newSaved(t)
				s.davit("run", "--detach", s.id)
				s.count(3)
				s.checkpoint()
				args := []string{"restore", "--detach", "--image-path", s.images, s.id}
				if verb == "checkpoint" {
					args = []string{"checkpoint", "--image-path", filepath.Join(s.work, "again"), s.id}
					s.restore()
				}
				took := s.killCriu(-1, false, args...)
				s.davit("delete", "--force", s.id)
				moments := 3
				if exhaustive() {
					moments = 40
				}
				for i := 1; i < moments; i++ {
					if _, err := stateOf(s.root, s.id); err != nil && verb == "checkpoint" {
						s.restore()
					}
					after := took * time.Duration(i) / time.Duration(moments)
					s.killCriu(after, both, args...)
					for _, pid := range crius() {
						if both { // nobody else ends the processes that CRIU has left
							unix.Kill(pid, unix.SIGKILL)
						}
					}
					s.settled(fmt.Sprintf("%s: CRIU, killed after %v,", name, after), verb == "checkpoint")
				}
				s.davit("delete", "--force", s.id)
			})
		}
	}
}

// settled waits until CRIU has ended, and fails the test if the container hangs. With keep, it
// leaves a running container running. Otherwise it removes the container, and nothing of it may be
// left.
func (s *saved) settled(what string, keep bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); len(crius()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			pid := crius()[0]
			where, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", pid))
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			s.t.Fatalf("%s leaves process %d of CRIU:\n%s%s", what, pid, where, status)
		}
	}
	state, err := stateOf(s.root, s.id)
	if err == nil {
		if state.Status == "paused" { // CRIU has frozen it, and nobody was left to thaw it
			s.davit("resume", s.id)
			state, err = stateOf(s.root, s.id)
			must(s.t, err)
		}
		if state.Status == "running" && s.goesOn(what, state.Pid) && keep {
			return
		}
		if state.Status == "creating" {
			for _, pid := range strangers() {
				if commOf(pid) == "sh" {
					s.t.Fatalf("%s leaves a container that goes on (process %d) and is said to be creating", what, pid)
				}
			}
		}
	}
	s.davit("delete", "--force", s.id)
	if left := whatIsLeft(s.root); left != "" {
		s.t.Fatalf("%s leaves %s", what, left)
	}
}

// If davit is killed while somebody could fetch lazy pages, its CRIU ends, too, and the container goes on. CRIU would wait for ever, and
// trace the container's processes.
func TestCheckpointLazyKilled(t *testing.T) {
	if !exhaustive() {
		t.Skip("make test-criu kills a checkpoint with lazy pages")
	}
	needFeature(t, "uffd-noncoop", "this kernel cannot fetch memory later")
	s := newSaved(t)
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	ready, writer, err := os.Pipe()
	must(t, err)
	defer ready.Close()
	cmd := s.command("checkpoint", "--lazy-pages", "--page-server", "127.0.0.1:27278", "--status-fd", "3", "--image-path", s.images, s.id)
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{writer}, nil, nil
	must(t, cmd.Start())
	writer.Close()
	got, err := ready.Read(make([]byte, 1))
	cmd.Process.Kill()
	cmd.Wait()
	if got != 1 {
		t.Fatalf("checkpoint was not ready: %v\n%s", err, s.log("dump.log"))
	}
	s.count(n)
	s.davit("delete", "--force", s.id)
	for _, pid := range strangers() {
		if !exitWithin(pid, 5*time.Second) {
			t.Errorf("process %d (%s) is left", pid, commOf(pid))
		}
	}
}

// crius returns the CRIU processes that this test, or a process that it started, has left.
func crius() []int {
	var list []int
	for _, pid := range strangers() {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && (bytes.Contains(line, []byte("\x00swrk\x00")) || bytes.Contains(line, []byte("criu: "))) { // it gives itself this name with the request
			list = append(list, pid)
		}
	}
	return list
}

// goesOn reports whether the process counts (true) or ends (false). It fails the test if it does
// neither.
func (s *saved) goesOn(what string, pid int) bool {
	s.t.Helper()
	read := func() int {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/dev/shm/n", pid))
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		return n
	}
	first := read()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if now := read(); first != 0 && now > first {
			return true
		} else if first == 0 {
			first = now
		}
		if state, err := stateOf(s.root, s.id); err != nil || state.Status == "stopped" {
			return false
		}
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	s.t.Fatalf("%s leaves a container that neither runs nor ends:\n%s", what, status)
	return false
}

// killCriu runs davit, and kills the CRIU that davit starts, after CRIU has run for some time. With
// both it kills davit, too. If after is less than 0, it kills neither. It returns how long CRIU
// ran.
func (s *saved) killCriu(after time.Duration, both bool, args ...string) time.Duration {
	s.t.Helper()
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = nil, nil
	must(s.t, cmd.Start())
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	var began time.Time
	for began.IsZero() {
		select {
		case <-done:
			if after < 0 {
				s.t.Fatalf("davit %s: no CRIU was seen: %v", strings.Join(args, " "), cmd.ProcessState)
			}
			return 0
		default:
		}
		for _, pid := range childrenOf(cmd.Process.Pid) {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err != nil || !bytes.Contains(line, []byte("\x00swrk\x00")) {
				continue
			}
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue
			}
			defer unix.Close(fd)
			began = time.Now()
			if after < 0 {
				break
			}
			select {
			case <-done:
			case <-time.After(after):
			}
			if both {
				cmd.Process.Signal(syscall.SIGKILL)
			}
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			break
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		cmd.Process.Signal(syscall.SIGKILL)
		s.t.Fatalf("davit %s: hangs after CRIU was killed after %v", strings.Join(args, " "), after)
	}
	return time.Since(began)
}
