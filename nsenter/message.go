package nsenter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is the kind of a message; stage/stage.h tells who sends which.
type Kind uint32

// The kinds, as in stage/stage.h.
const (
	Error Kind = 1 + iota
	Forked
	Phase
	Proceed
	Ready
	Trace
	Opened
)

// Message is what parent and stage tell each other.
type Message struct {
	Kind   Kind
	Step   int        // index into the plan's steps
	Errno  unix.Errno // of an Error; if Call is "hook exit status" or "hook signal", that number
	Value  int64      // what it is depends on the kind, as in stage/stage.h; so with End
	End    int64
	Call   string // the system call that failed
	Detail string // what it failed on
}

const (
	messageSize = 56 // sizeof(struct message)
	callSize    = 24
)

var order = binary.NativeEndian

// Conn is one end of a SOCK_SEQPACKET socket that carries messages.
type Conn struct{ fd int }

// NewConn takes over the descriptor.
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
	var buf [messageSize + 4096]byte
	for {
		n, _, err := unix.Recvfrom(c.fd, buf[:], 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECONNRESET:
			return Message{}, io.EOF
		case err != nil:
			return Message{}, fmt.Errorf("receive from the stage: %w", err)
		case n == 0:
			return Message{}, io.EOF
		case n < messageSize:
			return Message{}, errors.New("receive from the stage: a truncated message")
		}
		return decode(buf[:n]), nil
	}
}

func decode(b []byte) Message {
	m := Message{
		Kind:   Kind(order.Uint32(b)),
		Step:   int(order.Uint32(b[4:])),
		Errno:  unix.Errno(int32(order.Uint32(b[8:]))),
		Value:  int64(order.Uint64(b[16:])),
		End:    int64(order.Uint64(b[24:])),
		Detail: string(b[messageSize:]),
	}
	call := string(b[32 : 32+callSize])
	m.Call = call[:max(strings.IndexByte(call, 0), 0)]
	return m
}

// Proceed answers a phase: value is the container process's pid.
func (c *Conn) Proceed(value int64) error { return c.send(Proceed, value, nil) }

// Opened gives the stage a descriptor in place of the plan's with that index. The caller's stays the caller's.
func (c *Conn) Opened(index, fd int) error { return c.send(Opened, int64(index), unix.UnixRights(fd)) }

func (c *Conn) send(kind Kind, value int64, rights []byte) error {
	var b [messageSize]byte
	order.PutUint32(b[:], uint32(kind))
	order.PutUint64(b[16:], uint64(value))
	if err := unix.Sendmsg(c.fd, b[:], rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send to the stage: %w", err)
	}
	return nil
}
