package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// This file has the wire protocol of D-Bus (dbus.freedesktop.org, "D-Bus Specification"), as far as
// calls to systemd need it.

// Timeout is how long davit waits for the answer to a call, and for the end of a job.
const Timeout = 30 * time.Second

// Error is an error that the other side has answered with.
type Error struct {
	Name    string // "org.freedesktop.systemd1.UnitExists"
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message + " (" + e.Name + ")"
}

// is reports whether err is an *Error of that name.
func is(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Name == name
}

// wire is a connection to a bus, or directly to a manager's private socket.
type wire struct {
	fd      int
	serial  uint32
	in      []byte    // bytes that were received and belong to no message yet
	signals []message // signals that came while another message was awaited
}

// The kinds of messages.
const (
	methodCall   = 1
	methodReturn = 2
	errorReply   = 3
	signal       = 4
)

type message struct {
	kind   byte
	reply  uint32 // the serial number of the call that it answers
	member string
	name   string // the name of an error
	order  binary.ByteOrder
	body   []byte
}

// dial connects and authenticates. It sends no user id: in a user namespace the other side knows
// davit's by another number. The other side decides by the socket's credentials.
func dial(path string) (*wire, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	w := &wire{fd: fd}
	deadline := time.Now().Add(Timeout)
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err != unix.EINTR && err != unix.EAGAIN { // EAGAIN means a full backlog, and no event tells when there is room
			break
		}
		if time.Now().After(deadline) {
			err = unix.ETIMEDOUT
			break
		}
		_, _ = unix.Poll(nil, 1) // sleeps for a millisecond; Go's timers would set up its poller
	}
	if err == nil {
		err = w.authenticate(deadline)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return w, nil
}

func (w *wire) close() { unix.Close(w.fd) }

// authenticate sends all lines of the client at once, as sd-bus does, and expects the answers
// "DATA" and "OK GUID".
func (w *wire) authenticate(deadline time.Time) error {
	if err := w.send([]byte("\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"), deadline); err != nil {
		return err
	}
	for {
		line, err := w.line(deadline)
		if err != nil {
			return err
		}
		switch {
		case line == "DATA":
		case len(line) > 3 && line[:3] == "OK ":
			return nil
		default:
			return fmt.Errorf("authentication refused: %q", line)
		}
	}
}

func (w *wire) line(deadline time.Time) (string, error) {
	for {
		for i := 1; i < len(w.in); i++ {
			if w.in[i-1] == '\r' && w.in[i] == '\n' {
				line := string(w.in[:i-1])
				w.in = w.in[i+1:]
				return line, nil
			}
		}
		if len(w.in) > 1024 {
			return "", errors.New("no D-Bus server answers")
		}
		if err := w.receive(deadline); err != nil {
			return "", err
		}
	}
}

func (w *wire) send(b []byte, deadline time.Time) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(w.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if err := w.wait(unix.POLLOUT, deadline); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// receive waits for data and appends it to w.in.
func (w *wire) receive(deadline time.Time) error {
	var buf [4096]byte
	for {
		n, err := unix.Read(w.fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if err := w.wait(unix.POLLIN, deadline); err != nil {
				return err
			}
		case err != nil:
			return err
		case n == 0:
			return errors.New("connection closed")
		default:
			w.in = append(w.in, buf[:n]...)
			return nil
		}
	}
}

func (w *wire) wait(events int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("no answer within %v", Timeout)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: events}}, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

// call calls a method and returns its answer.
func (w *wire) call(destination, path, iface, member, signature string, body *encoder) (*message, error) {
	deadline := time.Now().Add(Timeout)
	w.serial++
	serial := w.serial
	if err := w.send(callMessage(serial, destination, path, iface, member, signature, body), deadline); err != nil {
		return nil, fmt.Errorf("call %s: %w", member, err)
	}
	for {
		m, err := w.next(deadline)
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", member, err)
		}
		switch {
		case m.kind == signal:
			w.signals = append(w.signals, *m)
		case m.reply != serial:
		case m.kind == errorReply:
			return nil, m.error()
		case m.kind == methodReturn:
			return m, nil
		}
	}
}

// signal returns the next signal. It waits until the deadline.
func (w *wire) signal(deadline time.Time) (*message, error) {
	if len(w.signals) > 0 {
		m := w.signals[0]
		w.signals = w.signals[1:]
		return &m, nil
	}
	for {
		m, err := w.next(deadline)
		if err != nil || m.kind == signal {
			return m, err
		}
	}
}

func (m *message) error() error {
	d := decoder{b: m.body, order: m.order}
	return &Error{Name: m.name, Message: d.text()}
}

// callMessage encodes a method call, in little-endian order.
func callMessage(serial uint32, destination, path, iface, member, signature string, body *encoder) []byte {
	e := &encoder{}
	e.b = append(e.b, 'l', methodCall, 0, 1)
	var content []byte
	if body != nil {
		content = body.b
	}
	e.uint32(uint32(len(content)))
	e.uint32(serial)
	e.array(8, func() {
		e.field(1, "o", path)
		e.field(2, "s", iface)
		e.field(3, "s", member)
		if destination != "" {
			e.field(6, "s", destination)
		}
		if signature != "" {
			e.field(8, "g", signature)
		}
	})
	e.align(8)
	return append(e.b, content...)
}

const maxMessage = 128 << 20 // bytes; the specification's limit

// next returns the next message. It waits until the deadline.
func (w *wire) next(deadline time.Time) (*message, error) {
	for {
		m, n, err := parse(w.in)
		if err != nil {
			return nil, err
		}
		if m != nil {
			w.in = w.in[n:]
			return m, nil
		}
		if err := w.receive(deadline); err != nil {
			return nil, err
		}
	}
}

var errMalformed = errors.New("malformed D-Bus message")

// parse returns the message at the beginning of b, and its length in bytes; nil if b does not have
// all of it yet.
func parse(b []byte) (*message, int, error) {
	if len(b) < 16 {
		return nil, 0, nil
	}
	m := &message{kind: b[1]}
	switch b[0] {
	case 'l':
		m.order = binary.LittleEndian
	case 'B':
		m.order = binary.BigEndian
	default:
		return nil, 0, errMalformed
	}
	bodyLen, fieldsLen := int64(m.order.Uint32(b[4:])), int64(m.order.Uint32(b[12:]))
	start := (16 + fieldsLen + 7) &^ 7
	if start+bodyLen > maxMessage {
		return nil, 0, errMalformed
	}
	if int64(len(b)) < start+bodyLen {
		return nil, 0, nil
	}
	d := decoder{b: b[:16+fieldsLen], order: m.order, pos: 16}
	for d.pos < len(d.b) {
		d.align(8)
		code := d.byte()
		switch sig := d.signature(); sig {
		case "s", "o":
			switch text := d.text(); code {
			case 3:
				m.member = text
			case 4:
				m.name = text
			}
		case "g":
			d.signature()
		case "u":
			if n := d.uint32(); code == 5 {
				m.reply = n
			}
		default:
			d.failed = true
		}
		if d.failed {
			return nil, 0, errMalformed
		}
	}
	m.body = append([]byte(nil), b[start:start+bodyLen]...)
	return m, int(start + bodyLen), nil
}
