package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// bench is a place for one test's containers: a --root and a bundle.
type bench struct {
	*testing.T
	root, bundle string
}

func newBench(t *testing.T, edits ...string) *bench {
	needRoot(t)
	b := &bench{t, t.TempDir(), t.TempDir()}
	checkLeaks(t, b.root)
	b.try(makeBundle(b.bundle))
	b.try(editConfig(b.bundle, edits))
	return b
}

func (b *bench) try(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// command returns a davit command, which must end without help.
func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.Context(), davit, append([]string{"--root", b.root}, args...)...)
	cmd.Dir = b.bundle
	return cmd
}

// davit runs it with files as stdio, so that nobody waits for a pipe, and returns its output if it
// fails.
func (b *bench) davit(args ...string) error {
	out, err := os.CreateTemp(b.TempDir(), "out")
	b.try(err)
	defer out.Close()
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("davit %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

const execs = 1000

// These processes have ended before anybody can look at them. They run one after the other, each
// with its own exit status.
func TestExecInARow(t *testing.T) {
	b := newBench(t, `process.args=["sleep","1000"]`)
	b.try(b.davit("run", "-d", "c1"))
	n := execs
	if testing.Short() {
		n = 50
	}
	for i := range n {
		cmd := b.command("exec", "c1", "sh", "-c", fmt.Sprint("exit ", i%200))
		errs := make(chan error, 1)
		b.try(cmd.Start())
		go func() { errs <- cmd.Wait() }()
		select {
		case err := <-errs:
			if have := exitCode(err); have != i%200 {
				t.Fatalf("exec %d: exit status %d, not %d", i, have, i%200)
			}
		case <-time.After(20 * time.Second):
			stack, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", cmd.Process.Pid))
			cmd.Process.Kill()
			t.Fatalf("exec %d hangs\n%s", i, stack)
		}
	}
	b.try(b.davit("delete", "--force", "c1"))
}

// Fifty processes run at once, attached, detached and with a terminal, while others look at the
// container.
func TestExecAtOnce(t *testing.T) {
	b := newBench(t, `process.args=["sleep","1000"]`)
	b.try(b.davit("run", "-d", "c1"))
	var all sync.WaitGroup
	errs := make(chan error, 200)
	for i := range 50 {
		all.Go(func() {
			switch i % 3 {
			case 0:
				errs <- b.davit("exec", "c1", "true")
			case 1:
				errs <- b.davit("exec", "-d", "c1", "true")
			case 2:
				errs <- b.davit("exec", "-t", "c1", "sh", "-c", "echo hello; tty")
			}
		})
		if i%10 == 0 {
			all.Go(func() { errs <- b.davit("state", "c1") })
			all.Go(func() { errs <- b.davit("ps", "-f", "json", "c1") })
			all.Go(func() { errs <- b.davit("kill", "c1", "0") })
		}
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	b.try(b.davit("delete", "--force", "c1"))
}

// These chains of processes fork and exit as fast as they can. Every list of them is outdated when
// it is read.
const forking = `process.args=["sh","-c","f() { f & }; for i in 1 2 3 4 5 6; do f & done; wait; sleep 1000"]`

func TestDeleteForking(t *testing.T) {
	for name, edits := range map[string][]string{
		"own pid namespace":    {forking},
		"host's pid namespace": {forking, "linux.namespaces=" + withoutPid, "mounts[0]=" + procBind},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, edits...)
			for range 5 {
				b.try(b.davit("run", "-d", "c1"))
				time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
				b.try(b.davit("delete", "--force", "c1"))
			}
		})
	}
}

const (
	withoutPid = `[{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"}]`
	procBind   = `{"destination":"/proc","type":"bind","source":"/proc","options":["rbind"]}`
)

const hostPidArgs = `process.args=["sh","-c","setsid sleep 1000 & setsid sleep 1001 & echo up >/up; exec sleep 1002"]`

// A container without its own pid namespace: SIGKILL kills all its processes. delete kills them,
// too, if the first one has ended before.
func TestHostPid(t *testing.T) {
	b := newBench(t, "linux.namespaces="+withoutPid, "mounts[0]="+procBind, "root.readonly=false",
		hostPidArgs)
	up := filepath.Join(b.bundle, "rootfs/up")
	begin := func() {
		os.Remove(up)
		b.try(b.davit("run", "-d", "c1"))
		b.try(awaitFile(up))
	}
	begin()
	b.try(b.davit("kill", "c1", "KILL"))
	b.try(awaitStatus(b.root, "c1", "stopped"))
	b.try(b.davit("delete", "c1"))
	noProcesses(t)

	// In the foreground davit kills the rest.
	b.try(editConfig(b.bundle, []string{`process.args=["sh","-c","setsid sleep 1000 & exit 3"]`}))
	if err := b.davit("run", "c1"); exitCode(errors.Unwrap(err)) != 3 {
		t.Error(err)
	}
	noProcesses(t)
	b.try(editConfig(b.bundle, []string{hostPidArgs}))

	begin()
	state, err := stateOf(b.root, "c1")
	b.try(err)
	p, err := os.FindProcess(state.Pid)
	b.try(err)
	b.try(p.Kill()) // not by davit, so the others live on
	b.try(awaitStatus(b.root, "c1", "stopped"))
	b.try(b.davit("kill", "c1", "KILL")) // they still belong to the container
	b.try(b.davit("delete", "c1"))
	noProcesses(t)
}

func noProcesses(t *testing.T) {
	t.Helper()
	for _, pid := range strangers() {
		if !exitWithin(pid, 2*time.Second) {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			t.Errorf("process %d is left: %q", pid, cmdline)
		}
	}
}

// If davit is killed on its way, the container that it leaves can be deleted by force, whatever
// exists of it.
func TestDeleteHalfCreated(t *testing.T) {
	b := newBench(t, `process.args=["sleep","1000"]`)
	for i := range 60 {
		cmd := b.command("create", "c1")
		b.try(cmd.Start())
		time.Sleep(time.Duration(i) * 200 * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		b.try(b.davit("delete", "--force", "c1"))
		noProcesses(t)
		if left := cgroupsLeft(); len(left) > 0 {
			t.Fatalf("killed after %d µs: cgroups %q", i*200, left)
		}
	}
}

// After create, the bundle is not needed any more.
func TestDeleteWithoutBundle(t *testing.T) {
	b := newBench(t, `process.args=["sleep","1000"]`)
	b.try(b.davit("run", "-d", "c1"))
	b.try(editConfig(b.bundle, []string{"linux.cgroupsPath=" + subtree + "/c2"}))
	b.try(b.davit("create", "c2"))
	b.try(os.Remove(filepath.Join(b.bundle, "config.json")))
	b.try(b.davit("exec", "c1", "true"))
	b.try(b.davit("start", "c2"))
	b.try(os.RemoveAll(filepath.Join(b.bundle, "rootfs")))
	b.try(b.davit("delete", "--force", "c1"))
	b.try(b.davit("kill", "c2", "KILL"))
	b.try(awaitStatus(b.root, "c2", "stopped"))
	b.try(b.davit("delete", "c2"))
	for _, id := range []string{"c1", "c2"} {
		if _, err := os.Stat(filepath.Join(b.root, id)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("state of %s: %v", id, err)
		}
	}
}
