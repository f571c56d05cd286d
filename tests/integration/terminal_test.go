package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudoterminal whose slave is davit's controlling terminal.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	seen   []byte // what was read and has not matched yet
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	// The master does not use Go's poller, because poll(2) bounds each read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal("TIOCGPTPEER: ", errno)
	}
	term := &terminal{t: t, master: os.NewFile(uintptr(fd), "master"), slave: os.NewFile(slave, "slave")}
	t.Cleanup(func() { term.master.Close(); term.slave.Close() })
	term.resize(24, 80)
	return term
}

func (term *terminal) resize(rows, cols uint16) {
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		term.t.Fatal(err)
	}
}

// command returns a davit command on the terminal, as a shell would start it.
func (term *terminal) command(b *box, args ...string) *exec.Cmd {
	cmd := b.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return cmd
}

// read appends what it reads to seen; it returns false at the end.
func (term *terminal) read(d time.Duration) bool {
	if !pollIn(int(term.master.Fd()), d) {
		term.t.Fatalf("the terminal says no more after %q", term.seen)
	}
	var buf [4096]byte
	n, err := unix.Read(int(term.master.Fd()), buf[:])
	if n <= 0 || err != nil { // EIO: the last slave is closed
		return false
	}
	term.seen = append(term.seen, buf[:n]...)
	return true
}

// expect waits until seen matches, and returns the match.
func (term *terminal) expect(pattern string) []string {
	term.t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		if m := re.FindSubmatchIndex(term.seen); m != nil {
			var groups []string
			for i := 0; i < len(m); i += 2 {
				groups = append(groups, string(term.seen[m[i]:m[i+1]]))
			}
			term.seen = term.seen[m[1]:]
			return groups
		}
		if !term.read(20 * time.Second) {
			term.t.Fatalf("no %s before the end, in %q", pattern, term.seen)
		}
	}
}

func (term *terminal) rest() string {
	for term.read(20 * time.Second) {
	}
	return string(term.seen)
}

func (term *terminal) say(text string) {
	term.t.Helper()
	if _, err := term.master.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

// "davit run" on a terminal gives an interactive shell with job control. Its terminal works, its
// window can be resized, and davit ends with its exit status.
func TestTerminalRun(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.args=["sh"]`, `process.env+=PS1=ready> `)
	term := newTerminal(t)
	cmd := term.command(b, "run", "c1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.expect(`ready> `)
	term.say("tty\r")
	if tty := term.expect(`\n(/dev/\S+|not a tty)`)[1]; tty != "/dev/console" && !strings.HasPrefix(tty, "/dev/pts/") {
		t.Errorf("tty: %q", tty)
	}
	term.expect(`ready> `)
	term.say("stty size; ls -l /dev/console | cut -c1; echo $-; test -t 0 && test -t 1 && test -t 2 && echo all\r")
	term.expect(`\n24 80\r\nc\r\n`)
	term.expect(`all\r\nready> `)

	term.resize(50, 132)
	if err := cmd.Process.Signal(unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	term.say("for i in 1 2 3 4 5 6 7 8 9; do [ \"$(stty size)\" = '50 132' ] && break; usleep 100000; done; stty size\r")
	term.expect(`\n50 132\r\nready> `)

	// Ctrl-C reaches the program in the foreground, and not davit.
	term.say("trap 'echo interrupted' INT; echo begun; cat\r")
	term.expect(`\nbegun\r\n`)
	term.say("is there an echo\r")
	term.expect(`echo\r\n(?s:.*)echo\r\n`)
	term.say("\x03")
	term.expect(`ready> `)
	term.say("exit 42\r")
	term.slave.Close()
	if status := exitCode(cmd.Wait()); status != 42 {
		t.Errorf("exit status %d: %s", status, term.seen)
	}
}

// davit restores the state of its own terminal.
func TestTerminalRestored(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.args=["true"]`)
	term := newTerminal(t)
	before := termios(t, term.slave)
	cmd := term.command(b, "run", "c1")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if after := termios(t, term.slave); after != before {
		t.Errorf("the terminal was %+v and is %+v", before, after)
	}
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	attr, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *attr
}

// "davit exec --tty" works like run.
func TestTerminalExec(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	term := newTerminal(t)
	cmd := term.command(b, "exec", "--tty", "-e", "PS1=ready> ", "c1", "sh")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.expect(`ready> `)
	term.say("tty; stty size\r")
	term.expect(`\n/dev/pts/\d+\r\n24 80\r\n`)
	term.say("exit 7\r")
	term.slave.Close()
	if status := exitCode(cmd.Wait()); status != 7 {
		t.Errorf("exit status %d: %s", status, term.seen)
	}
	b.davit("delete", "--force", "c1")
}

// "davit create --console-socket" sends the terminal's master to the socket.
func TestConsoleSocket(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.consoleSize={"height":33,"width":99}`, `process.user.uid=1000`,
		`process.args=["sh","-c","tty; stty size; stat -c '%u' $(tty); read line; echo got $line; exit 3"]`)
	path := filepath.Join(b.work, "console.sock")
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := unix.Bind(listener, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		t.Fatal(err)
	}
	b.davit("create", "--console-socket", path, "c1")
	conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(conn)
	term := &terminal{t: t, master: receiveFile(t, conn)}
	defer term.master.Close()
	b.davit("start", "c1")
	term.expect(`/dev/(console|pts/0)\r\n33 99\r\n1000\r\n`)
	term.say("hello\r")
	term.expect(`got hello\r\n`)
	if err := awaitStatus(b.root, "c1", "stopped"); err != nil {
		t.Fatal(err)
	}
	b.davit("delete", "c1")
}

func receiveFile(t *testing.T, conn int) *os.File {
	t.Helper()
	var data [256]byte
	control := make([]byte, unix.CmsgSpace(4))
	n, c, _, _, err := unix.Recvmsg(conn, data[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:c])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages with %q: %v", len(messages), data[:n], err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v: %v", fds, err)
	}
	return os.NewFile(uintptr(fds[0]), fmt.Sprintf("received with %q", data[:n]))
}

// "davit exec --tty" ends when its process ends, with all of the process's output, also if another
// process holds the terminal.
func TestTerminalHeld(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	for range 20 {
		out, status := b.onTerminal("exec", "--tty", "c1", "sh", "-c", "setsid sleep 1000 & seq 500; exit 9")
		if status != 9 || !strings.HasSuffix(out, "499\r\n500\r\n") {
			t.Errorf("status %d: %q", status, out[max(0, len(out)-40):])
		}
	}
	b.davit("delete", "--force", "c1")
}
