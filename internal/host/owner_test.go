package host

import (
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// A user namespace owns what is made in it and below it, and nothing that existed before.
func TestOwns(t *testing.T) {
	const own = "/proc/self/ns/"
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Skip("needs user namespaces: ", err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	other := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/"
	for _, c := range []struct {
		userns, path string
		want         bool
	}{
		{other + "user", other + "uts", true}, {other + "user", other + "net", false}, {other + "user", own + "uts", false},
		{own + "user", own + "net", true}, {own + "user", other + "uts", true},
		{other + "user", "/no/such", true}, {"/no/such", own + "net", true}, {other + "user", "/dev/null", true},
	} {
		if got := Host().Owns(c.userns, c.path); got != c.want {
			t.Errorf("%s owns %s: %t", c.userns, c.path, got)
		}
	}
	f := Fixed(Known{Foreign: []string{"/run/netns/x"}})
	if f.Owns(other+"user", "/run/netns/x") || !f.Owns(other+"user", own+"net") {
		t.Error("a told host does not say what it was told")
	}
}
