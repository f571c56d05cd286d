package netdev

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

var order = binary.NativeEndian

// conn is a route netlink socket (rtnetlink(7)). It stays in the network
// namespace that it was made in.
type conn struct{ fd int }

func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("socket NETLINK_ROUTE: %w", err)
	}
	return &conn{fd}, nil
}

func (c *conn) close() { unix.Close(c.fd) }

// message is a netlink message being written: header, fixed part, attributes.
type message []byte

func newMessage(kind, flags uint16, fixed []byte) message {
	m := make(message, unix.SizeofNlMsghdr, 256)
	order.PutUint16(m[4:], kind)
	order.PutUint16(m[6:], unix.NLM_F_REQUEST|flags)
	return append(m, fixed...)
}

func (m message) attr(kind uint16, value []byte) message {
	var head [unix.SizeofNlAttr]byte
	order.PutUint16(head[:], uint16(len(head)+len(value)))
	order.PutUint16(head[2:], kind)
	m = append(append(m, head[:]...), value...)
	return append(m, make([]byte, align(len(value))-len(value))...)
}

func (m message) text(kind uint16, value string) message {
	return m.attr(kind, append([]byte(value), 0))
}

func (m message) number(kind uint16, value uint32) message {
	return m.attr(kind, order.AppendUint32(nil, value))
}

func align(n int) int { return (n + 3) &^ 3 }

// ask sends a message and passes the answers' contents to each, until there
// are no more. Of a message that only wants to be done, the answer is an error or none.
func (c *conn) ask(m message, each func(kind uint16, body []byte)) error {
	order.PutUint32(m, uint32(len(m)))
	if err := unix.Sendto(c.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to rtnetlink: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("receive from rtnetlink: %w", err)
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			size := int(order.Uint32(rest))
			if size < unix.SizeofNlMsghdr || size > len(rest) {
				return fmt.Errorf("receive from rtnetlink: a message of %d bytes in %d", size, len(rest))
			}
			kind, body := order.Uint16(rest[4:]), rest[unix.SizeofNlMsghdr:size]
			switch kind {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if errno := -int32(order.Uint32(body)); errno != 0 {
					return unix.Errno(errno)
				}
				return nil
			}
			if each != nil {
				each(kind, body)
			}
			rest = rest[min(align(size), len(rest)):]
		}
	}
}

// attrs calls f for each attribute of a message's body after its fixed part.
func attrs(body []byte, fixed int, f func(kind uint16, value []byte)) {
	for body = body[min(fixed, len(body)):]; len(body) >= unix.SizeofNlAttr; {
		size := int(order.Uint16(body))
		if size < unix.SizeofNlAttr || size > len(body) {
			return
		}
		f(order.Uint16(body[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), body[unix.SizeofNlAttr:size])
		body = body[min(align(size), len(body)):]
	}
}
