package libcontainer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/cgroups"
	"davit/internal/launch"
	"davit/internal/resctrl"
	"davit/internal/store"
	"davit/internal/sys"
	"davit/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// begun returns a container that create has begun to make: its id is claimed, and its state is
// written. Warnings of the runtime are appended to warnings.
func begun(t *testing.T, warnings *[]string) *creation {
	t.Helper()
	rt := &Runtime{Root: t.TempDir(), Logger: Logger{Warn: func(text string) { *warnings = append(*warnings, text) }}}
	c := &creation{rt: rt, CreateOptions: CreateOptions{ID: "c1", Bundle: t.TempDir()}, path: filepath.Join(rt.Root, "c1")}
	c.Prepared = &launch.Prepared{Spec: &specs.Spec{Linux: &specs.Linux{}}, State: store.State{ID: "c1", Bundle: c.Bundle}, Cgroups: cgroups.Open(cgroups.State{})}
	if err := c.claimID(); err != nil {
		t.Fatal(err)
	}
	return c
}

// pipe gives c two descriptors, as if they were its plan's.
func pipe(t *testing.T, c *creation) (fds [2]int) {
	t.Helper()
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	c.fds = fds[:]
	return fds
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

// TestUndo: the id is free again, and each descriptor is closed once, even if undo is called a
// second time.
func TestUndo(t *testing.T) {
	var warnings []string
	c := begun(t, &warnings)
	was := pipe(t, c)
	c.undo()
	if !gone(c.path) || c.dir.Int() != -1 {
		t.Errorf("the state directory: gone %t, descriptor %d", gone(c.path), c.dir.Int())
	}
	again := pipe(t, &creation{}) // it gets the numbers that are free now
	c.undo()
	for _, fd := range again {
		if err := unix.Close(fd); err != nil {
			t.Errorf("the second undo closed somebody else's descriptor %d (of %v, before %v): %v", fd, again, was, err)
		}
	}
	if len(warnings) > 0 {
		t.Error(warnings)
	}
}

// TestUndoRunsPoststopHooks: if a hook has run, the poststop hooks follow, with the state of a
// stopped container. If no hook has run, they do not run (runtime.md "Lifecycle").
func TestUndoRunsPoststopHooks(t *testing.T) {
	stage := &nsenter.Stage{Pid: os.Getpid(), Control: nsenter.NewConn(-1)}
	for _, test := range []struct {
		hooked bool
		stage  *nsenter.Stage
	}{
		{false, stage}, {true, stage},
		{true, nil}, // a restore that fails before there is a process
	} {
		hooked := test.hooked
		var warnings []string
		c := begun(t, &warnings)
		out := filepath.Join(c.Bundle, "state")
		c.Spec.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >" + out}}}}
		c.hooked, c.stage = hooked, test.stage
		c.undo()
		data, _ := os.ReadFile(out)
		if ran := strings.Contains(string(data), `"status":"stopped"`); ran != hooked {
			t.Errorf("hooked is %t, the hook got %q", hooked, data)
		}
		if !gone(c.path) || len(warnings) > 0 {
			t.Errorf("the state directory is gone: %t, warnings: %q", gone(c.path), warnings)
		}
	}
}

// TestUndoKeepsWhatItCannotRemove: if undo cannot remove something, the state stays for delete, and
// the warning names that verb.
func TestUndoKeepsWhatItCannotRemove(t *testing.T) {
	var warnings []string
	c := begun(t, &warnings)
	busy := t.TempDir()
	if err := os.WriteFile(busy+"/file", nil, 0o600); err != nil { // so that rmdir(2) fails
		t.Fatal(err)
	}
	c.RDT = &resctrl.Group{Dir: busy}
	c.undo()
	if gone(filepath.Join(c.path, "davit.json")) || c.dir.Int() != -1 {
		t.Errorf("the state: gone %t, descriptor %d", gone(c.path), c.dir.Int())
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "`davit delete --force c1` removes the rest") || !strings.Contains(warnings[0], busy) {
		t.Errorf("warnings: %q", warnings)
	}
}

// TestUndoForgetsTheProcess: undo does not wait for a stage that was reaped, and does not signal
// it: by then its pid may belong to another process.
func TestUndoForgetsTheProcess(t *testing.T) {
	var warnings []string
	c := begun(t, &warnings)
	other, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Kill(); _, _ = other.Wait() }()
	pidfd, err := unix.PidfdOpen(other.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.stage = &nsenter.Stage{Pid: other.Pid, PidFD: sys.Own(pidfd), Control: nsenter.NewConn(-1)}
	c.stage.PidFD.Close() // stageDied does this after it has reaped the stage
	c.undo()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, other.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo != 0 {
		t.Errorf("the process with that pid: %v, signal %d", err, info.Signo)
	}
}
