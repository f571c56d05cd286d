package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestExecStopped ends a container right before exec joins its namespaces. exec reports this in the
// words that engines look for, and not with the errno of the call that failed.
func TestExecStopped(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	pid := b.pid()
	joins := fmt.Sprint(unix.SYS_SETNS, " ")
	out, _ := b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
		call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", thread))
		if strings.HasPrefix(string(call), joins) {
			unix.Kill(pid, unix.SIGKILL)
			if !exitWithin(pid, 10*time.Second) {
				t.Error("the container does not stop")
			}
		}
		return true
	}, "exec", "c1", "true")
	if want := "davit: exec c1: cannot exec in a container that has stopped meanwhile: container not running\n"; out != want {
		t.Errorf("%q, not %q", out, want)
	}
	b.davit("delete", "c1")
}
