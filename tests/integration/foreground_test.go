package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onPipe starts a davit whose streams are a terminal, except that its standard output is a pipe. It
// returns the pipe's other end.
func (term *terminal) onPipe(b *box, args ...string) (*exec.Cmd, *os.File) {
	term.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		term.t.Fatal(err)
	}
	term.t.Cleanup(func() { r.Close() })
	cmd := term.command(b, args...)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		term.t.Fatal(err)
	}
	w.Close()
	return cmd, r
}

// endWithin waits for davit to end, and kills it if it takes too long.
func endWithin(t *testing.T, cmd *exec.Cmd, d time.Duration) int {
	t.Helper()
	if !exitWithin(cmd.Process.Pid, d) {
		t.Errorf("davit does not end within %v", d)
		cmd.Process.Kill()
	}
	return exitCode(cmd.Wait())
}

// "davit exec --tty c1 yes | head -1": the reader of the output goes away. The effect is as if a
// terminal's window was closed: the program gets SIGHUP, and davit ends as always.
func TestTerminalReaderGone(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.args=["yes"]`)
	term := newTerminal(t)
	before := termios(t, term.slave)
	check := func(want int, args ...string) {
		t.Helper()
		cmd, r := term.onPipe(b, args...)
		if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
			t.Error(err)
		}
		r.Close()
		if status := endWithin(t, cmd, 20*time.Second); status != want {
			t.Errorf("%s: exit status %d", args[0], status)
		}
		if after := termios(t, term.slave); after != before {
			t.Errorf("the terminal was %+v and is %+v", before, after)
		}
	}
	check(1, "run", "c1") // the first process of a pid namespace gets SIGHUP only if it catches that; here it gets EIO
	if _, err := os.Stat(filepath.Join(b.root, "c1")); err == nil {
		t.Error("the container's state is still there")
	}
	b.edit("process.terminal=false", `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	term = newTerminal(t)
	check(128+int(unix.SIGHUP), "exec", "--tty", "c1", "yes")
	b.davit("delete", "--force", "c1")
}

// A program that survives this gets the signals of a terminal that is as it was before.
func TestTerminalReaderGoneIgnored(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	term := newTerminal(t)
	before := termios(t, term.slave)
	cmd, r := term.onPipe(b, "exec", "--tty", "c1", "sh", "-c", "trap '' HUP; yes; exec sleep 1000")
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		t.Error(err)
	}
	r.Close()
	for end := time.Now().Add(5 * time.Second); termios(t, term.slave) != before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the terminal was %+v and is %+v", before, termios(t, term.slave))
		}
	}
	term.say("\x03")
	if status := endWithin(t, cmd, 5*time.Second); status != 128+int(unix.SIGINT) {
		t.Errorf("exit status %d", status)
	}
	b.davit("delete", "--force", "c1")
}

// If nobody reads standard error, davit continues in spite of its warnings.
func TestStderrClosed(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`, `hooks.poststop=[{"path":"/bin/false"}]`)
	b.davit("run", "-d", "c1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := b.command("delete", "--force", "c1")
	cmd.Stderr = w
	if status := exitCode(cmd.Run()); status != 0 {
		t.Errorf("delete: exit status %d", status)
	}
	cmd = b.command("state", "c1")
	cmd.Stderr = w
	if status := exitCode(cmd.Run()); status != 1 {
		t.Errorf("state: exit status %d", status)
	}
}

// A process has ended. The reader of its output may be slow, and still gets all of it.
func TestTerminalSlowReader(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.args=["sh","-c","seq 14000; exit 3"]`)
	cmd, r := newTerminal(t).onPipe(b, "run", "c1")
	time.Sleep(1500 * time.Millisecond)
	out, _ := io.ReadAll(r)
	if status := endWithin(t, cmd, 20*time.Second); status != 3 || !strings.HasSuffix(string(out), "\n13999\n14000\n") {
		t.Errorf("exit status %d, %d bytes: %q", status, len(out), out[max(0, len(out)-40):])
	}
}

