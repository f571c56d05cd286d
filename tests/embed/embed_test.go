// Package embed makes containers in its own process, with davit/libcontainer. It shows what a
// program of another module can do with the public package. The two C programs that davit embeds
// must exist; `make` builds them.
//
//	go test -count=1 .     (in this directory, as root: a module of its own)
package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"davit/libcontainer"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bundle makes a bundle with busybox, whose process runs a shell's commands.
func bundle(t *testing.T, command string, change func(*specs.Spec)) string {
	t.Helper()
	dir := t.TempDir()
	busybox, err := exec.LookPath("busybox")
	try(t, err)
	data, err := os.ReadFile(busybox)
	try(t, err)
	try(t, os.MkdirAll(filepath.Join(dir, "rootfs/bin"), 0o755))
	try(t, os.Mkdir(filepath.Join(dir, "rootfs/proc"), 0o755))
	try(t, os.WriteFile(filepath.Join(dir, "rootfs/bin/busybox"), data, 0o755))
	try(t, os.Symlink("busybox", filepath.Join(dir, "rootfs/bin/sh")))
	s := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: process(command),
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		}},
	}
	if change != nil {
		change(s)
	}
	data, err = json.Marshal(s)
	try(t, err)
	try(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
	return dir
}

func process(command string) *specs.Process {
	return &specs.Process{Cwd: "/", Args: []string{"/bin/sh", "-c", command}, Env: []string{"PATH=/bin"}}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, not %v", err, want)
	}
}

// logged is the logger of one runtime.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, text)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func newRuntime(t *testing.T, root string) (*libcontainer.Runtime, *logged) {
	l := &logged{}
	return &libcontainer.Runtime{Root: root, Logger: libcontainer.Logger{Debug: l.add, Warn: func(text string) { t.Error(text) }}}, l
}

// whole has those properties of the process that a library must not change.
type whole struct {
	descriptors []string
	children    int
	umask       int
	subreaper   int32
	inherited   int // flags of a descriptor that is not close-on-exec
}

func look(t *testing.T, inherited *os.File) (w whole) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	try(t, err)
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.Contains(target, "/fd") { // skips the descriptor that reads the directory
			w.descriptors = append(w.descriptors, e.Name()+" "+target)
		}
	}
	slices.Sort(w.descriptors)
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	try(t, err)
	for _, name := range tasks {
		data, _ := os.ReadFile(name)
		w.children += len(strings.Fields(string(data)))
	}
	w.umask = unix.Umask(0o22)
	unix.Umask(w.umask)
	try(t, unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&w.subreaper)), 0, 0, 0))
	w.inherited, err = unix.FcntlInt(inherited.Fd(), unix.F_GETFD, 0)
	try(t, err)
	return w
}

// unharmed fails the test if the test changes the process. The first call of each kind may start Go's
// poller.
func unharmed(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	r, w, err := os.Pipe()
	try(t, err)
	_, err = unix.FcntlInt(r.Fd(), unix.F_SETFD, 0)
	try(t, err)
	before := look(t, r)
	t.Cleanup(func() {
		after := look(t, r)
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("of the process there was\n%+v\nand is\n%+v", before, after)
		}
		r.Close()
		w.Close()
	})
}

