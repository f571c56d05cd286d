package nsenter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kind is the kind of a message; stage/stage.h says who sends which.
type Kind uint32

// The kinds.
const (
	Error Kind = 1 + iota
	Forked
	Phase
	Proceed
	Ready
	Trace
	Opened
	Output
)

// Message is what parent and stage send each other.
type Message struct {
	Kind   Kind
	Step   int        // index into the plan's steps
	Errno  unix.Errno // of an Error; if Call is "hook exit status" or "hook signal", that number
	Value  int64      // its meaning depends on the kind, as stage/stage.h says; likewise for End
	End    int64
	Call   string // the system call that failed
	Detail string // what it failed on
}

// record is a message on the wire, in the machine's byte order. The text of Detail follows it. The
// C structure is generated from it (`go generate ./internal/plan`).
type record struct {
	Kind  uint32
	Step  uint32
	Err   int32
	Pad   uint32
	Value int64
	End   int64
	Call  [24]byte // ends with a NUL
}

const recordSize = int(unsafe.Sizeof(record{}))

func (r *record) bytes() []byte { return (*[recordSize]byte)(unsafe.Pointer(r))[:] }

// Conn is one end of a SOCK_SEQPACKET socket that carries messages.
type Conn struct{ fd int }

// NewConn returns a Conn that owns the descriptor.
func NewConn(fd int) *Conn { return &Conn{fd} }

// FD returns the descriptor.
func (c *Conn) FD() int { return c.fd }

// Close closes the socket.
func (c *Conn) Close() error {
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// Receive waits for a message. It returns io.EOF when the other side is gone.
func (c *Conn) Receive() (Message, error) {
	var buf [recordSize + 4096]byte
	for tries := 100; ; tries-- {
		n, _, err := unix.Recvfrom(c.fd, buf[:], 0)
		switch {
		case tries > 0 && (err == unix.ENOMEM || err == unix.ENOBUFS): // the message must not be lost
			_, _ = unix.Poll(nil, 1)
			continue
		case err == unix.EINTR:
			continue
		case err == unix.ECONNRESET:
			return Message{}, io.EOF
		case err != nil:
			return Message{}, fmt.Errorf("receive from the stage: %w", err)
		case n == 0:
			return Message{}, io.EOF
		case n < recordSize:
			return Message{}, errors.New("receive from the stage: a truncated message")
		}
		return decode(buf[:n]), nil
	}
}

func decode(b []byte) Message {
	var r record
	copy(r.bytes(), b)
	return Message{Kind: Kind(r.Kind), Step: int(r.Step), Errno: unix.Errno(r.Err), Value: r.Value, End: r.End,
		Call: string(r.Call[:max(bytes.IndexByte(r.Call[:], 0), 0)]), Detail: string(b[recordSize:])}
}

// Proceed answers a phase. value is the pid of the container process.
func (c *Conn) Proceed(value int64) error { return c.send(Proceed, value, nil) }

// Opened gives the stage a descriptor that replaces the plan's descriptor with that index. The
// caller still owns its own.
func (c *Conn) Opened(index, fd int) error { return c.send(Opened, int64(index), unix.UnixRights(fd)) }

func (c *Conn) send(kind Kind, value int64, rights []byte) error {
	r := record{Kind: uint32(kind), Value: value}
	if err := unix.Sendmsg(c.fd, r.bytes(), rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send to the stage: %w", err)
	}
	return nil
}
