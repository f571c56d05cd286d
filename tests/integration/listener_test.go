package integration

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// notification and response are seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

const (
	notifRecv = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
)

// listenSeccomp accepts one connection, returns the message that arrives there, and answers every
// notification with errno.
func listenSeccomp(t *testing.T, path string, errno int32) <-chan specs.ContainerProcessState {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	states := make(chan specs.ContainerProcessState, 4)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				close(states)
				return
			}
			var data [16384]byte
			control := make([]byte, unix.CmsgSpace(4))
			n, k, _, _, err := c.ReadMsgUnix(data[:], control)
			c.Close()
			if err != nil {
				continue
			}
			var s specs.ContainerProcessState
			if err := json.Unmarshal(data[:n], &s); err != nil {
				t.Errorf("%s: %v", data[:n], err)
			}
			messages, _ := unix.ParseSocketControlMessage(control[:k])
			if len(messages) == 1 {
				if fds, _ := unix.ParseUnixRights(&messages[0]); len(fds) == 1 {
					go answer(fds[0], errno)
				}
			}
			states <- s
		}
	}()
	return states
}

func answer(fd int, errno int32) {
	defer unix.Close(fd)
	for {
		var n notification
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifRecv, uintptr(unsafe.Pointer(&n))); e == unix.EINTR {
			continue
		} else if e != 0 {
			return
		}
		r := response{id: n.id, err: -errno}
		unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifSend, uintptr(unsafe.Pointer(&r)))
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		unix.Poll(p, -1)
		if p[0].Revents&unix.POLLHUP != 0 {
			return
		}
	}
}

// TestSeccompListener: a listener on the host decides about the container's calls, and learns which
// container they belong to. The same holds for exec.
func TestSeccompListener(t *testing.T) {
	b := newBox(t, `process.args=["sh","-c","mkdir /tmp/x; echo waiting; exec sleep 1000"]`, `annotations={"a":"b"}`)
	socket := filepath.Join(b.work, "listener")
	states := listenSeccomp(t, socket, int32(unix.EDQUOT))
	config := map[string]any{
		"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "for you",
		"syscalls": []any{map[string]any{"names": []string{"mkdir", "mkdirat"}, "action": "SCMP_ACT_NOTIFY"}},
	}
	text, _ := json.Marshal(config)
	b.edit("linux.seccomp=" + string(text))
	b.davit("check") // check finds the listener, and does not disturb it
	out, err := os.Create(filepath.Join(b.work, "console"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := b.command("run", "--detach", "c1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	s := <-states
	if s.Pid != b.pid() || s.Metadata != "for you" || len(s.Fds) != 1 || s.Fds[0] != specs.SeccompFdName || s.Version != specs.Version {
		t.Errorf("the process state is %+v", s)
	}
	if s.State.ID != "c1" || s.State.Status != specs.StateCreating || s.State.Pid != s.Pid || s.State.Bundle != b.bundle || s.State.Annotations["a"] != "b" {
		t.Errorf("the container's state is %+v", s.State)
	}
	if text := b.davit("exec", "c1", "sh", "-c", "mkdir /tmp/y || true"); !strings.Contains(text, "uota exceeded") {
		t.Errorf("exec: %s", text)
	}
	if s := <-states; s.State.Pid != b.pid() || s.Pid == b.pid() || s.State.Status != specs.StateRunning {
		t.Errorf("exec: the process state is %+v", s)
	}
	if err := awaitFile(out.Name()); err != nil { // the message of the container's own mkdir
		t.Fatal(err)
	}
	b.davit("delete", "--force", "c1")
	if text, _ := os.ReadFile(out.Name()); !strings.Contains(string(text), "uota exceeded") {
		t.Errorf("%s", text)
	}
}

// TestSeccompListenerSendmsg: the filter may concern the very call that sends its descriptor,
// whatever its flags are.
func TestSeccompListenerSendmsg(t *testing.T) {
	b := newBox(t, `process.args=["sh","-c","echo done"]`)
	socket := filepath.Join(b.work, "listener")
	states := listenSeccomp(t, socket, int32(unix.EDQUOT))
	b.edit(`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"` + socket + `","flags":["SECCOMP_FILTER_FLAG_TSYNC"],"syscalls":[{"names":["sendmsg"],"action":"SCMP_ACT_NOTIFY"}]}`)
	if out := b.davit("run", "c1"); out != "done\n" {
		t.Errorf("run: %s", out)
	}
	if s := <-states; len(s.Fds) != 1 {
		t.Errorf("the process state is %+v", s)
	}
}

// TestSeccompListenerMissing: nobody listens on the socket.
func TestSeccompListenerMissing(t *testing.T) {
	b := newBox(t, `linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/nope/nope","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}`)
	if out, status := b.try("create", "c1"); status != 1 || !strings.Contains(out, "linux.seccomp.listenerPath: connect to /nope/nope: no such file or directory") {
		t.Errorf("exit status %d: %s", status, out)
	}
}

// TestSeccompListenerHooks: the listener decides about the calls of startContainer hooks, too. Each
// hook has its own filter, and therefore its own connection and descriptor.
func TestSeccompListenerHooks(t *testing.T) {
	hook := func(n string) string {
		return `{"path":"/bin/sh","args":["sh","-c","mkdir /tmp/` + n + ` 2>/out/` + n + `; ls /proc/self/fd >>/out/` + n + `"],"env":["PATH=/bin"]}`
	}
	b := newBox(t, `process.args=["true"]`, "root.readonly=false", "hooks.startContainer=["+hook("1")+","+hook("2")+"]")
	socket := filepath.Join(b.work, "listener")
	states := listenSeccomp(t, socket, int32(unix.EDQUOT))
	b.edit(`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"` + socket + `","syscalls":[{"names":["mkdir","mkdirat","close_range"],"action":"SCMP_ACT_NOTIFY"}]}`)
	if err := os.Mkdir(b.path("out"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.davit("run", "c1")
	for i := range 3 { // for two hooks and the process
		select {
		case s := <-states:
			if len(s.Fds) != 1 || s.State.ID != "c1" || s.Pid == 0 || s.Pid != s.State.Pid {
				t.Errorf("the process state is %+v", s)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%d descriptors came", i)
		}
	}
	for _, n := range []string{"1", "2"} {
		text, _ := os.ReadFile(b.path("out/" + n))
		// ls has opened the directory as descriptor 3.
		if message, fds, _ := strings.Cut(string(text), "\n"); !strings.Contains(message, "uota exceeded") || fds != "0\n1\n2\n3\n" {
			t.Errorf("hook %s: %s", n, text)
		}
	}
}