// life creates, starts, execs into and deletes a container.
func life(t *testing.T, rt *libcontainer.Runtime, id string) {
	said := output(t)
	p, err := rt.Create(libcontainer.CreateOptions{ID: id, Bundle: bundle(t, "echo of the container; sleep 100", nil), Stdio: said.stdio()})
	try(t, err)
	defer p.Close()
	c, err := rt.Open(id)
	try(t, err)
	defer c.Close()
	if i := c.Info(); i.Status != specs.StateCreated || i.Pid != p.Pid() || i.ID != id {
		t.Errorf("created: %+v", i)
	}
	try(t, c.Start(nil))
	is(t, c.Start(nil), libcontainer.ErrRunning)
	is(t, c.Delete(false), libcontainer.ErrNotStopped)
	_, err = rt.Create(libcontainer.CreateOptions{ID: id, Bundle: bundle(t, "true", nil)})
	is(t, err, libcontainer.ErrExists)
	q, err := c.Exec(libcontainer.ExecOptions{Process: process("echo of exec; exit 3"), Stdio: said.stdio()})
	try(t, err)
	status, err := q.Wait()
	if status != 3 || err != nil {
		t.Errorf("exec: status %d, %v", status, err)
	}
	q.Close()
	_, err = c.Exec(libcontainer.ExecOptions{Process: &specs.Process{Cwd: "/", Args: []string{"/nothing"}}})
	is(t, err, unix.ENOENT)
	try(t, c.Kill(unix.SIGKILL, false))
	if status, err = p.Wait(); status != 128+9 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	is(t, c.Kill(unix.SIGTERM, false), libcontainer.ErrNotRunning)
	try(t, c.Delete(false))
	_, err = rt.Open(id)
	is(t, err, libcontainer.ErrNotFound)
	if text := said.text(); !strings.Contains(text, "of the container") || !strings.Contains(text, "of exec") {
		t.Errorf("they said %q", text)
	}
}

// sink collects a container's output.
type sink struct {
	t *testing.T
	w *os.File
}

func output(t *testing.T) *sink {
	w, err := os.CreateTemp(t.TempDir(), "output")
	try(t, err)
	t.Cleanup(func() { w.Close() })
	return &sink{t, w}
}

func (s *sink) stdio() libcontainer.Stdio { return libcontainer.Stdio{Out: s.w, Err: s.w} }

func (s *sink) text() string {
	data, err := os.ReadFile(s.w.Name())
	try(s.t, err)
	return string(data)
}

// TestTwoAtATime: two runtimes, each with its own directory and logger, run two containers at a
// time each. Nothing is left.
func TestTwoAtATime(t *testing.T) {
	unharmed(t)
	t.Setenv("NOTIFY_SOCKET", "/nothing") // a library must ignore the environment
	t.Setenv("LISTEN_FDNAMES", "a:b")
	t.Run("runtimes", func(t *testing.T) {
		for _, name := range []string{"one", "two"} {
			t.Run(name, func(t *testing.T) {
				rt, log := newRuntime(t, t.TempDir())
				var done sync.WaitGroup
				for i := range 2 {
					done.Go(func() {
						for range 3 {
							life(t, rt, fmt.Sprintf("%s-%d", name, i))
						}
					})
				}
				done.Wait()
				if ids, err := rt.List(); len(ids) > 0 || err != nil {
					t.Errorf("left: %v, %v", ids, err)
				}
				text := log.text()
				if !strings.Contains(text, name+"-0") || !strings.Contains(text, name+"-1") {
					t.Errorf("the logger got\n%s", text)
				}
				for _, other := range []string{"one", "two"} {
					if other != name && strings.Contains(text, "container "+other+"-") {
						t.Errorf("the logger of %s got what is of %s", name, other)
					}
				}
			})
		}
	})
}

// TestRun runs a container and waits for it.
func TestRun(t *testing.T) {
	unharmed(t)
	rt, _ := newRuntime(t, t.TempDir())
	said := output(t)
	o := libcontainer.RunOptions{CreateOptions: libcontainer.CreateOptions{ID: "run", Bundle: bundle(t, "echo hello; exit 7", nil), Stdio: said.stdio()}}
	p, err := rt.Run(o)
	try(t, err)
	defer p.Close()
	status, err := p.Wait()
	if status != 7 || err != nil || said.text() != "hello\n" {
		t.Errorf("status %d, %v: %q", status, err, said.text())
	}
	try(t, p.Delete())
}

