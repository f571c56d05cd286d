package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"davit/internal/sys"
	"davit/libcontainer"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"
)

// foreground connects a process with the davit that waits for it: by signals and, if the process
// has one, by its terminal.
type foreground struct {
	signals chan os.Signal
	sockets [2]int // a socket pair for the terminal: davit's end and the stage's
	restore func() // restores davit's own terminal, once
	master  *os.File
	output  chan struct{} // closed when all output is passed on; nil without a terminal
	passed  atomic.Int64  // how many pieces of output are passed on
}

// newForeground begins to catch signals, so that none is lost while a container is being made.
func newForeground() (*foreground, error) {
	f := &foreground{signals: make(chan os.Signal, 64), sockets: [2]int{-1, -1}, restore: func() {}}
	// davit's caller may have blocked signals. It is enough if this thread takes them.
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return nil, fmt.Errorf("rt_sigprocmask: %w", err)
	}
	signal.Notify(f.signals, forwarded()...)
	return f, nil
}

// terminal returns the functions that connect davit's own terminal with that of the process, if the
// process has one.
func (f *foreground) terminal() *libcontainer.Terminal {
	return &libcontainer.Terminal{Socket: f.socket, Attach: f.start}
}

// socket makes the socket pair over which the stage sends the terminal, and returns the stage's
// end.
func (f *foreground) socket() (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socketpair: %w", err)
	}
	f.sockets = pair
	return pair[1], nil
}

// start connects davit's own terminal with the one that the stage has sent.
func (f *foreground) start() error {
	unix.Close(f.sockets[1])
	f.sockets[1] = -1
	fd, err := receiveFD(f.sockets[0])
	if err != nil {
		return fmt.Errorf("receive the terminal: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that a read can have a deadline, which drain sets
		return fmt.Errorf("the terminal: %w", err)
	}
	f.master = os.NewFile(uintptr(fd), "terminal")
	// The output must reach davit's terminal exactly as the program wrote it.
	if err := console.ClearONLCR(f.master.Fd()); err != nil {
		return err
	}
	f.resize()
	if host, err := console.ConsoleFromFile(os.Stdin); err == nil {
		f.restore = sync.OnceFunc(func() { host.Reset() })
		if err := host.SetRaw(); err != nil {
			return fmt.Errorf("set the terminal to raw mode: %w", err)
		}
	}
	f.output = make(chan struct{})
	go f.passOutput()
	go f.input()
	return nil
}

// input passes davit's input on, and then its end, for example that of a pipe or of /dev/null.
// Otherwise the program would wait for ever for more input.
func (f *foreground) input() {
	io.Copy(f.master, os.Stdin)
	// The other end shows whether the program has read everything.
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, f.master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return
	}
	defer unix.Close(int(slave))
	f.endInput(int(slave))
}

// These are the pauses after which endInput looks again whether the program has read the end of its
// input.
const (
	shortPause = 20 * time.Millisecond
	longPause  = time.Second
)

// endInput types the character that ends input on a terminal (VEOF, Ctrl-D), each time that the
// program has read everything, until the terminal is gone. So each program that reads finds the
// end, as in a pipe. A program that reads keys, such as a shell with a line editor, also takes
// Ctrl-D for the end. For any other program it is a key, which comes less and less often.
func (f *foreground) endInput(slave int) {
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		p := []unix.PollFd{{Fd: int32(slave), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		if err != nil && err != unix.EINTR || p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			return
		}
		if n == 0 && err == nil {
			t, err := unix.IoctlGetTermios(slave, unix.TCGETS)
			if err != nil {
				return
			}
			end := t.Cc[unix.VEOF]
			if end == 0 { // the terminal has no such character
				end = 'D' & 0x1f
			}
			if _, err := f.master.Write([]byte{end}); err != nil {
				return
			}
			if t.Lflag&unix.ICANON != 0 {
				pause = shortPause
			}
		}
		time.Sleep(pause)
	}
}

