package netdev

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dumpTries is how often davit asks for a list again that changes while the kernel writes it.
const dumpTries = 10

// conn is a route netlink socket (rtnetlink(7)). It belongs to the network namespace in which it
// was made.
type conn struct{ socket *nl.SocketHandle }

func dial() (*conn, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("socket NETLINK_ROUTE: %w", err)
	}
	return &conn{&nl.SocketHandle{Socket: socket}}, nil
}

func (c *conn) close() { c.socket.Close() }

// message is a request: a fixed part, then attributes.
type message struct{ *nl.NetlinkRequest }

func newMessage(kind, flags uint16, fixed []byte) message {
	m := message{nl.NewNetlinkRequest(int(kind), int(flags))}
	m.AddRawData(fixed)
	return m
}

func (m message) attr(kind uint16, value []byte) message {
	m.AddRawData(nl.NewRtAttr(int(kind), value).Serialize())
	return m
}

func (m message) text(kind uint16, value string) message {
	return m.attr(kind, nl.ZeroTerminated(value))
}

func (m message) number(kind uint16, value uint32) message { return m.attr(kind, nl.Uint32Attr(value)) }

// ask sends a message and returns the contents of the answers. A message that only asks for
// something to be done has no answers. If a list changed while the kernel wrote it, and so may be
// wrong, ask asks again.
func (c *conn) ask(m message) (answers [][]byte, err error) {
	m.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: c.socket}
	for range dumpTries {
		answers, err = m.Execute(unix.NETLINK_ROUTE, 0)
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			return answers, err
		}
	}
	return nil, err
}

// attrs calls f for each attribute of an answer. fixed is the length of what comes before them.
func attrs(body []byte, fixed int, f func(kind uint16, value []byte)) error {
	list, err := nl.ParseRouteAttr(body[min(fixed, len(body)):])
	for _, a := range list {
		f(a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), a.Value)
	}
	return err
}
