package integration

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAnnotationReceiver: crun's annotation, or davit's environment, names the socket for seccomp
// notifications.
func TestAnnotationReceiver(t *testing.T) {
	const filter = `linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"}]}`
	b := newBox(t, `process.args=["sh","-c","mkdir /tmp/x || true"]`, filter)
	socket := filepath.Join(b.work, "listener")
	states := listenSeccomp(t, socket, int32(unix.EDQUOT))
	if out, status := b.try("create", "c1"); status != 1 || !strings.Contains(out, "linux.seccomp.listenerPath: is missing") {
		t.Errorf("without a receiver: exit status %d: %s", status, out)
	}
	b.edit(`annotations={"run.oci.seccomp.receiver":"relative"}`)
	if out, status := b.try("create", "c1"); status != 1 || !strings.Contains(out, `annotations["run.oci.seccomp.receiver"]: "relative" is not an absolute path`) {
		t.Errorf("exit status %d: %s", status, out)
	}
	b.edit(`annotations={"run.oci.seccomp.receiver":"` + socket + `"}`)
	if out := b.davit("run", "c1"); !strings.Contains(out, "uota exceeded") {
		t.Errorf("annotation: %s", out)
	}
	if s := <-states; s.State.ID != "c1" {
		t.Errorf("the process state is %+v", s)
	}
	t.Setenv("RUN_OCI_SECCOMP_RECEIVER", socket)
	b.edit(`annotations={}`)
	if out := b.davit("run", "c1"); !strings.Contains(out, "uota exceeded") {
		t.Errorf("environment: %s", out)
	}
	<-states
	b.edit(`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`) // this filter notifies of nothing
	t.Setenv("RUN_OCI_SECCOMP_RECEIVER", "/nope")
	b.davit("run", "c1")
}

// TestAnnotationPidfd: crun's annotation names a socket to which davit sends a pidfd of the
// container's process.
func TestAnnotationPidfd(t *testing.T) {
	b := newBox(t, `annotations={"run.oci.pidfd_receiver":"receiver"}`)
	if out, status := b.try("create", "c1"); status != 1 || !strings.Contains(out, "annotations[run.oci.pidfd_receiver]: connect to "+b.bundle+"/receiver: no such file or directory") {
		t.Errorf("exit status %d: %s", status, out)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(b.bundle, "receiver"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.davit("create", "c1")
	defer b.davit("delete", "--force", "c1")
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var data [64]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(data[:], control)
	if err != nil {
		t.Fatal(err)
	}
	messages, _ := unix.ParseSocketControlMessage(control[:n])
	if len(messages) != 1 {
		t.Fatalf("%d control messages", len(messages))
	}
	fds, _ := unix.ParseUnixRights(&messages[0])
	if len(fds) != 1 {
		t.Fatalf("%d descriptors", len(fds))
	}
	defer unix.Close(fds[0])
	pid := b.pid()
	if err := unix.PidfdSendSignal(fds[0], unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	p := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
	unix.Poll(p, -1)
	if err := unix.Kill(pid, 0); err == nil {
		if text := b.davit("state", "c1"); !strings.Contains(text, `"status": "stopped"`) {
			t.Errorf("the pidfd is not the container's process's: %s", text)
		}
	}
}

// TestAnnotationKeepGroups: with crun's annotation, processes keep the supplementary groups of
// davit's caller, also those of exec.
func TestAnnotationKeepGroups(t *testing.T) {
	const groups = "grep ^Groups /proc/self/status"
	b := newBox(t, `process.args=["sh","-c","`+groups+`"]`, `process.user.additionalGids=[5,6]`)
	with := func(args ...string) string {
		cmd := b.command(args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{77, 88}}}
		return output(t, cmd)
	}
	for _, c := range []struct{ annotations, want string }{
		{`{}`, "5 6"}, {`{"run.oci.keep_original_groups":"0"}`, "5 6"},
		{`{"run.oci.keep_original_groups":"1"}`, "77 88"}, {`{"run.oci.keep_original_groups":""}`, "77 88"},
	} {
		b.edit("annotations=" + c.annotations)
		if out := with("run", "c1"); strings.TrimSpace(strings.TrimPrefix(out, "Groups:")) != c.want {
			t.Errorf("%s: %q", c.annotations, out)
		}
	}
	b.edit(`annotations={"run.oci.keep_original_groups":"1"}`, `process.args=["sleep","1000"]`)
	b.davit("run", "--detach", "c1")
	defer b.davit("delete", "--force", "c1")
	if out := with("exec", "c1", "sh", "-c", groups); strings.TrimSpace(strings.TrimPrefix(out, "Groups:")) != "77 88" {
		t.Errorf("exec: %q", out)
	}
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v: %s", cmd.Args, err, out)
	}
	return string(out)
}