// resize gives the terminal of the process the size of davit's own.
func (f *foreground) resize() {
	if f.master == nil {
		return
	}
	if size := hostSize(); size != nil {
		unix.IoctlSetWinsize(int(f.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// hostSize returns the size of the terminal on which davit was called; nil if there is none. Some
// or all of davit's streams may be redirected.
func hostSize() *unix.Winsize {
	for _, fd := range [...]int{unix.Stderr, unix.Stdout, unix.Stdin} {
		if size := sizeOf(fd); size != nil {
			return size
		}
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	return sizeOf(fd)
}

// sizeOf returns nil if fd is not a terminal, or a terminal without a size.
func sizeOf(fd int) *unix.Winsize {
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 && size.Col == 0 {
		return nil
	}
	return size
}

// forward passes signals on to a process until stop is called, when the process has ended.
func (f *foreground) forward(pidfd int) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				f.giveIn()
			case s := <-f.signals:
				switch s {
				case unix.SIGWINCH:
					f.resize()
				default:
					unix.PidfdSendSignal(pidfd, s.(unix.Signal), nil, 0)
				}
			}
		}
	}()
	return func() {
		f.restore()
		close(done)
	}
}

// giveIn lets signals end davit again, since it may now wait for a hook or for a reader of its
// output. It resets them one by one as they arrive, because signal.Reset for all of them would need
// a thread. A signal that comes soon after the end was meant for the process. It is ignored, so
// that davit still removes the container.
func (f *foreground) giveIn() {
	const soon = 200 * time.Millisecond
	end := time.Now()
	for s := range f.signals {
		if time.Since(end) > soon {
			signal.Reset(s)
			unix.Kill(unix.Getpid(), s.(unix.Signal))
		}
	}
}

// forwarded returns the signals that davit passes on to a process in the foreground, and SIGWINCH.
func forwarded() []os.Signal {
	signals := make([]os.Signal, 0, 64)
	for sig := unix.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP: // these cannot be caught
		case unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG: // these are for davit itself; Go's runtime uses SIGURG
		case unix.SIGTTIN, unix.SIGTTOU: // caught in the background, they would make the kernel restart the call for ever
		case unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGPROF: // these mean a fault in davit
		case 32, 33: // the C library uses them
		default:
			signals = append(signals, sig)
		}
	}
	return signals
}

// close restores davit's own terminal, and waits until the output is passed on.
func (f *foreground) close() {
	for _, fd := range f.sockets {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	f.restore()
	if f.output != nil {
		f.drain()
	}
	if f.master != nil {
		f.master.Close()
	}
}

// passOutput passes on what the process writes, until no process has its terminal open or drain
// ends it.
func (f *foreground) passOutput() {
	defer close(f.output)
	buf := make([]byte, 32<<10)
	for {
		n, err := f.master.Read(buf)
		if f.pass(buf[:n]) == unix.EPIPE {
			f.master.Close() // as when the window of a terminal is closed: the program gets SIGHUP
			f.restore()      // if the program goes on, Ctrl-C is a signal for davit again
			return
		}
		if err != nil {
			break
		}
	}
	// This reads what the process has written before its end. Other processes may still have
	// the terminal open, and may write for ever.
	for range maxDrained / 4096 { // one read returns at most 4096 bytes
		n, err := unix.Read(int(f.master.Fd()), buf)
		if n <= 0 || err != nil || f.pass(buf[:n]) != nil {
			return
		}
	}
}

// maxDrained is more than the kernel buffers for a terminal, in bytes.
const maxDrained = 64 << 10

// pass writes to davit's standard output. It does not use os.Stdout, which would end davit by
// SIGPIPE if nobody reads the output any more.
func (f *foreground) pass(p []byte) error {
	err := sys.WriteAll(unix.Stdout, p)
	f.passed.Add(1)
	return err
}

// patience is how long davit waits for a reader of its output after the process has ended.
const patience = 10 * time.Second

// drain waits until the output is passed on. It gives up if nobody reads it.
func (f *foreground) drain() {
	f.master.SetReadDeadline(time.Now())
	for {
		before := f.passed.Load()
		select {
		case <-f.output:
			return
		case <-time.After(patience):
		}
		if f.passed.Load() == before {
			if writable(unix.Stderr) { // nobody may read standard error either
				warn("nobody reads standard output: the end of what the process wrote is lost")
			}
			return
		}
	}
}

func writable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	return err == nil && n == 1
}

func receiveFD(socket int) (int, error) {
	var data [64]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return -1, io.ErrUnexpectedEOF
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return -1, io.ErrUnexpectedEOF
	}
	return fds[0], nil
}

// waitProcess reaps a child and returns its exit status in the form of the shell. davit may be a
// subreaper, so this also reaps every other process that ends in between.
func waitProcess(pid int) int {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 255
		case got == pid && status.Signaled():
			return 128 + int(status.Signal())
		case got == pid && status.Exited():
			return status.ExitStatus()
		}
	}
}