// TestPaused: which calls are refused in which state; and Delete reaps a container that this
// process has made.
func TestPaused(t *testing.T) {
	unharmed(t)
	rt, _ := newRuntime(t, t.TempDir())
	p, err := rt.Run(libcontainer.RunOptions{CreateOptions: libcontainer.CreateOptions{ID: "paused", Bundle: bundle(t, "sleep 100", nil)}, Detach: true})
	try(t, err)
	p.Close()
	c, err := rt.Open("paused")
	try(t, err)
	defer c.Close()
	is(t, c.Resume(), libcontainer.ErrNotPaused)
	try(t, c.Pause())
	if c.Status() != libcontainer.Paused {
		t.Errorf("status %s", c.Status())
	}
	_, err = c.Exec(libcontainer.ExecOptions{Process: process("true")})
	is(t, err, libcontainer.ErrPaused)
	try(t, c.Resume())
	try(t, c.Delete(true))
}

// TestFailures: failures leave nothing in the state directory, and nothing in the process.
func TestFailures(t *testing.T) {
	unharmed(t)
	rt, _ := newRuntime(t, t.TempDir())
	for name, change := range map[string]func(*specs.Spec){
		"no rootfs":  func(s *specs.Spec) { s.Root.Path = "nothing" },
		"no program": func(s *specs.Spec) { s.Process.Args = []string{"/nothing"} },
		"no source": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/nothing", Options: []string{"bind"}})
		},
		"a hook fails": func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
		},
	} {
		o := libcontainer.CreateOptions{ID: "failed", Bundle: bundle(t, "true", change)}
		if p, err := rt.Create(o); err == nil {
			p.Close()
			t.Errorf("create, %s: no error", name)
		}
		if p, err := rt.Run(libcontainer.RunOptions{CreateOptions: o}); err == nil {
			p.Close()
			t.Errorf("run, %s: no error", name)
		}
	}
	if ids, err := rt.List(); len(ids) > 0 || err != nil {
		t.Errorf("left: %v, %v", ids, err)
	}
	p, err := rt.Create(libcontainer.CreateOptions{ID: "nothing", Bundle: bundle(t, "", func(s *specs.Spec) { s.Process = nil })})
	try(t, err)
	p.Close()
	c, err := rt.Open("nothing")
	try(t, err)
	defer c.Close()
	is(t, c.Start(nil), libcontainer.ErrNoProcess)
	try(t, c.Delete(true))
}

// TestTerminal: the caller gets the terminal before the program begins.
func TestTerminal(t *testing.T) {
	unharmed(t)
	rt, _ := newRuntime(t, t.TempDir())
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	try(t, err)
	defer unix.Close(pair[0])
	var master *os.File
	terminal := &libcontainer.Terminal{
		Socket: func() (int, error) { return pair[1], nil },
		Attach: func() error {
			control := make([]byte, unix.CmsgSpace(4))
			_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 64), control, unix.MSG_CMSG_CLOEXEC)
			if err != nil {
				return err
			}
			messages, err := unix.ParseSocketControlMessage(control[:n])
			if err != nil {
				return err
			}
			fds, err := unix.ParseUnixRights(&messages[0])
			if err == nil {
				master = os.NewFile(uintptr(fds[0]), "terminal")
			}
			return err
		},
	}
	o := libcontainer.RunOptions{CreateOptions: libcontainer.CreateOptions{
		ID: "terminal", Bundle: bundle(t, "test -t 0 && echo a terminal", func(s *specs.Spec) {
			s.Process.Terminal = true
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
				specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}})
		}), Terminal: terminal,
	}}
	p, err := rt.Run(o)
	unix.Close(pair[1])
	try(t, err)
	defer p.Close()
	defer master.Close()
	text, _ := io.ReadAll(master) // it ends with EIO
	if status, err := p.Wait(); status != 0 || err != nil || !strings.Contains(string(text), "a terminal") {
		t.Errorf("status %d, %v: %q", status, err, text)
	}
	try(t, p.Delete())
}
