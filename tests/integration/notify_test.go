package integration

import (
	"debug/elf"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// service is the test binary in a container. It prints what it got by sd_listen_fds(3), reports
// that it is ready (sd_notify(3)), and then sleeps, unless $ONCE is set.
func service() int {
	fmt.Println("sockets", os.Getenv("LISTEN_FDS"), "process", os.Getenv("LISTEN_PID"), "names", os.Getenv("LISTEN_FDNAMES"))
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for fd := 3; fd < 3+n; fd++ {
		path, err := unix.Getsockname(fd)
		fmt.Println(fd, path, err)
	}
	if to := os.Getenv("NOTIFY_SOCKET"); to != "" {
		c, err := net.Dial("unixgram", to)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Fprint(c, "STATUS=getting there\n")
		fmt.Fprint(c, "STATUS=there\nREADY=1\n")
	}
	if os.Getenv("ONCE") == "" {
		time.Sleep(time.Hour)
	}
	return 0
}

// newService returns a bench with a bundle that runs service.
func newService(t *testing.T) *bench {
	b := newBench(t, `process.args=["/service"]`, "process.env=[\""+roleVariable+"=service\"]", "process.user.uid=1000")
	data, err := os.ReadFile(staticSelf(b))
	b.try(err)
	b.try(os.WriteFile(filepath.Join(b.bundle, "rootfs/service"), data, 0o755))
	b.try(os.MkdirAll(filepath.Join(b.bundle, "rootfs/run/notify"), 0o755))
	return b
}

// staticSelf returns a test binary that runs in a container. If this binary is static, as make
// builds it, it is this one.
func staticSelf(b *bench) string {
	exe, err := os.Executable()
	b.try(err)
	f, err := elf.Open(exe)
	b.try(err)
	defer f.Close()
	if f.Section(".interp") == nil {
		return exe
	}
	exe = filepath.Join(b.TempDir(), "static")
	build := exec.Command("go", "test", "-c", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go test -c: %v\n%s", err, out)
	}
	return exe
}

// manager is systemd's end of the notify socket.
func manager(b *bench) (*net.UnixConn, string) {
	path := filepath.Join(b.TempDir(), "manager")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	b.try(err)
	b.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c, path
}

// receive reads a message, and closes the descriptor that came with it.
func receive(b *bench, c *net.UnixConn) (text string, fds int) {
	buf, oob := make([]byte, 4096), make([]byte, 256)
	n, k, _, _, err := c.ReadMsgUnix(buf, oob)
	b.try(err)
	messages, err := unix.ParseSocketControlMessage(oob[:k])
	b.try(err)
	for _, m := range messages {
		list, err := unix.ParseUnixRights(&m)
		b.try(err)
		for _, fd := range list {
			unix.Close(fd)
			fds++
		}
	}
	return string(buf[:n]), fds
}

// The davit that starts a container forwards the container's readiness. It ends only after systemd
// has read the message.
func TestNotify(t *testing.T) {
	for _, how := range [][]string{{"create", "start"}, {"run -d"}} {
		t.Run(strings.Join(how, " and "), func(t *testing.T) {
			b := newService(t)
			c, path := manager(b)
			t.Setenv("NOTIFY_SOCKET", path)
			var last *exec.Cmd
			for i, line := range how {
				out, err := os.Create(filepath.Join(t.TempDir(), "out"))
				b.try(err)
				defer out.Close()
				last = b.command(append(strings.Fields(line), "c1")...)
				last.Stdout, last.Stderr = out, out
				b.try(last.Start())
				if i < len(how)-1 {
					b.try(last.Wait())
				}
			}
			ready, _ := receive(b, c)
			state, err := stateOf(b.root, "c1")
			b.try(err)
			if want := fmt.Sprintf("MAINPID=%d\nREADY=1\n", state.Pid); ready != want {
				t.Errorf("%q, not %q", ready, want)
			}
			if exitWithin(last.Process.Pid, 50*time.Millisecond) {
				t.Error("it did not wait for the barrier")
			}
			if barrier, fds := receive(b, c); barrier != "BARRIER=1" || fds != 1 {
				t.Errorf("%q with %d descriptors", barrier, fds)
			}
			b.try(last.Wait())
			b.try(b.davit("delete", "--force", "c1"))
		})
	}
}

// In the foreground, davit remains the service's process.
func TestNotifyForeground(t *testing.T) {
	b := newService(t)
	c, path := manager(b)
	t.Setenv("NOTIFY_SOCKET", path)
	cmd := b.command("run", "c1")
	b.try(cmd.Start())
	if ready, _ := receive(b, c); ready != "READY=1\n" {
		t.Errorf("%q", ready)
	}
	receive(b, c)
	b.try(b.davit("kill", "c1", "KILL"))
	if have := exitCode(cmd.Wait()); have != 128+9 {
		t.Errorf("exit status %d", have)
	}
}

// A service may end as soon as it has reported that it is ready.
func TestNotifyShort(t *testing.T) {
	b := newService(t)
	b.try(editConfig(b.bundle, []string{"process.env+=ONCE=1"}))
	c, path := manager(b)
	t.Setenv("NOTIFY_SOCKET", path)
	for range 5 {
		cmd := b.command("run", "c1")
		b.try(cmd.Start())
		if ready, _ := receive(b, c); ready != "READY=1\n" {
			t.Errorf("%q", ready)
		}
		receive(b, c)
		b.try(cmd.Wait())
	}
}

// The container gets the sockets that systemd has opened, before the descriptors of --preserve-fds.
func TestListenFDs(t *testing.T) {
	b := newService(t)
	dir := t.TempDir()
	var files []*os.File
	for _, name := range []string{"a", "b", "c"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		b.try(err)
		defer l.Close()
		f, err := l.File()
		b.try(err)
		defer f.Close()
		files = append(files, f)
	}
	out := filepath.Join(dir, "out")
	// LISTEN_PID is the process for which the sockets are meant. Here a shell becomes davit.
	run := func(env string, args string) error {
		f, err := os.Create(out)
		b.try(err)
		defer f.Close()
		sh := exec.Command("sh", "-c", fmt.Sprintf("%s exec %s --root %s %s", env, davit, b.root, args))
		sh.Dir, sh.ExtraFiles, sh.Stdout, sh.Stderr = b.bundle, files, f, f
		return sh.Run()
	}
	b.try(run("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=x:y", "run -d --preserve-fds 1 c1"))
	b.try(awaitFile(out))
	fds, err := openFDs(b, "c1")
	b.try(err)
	text, _ := os.ReadFile(out)
	if fds != 3 || !strings.Contains(string(text), "sockets 2 process 1 names x:y") {
		t.Errorf("%d descriptors, %s", fds, text)
	}
	b.try(b.davit("delete", "--force", "c1"))

	// If the sockets are meant for another process, davit neither announces them nor passes them
	// on.
	b.try(run("LISTEN_PID=1 LISTEN_FDS=2", "run -d c1"))
	b.try(awaitFile(out))
	if fds, _ = openFDs(b, "c1"); fds != 0 {
		t.Errorf("%d descriptors that were not asked for", fds)
	}
	b.try(b.davit("delete", "--force", "c1"))

	if err := run("", "run -d --preserve-fds 4 c1"); err == nil {
		t.Error("a descriptor that is not there was preserved")
	}
	text, _ = os.ReadFile(out)
	if !strings.Contains(string(text), "descriptor 6 should be passed on, but davit was called without it") {
		t.Errorf("%s", text)
	}
}

// openFDs returns how many of the descriptors from 3 on are sockets, in a container's process.
func openFDs(b *bench, id string) (int, error) {
	s, err := stateOf(b.root, id)
	b.try(err)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.Pid))
	n := 0
	for _, l := range links {
		to, _ := os.Readlink(l)
		if fd, _ := strconv.Atoi(filepath.Base(l)); fd > 2 && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n, err
}

