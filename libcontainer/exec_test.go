package libcontainer

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"davit/internal/config"
	"davit/internal/plan"
	"davit/internal/store"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container's process may end while exec prepares another one, and its pid may become another
// process's. In this test it is the test's own process, whose root is the host's.
func TestExecWhereThePidIsAnothers(t *testing.T) {
	ended := exec.Command("cat")
	input, err := ended.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(ended.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	input.Close()
	ended.Wait()
	e := &execution{
		ExecOptions: ExecOptions{Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}},
		Container:   &Container{&store.Entry{State: store.State{ID: "c1", Pid: os.Getpid(), SharedMounts: true, NoKeyring: true}, Pidfd: sys.Own(pidfd)}, &Runtime{Root: t.TempDir()}},
		plan:        &plan.Plan{}, spec: config.Default(),
	}
	defer e.Container.Close()
	defer e.close()
	if err := e.run(-1); err == nil || !errors.Is(err, store.ErrNotRunning) || e.stage != nil {
		t.Errorf("exec beside %d: %v", os.Getpid(), err)
	}
}