// A process ends, and nobody reads its output. davit ends after some time, or at once if it gets a
// signal.
func TestTerminalNotRead(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	full := func() *exec.Cmd {
		b.davit("run", "-d", "c1")
		cmd, r := newTerminal(t).onPipe(b, "exec", "--tty", "c1", "yes")
		for before := 0; ; time.Sleep(300 * time.Millisecond) { // until the pipe is full
			n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 && n == before {
				break
			}
			before = n
		}
		b.davit("delete", "--force", "c1")
		return cmd
	}
	cmd := full()
	if exitWithin(cmd.Process.Pid, time.Second) {
		t.Error("davit does not wait for a reader")
	}
	cmd.Process.Signal(unix.SIGTERM)
	if status := endWithin(t, cmd, 2*time.Second); status != -int(unix.SIGTERM) {
		t.Errorf("exit status %d after SIGTERM", status)
	}
	if status := endWithin(t, full(), 20*time.Second); status != 128+int(unix.SIGKILL) {
		t.Errorf("exit status %d", status)
	}
}

// A signal ends a davit that waits for a poststop hook.
func TestSignalDuringPoststop(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	hook := filepath.Join(b.work, "hook")
	b.edit(fmt.Sprintf(`hooks.poststop=[{"path":"/bin/sh","args":["sh","-c","[ -e %s ] || { echo $$ >%s; exec sleep 1000; }"]}]`, hook, hook))
	cmd := b.command("run", "c1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := awaitFile(hook); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	cmd.Process.Signal(unix.SIGTERM)
	if status := endWithin(t, cmd, 5*time.Second); status != -int(unix.SIGTERM) {
		t.Errorf("exit status %d", status)
	}
	var pid int
	text, _ := os.ReadFile(hook)
	fmt.Sscan(string(text), &pid)
	unix.Kill(pid, unix.SIGKILL)
	b.davit("delete", "--force", "c1")
}

// A davit with a terminal in the background is stopped, like any program that reads its terminal or
// changes the terminal's modes.
func TestTerminalBackground(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	term := newTerminal(t)
	cmd := term.command(b, "exec", "--tty", "c1", "cat")
	cmd.Args = append([]string{"sh", "-mc", `"$@" & echo "pid $!."; read x`, "sh"}, cmd.Args...)
	cmd.Path = "/bin/sh"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(term.expect(`pid (\d+)\.`)[1], &pid)
	state := ""
	for end := time.Now().Add(5 * time.Second); state != "T" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(data), ") ")
		state, _, _ = strings.Cut(rest, " ")
	}
	if state != "T" {
		t.Errorf("davit is not stopped, but %q", state)
	}
	unix.Kill(pid, unix.SIGKILL)
	term.say("\r")
	cmd.Wait()
	b.davit("delete", "--force", "c1")
}

// The terminal's size is that of the terminal on which davit was called, whichever of davit's
// streams is redirected.
func TestTerminalSize(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.args=["stty","size"]`)
	for _, kept := range []int{0, 1, 2, 3} { // 3: only the controlling terminal
		term := newTerminal(t)
		term.resize(33, 99)
		out, err := os.Create(filepath.Join(b.work, "size"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := b.command("run", "c1")
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: kept}
		switch kept {
		case 0:
			cmd.Stdin = term.slave
		case 1:
			cmd.Stdout = term.slave
		case 2:
			cmd.Stderr = term.slave
		case 3:
			cmd.ExtraFiles = []*os.File{term.slave}
		}
		err = cmd.Run()
		text, _ := os.ReadFile(out.Name())
		if kept == 1 {
			text = []byte(term.expect(`\S+ \S+\r?\n`)[0])
		}
		if err != nil || strings.TrimSpace(string(text)) != "33 99" {
			t.Errorf("terminal at %d: %v, %q", kept, err, text)
		}
	}
}