// If a link takes the place of the socket while a container is started, it leads davit to no file
// of the host.
func TestPlantedNotifyLink(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	_, manager := manager(&bench{t, b.root, b.bundle})
	t.Setenv("NOTIFY_SOCKET", manager)
	b.davit("create", "c1")
	t.Cleanup(func() { b.davit("delete", "--force", "c1") })
	canary := filepath.Join(b.work, "canary")
	if err := os.WriteFile(canary, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	socket, planted := filepath.Join(b.root, "c1/notify/notify.sock"), false
	b.traced(unix.PTRACE_O_TRACECLONE, func(int) bool {
		if info, err := os.Lstat(socket); !planted && err == nil && info.Mode()&os.ModeSocket != 0 {
			planted = os.Remove(socket) == nil && os.Symlink(canary, socket) == nil
		}
		return true
	}, "start", "c1")
	if !planted {
		t.Error("there was no socket: the test shows nothing")
	}
	if info, err := os.Lstat(canary); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file of the host's has mode %v (%v)", info.Mode(), err)
	}
}

// The root of a container with a user namespace can write nothing beside the socket, not even if
// its 0 is the host's 0.
func TestNotifyDirectoryIsNotTheContainers(t *testing.T) {
	for _, size := range []string{"65536", "10"} {
		t.Run(size, func(t *testing.T) {
			b := newBox(t, "root.readonly=false", `process.args=["sleep","1000"]`, `linux.namespaces+={"type":"user"}`, allCapabilities,
				`linux.uidMappings=[{"containerID":0,"hostID":0,"size":`+size+`}]`, `linux.gidMappings=[{"containerID":0,"hostID":0,"size":`+size+`}]`)
			_, manager := manager(&bench{t, b.root, b.bundle})
			t.Setenv("NOTIFY_SOCKET", manager)
			b.davit("create", "c1")
			t.Cleanup(func() { b.davit("delete", "--force", "c1") })
			out, _ := b.try("exec", "c1", "sh", "-c", "mount -o remount,bind,rw /run/notify && echo writable; mkdir /run/notify/d && echo made; chmod 777 /run/notify && echo changed")
			if !strings.Contains(out, "writable\n") {
				t.Errorf("the mount cannot be made writable any more: this test is of no use then, %s", out)
			}
			if strings.Contains(out, "made\n") || strings.Contains(out, "changed\n") {
				t.Errorf("the directory is the container's: %s", out)
			}
		})
	}
}
