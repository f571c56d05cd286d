// Package netdev moves network devices between network namespaces (config-linux.md, "Network
// Devices").
package netdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Moved is a device that was moved to the container, with what Return needs to move it back.
type Moved struct {
	host, name string // its name on the host, and in the container
	up         bool   // it was up on the host
	addresses  []address
}

// link is a device in one namespace.
type link struct {
	index int32
	name  string
	up    bool
}

// address has what the kernel must be told to add an address again.
type address struct {
	fixed [unix.SizeofIfAddrmsg]byte
	attrs []attribute
}

type attribute struct {
	kind  uint16
	value []byte
}

// Namespace is the network namespace of a container, to which devices are moved. Its methods must
// not be called concurrently.
type Namespace struct {
	ns   int // a descriptor of the namespace
	own  int // a descriptor of davit's own namespace
	here *conn
	over *conn
}

// Open prepares moves to the namespace of the descriptor ns. Close closes that descriptor, too.
func Open(ns int) (*Namespace, error) {
	s := &Namespace{ns: ns, own: -1}
	var err error
	if s.own, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		s.own = -1
		s.Close()
		return nil, fmt.Errorf("open /proc/thread-self/ns/net: %w", err)
	}
	if s.here, err = dial(); err == nil {
		s.over, err = dialIn(ns)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes all descriptors. The devices stay where they are.
func (s *Namespace) Close() {
	unix.Close(s.ns)
	if s.own >= 0 {
		unix.Close(s.own)
	}
	for _, c := range []*conn{s.here, s.over} {
		if c != nil {
			c.close()
		}
	}
}

// dialIn makes a socket in another namespace, on a thread of its own, which then ends.
func dialIn(ns int) (*conn, error) {
	var c *conn
	err := sys.OnThread(func() (err error) {
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns to the network namespace: %w", err)
		}
		c, err = dial()
		return err
	})
	return c, err
}

// Move moves a device from davit's namespace to the container's. It renames the device unless name
// is empty or the same, adds its permanent global addresses again and brings it up. After an error
// the device is where it was. name may end with %d, which the kernel replaces by a number.
func (s *Namespace) Move(host, name string) (*Moved, error) {
	l, err := find(s.here, host)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = host
	}
	if bytes.IndexByte([]byte(name), '%') < 0 {
		if _, err := find(s.over, name); err == nil {
			return nil, fmt.Errorf("%s: %w: the container's network namespace has a device of that name", name, unix.EEXIST)
		}
	}
	m := &Moved{host: host, up: l.up}
	if m.addresses, err = addresses(s.here, l.index); err != nil {
		return nil, err
	}
	if m.name, err = transfer(s.here, s.over, l, s.ns, name); err != nil {
		return nil, err
	}
	if err = settle(s.over, m.name, m.addresses, true); err != nil {
		return nil, errors.Join(err, s.Return(m))
	}
	return m, nil
}

// Return moves a device back to davit's namespace, and gives it its old name, addresses and state.
func (s *Namespace) Return(m *Moved) error {
	l, err := find(s.over, m.name)
	if err == nil {
		_, err = transfer(s.over, s.here, l, s.own, m.host)
	}
	if err == nil {
		err = settle(s.here, m.host, m.addresses, m.up)
	}
	if err != nil {
		return fmt.Errorf("move %s back as %s: %w", m.name, m.host, err)
	}
	return nil
}

func fixedLink(index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

func readLink(body []byte) (link, error) {
	var l link
	if len(body) >= unix.SizeofIfInfomsg {
		l.index = int32(binary.NativeEndian.Uint32(body[4:]))
		l.up = binary.NativeEndian.Uint32(body[8:])&unix.IFF_UP != 0
	}
	err := attrs(body, unix.SizeofIfInfomsg, func(kind uint16, value []byte) {
		if kind == unix.IFLA_IFNAME {
			l.name = string(bytes.TrimRight(value, "\x00"))
		}
	})
	return l, err
}

func find(c *conn, name string) (link, error) {
	answers, err := c.ask(newMessage(unix.RTM_GETLINK, 0, fixedLink(0, 0, 0)).text(unix.IFLA_IFNAME, name))
	var l link
	if err == nil && len(answers) > 0 {
		l, err = readLink(answers[0])
	}
	if err != nil {
		return l, fmt.Errorf("RTM_GETLINK %s: %w", name, err)
	}
	return l, nil
}

func links(c *conn) (map[int32]string, error) {
	all := make(map[int32]string)
	answers, err := c.ask(newMessage(unix.RTM_GETLINK, unix.NLM_F_DUMP, fixedLink(0, 0, 0)))
	for _, body := range answers {
		var l link
		if err == nil {
			l, err = readLink(body)
		}
		all[l.index] = l.name
	}
	if err != nil {
		return nil, fmt.Errorf("RTM_GETLINK: %w", err)
	}
	return all, nil
}

// transfer takes a device down and moves it from one namespace to another, where it gets a name. It
// returns the name that the device got. The kernel first moves a device and then renames it, so the
// device may have moved despite an error.
func transfer(from, to *conn, l link, ns int, name string) (string, error) {
	before, err := links(to)
	if err != nil {
		return "", err
	}
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_ACK, fixedLink(l.index, 0, unix.IFF_UP))
	m = m.number(unix.IFLA_NET_NS_FD, uint32(ns)).text(unix.IFLA_IFNAME, name)
	_, moveErr := from.ask(m)
	after, err := links(to)
	if err != nil {
		return "", errors.Join(moveErr, err)
	}
	for index, got := range after {
		if _, had := before[index]; had {
			continue
		}
		if moveErr == nil {
			return got, nil
		}
		back := newMessage(unix.RTM_NEWLINK, unix.NLM_F_ACK, fixedLink(index, 0, 0)).text(unix.IFLA_IFNAME, got)
		return "", errors.Join(fmt.Errorf("RTM_NEWLINK %s: %w", name, moveErr), undoTransfer(to, back))
	}
	if moveErr != nil {
		return "", fmt.Errorf("RTM_NEWLINK %s: %w", name, moveErr)
	}
	return "", fmt.Errorf("%s is not in the network namespace that it was moved to", name)
}

// undoTransfer moves the device that the message names back to davit's own namespace.
func undoTransfer(c *conn, m message) error {
	if _, err := c.ask(m.number(unix.IFLA_NET_NS_PID, uint32(unix.Getpid()))); err != nil {
		return fmt.Errorf("RTM_NEWLINK, to move it back: %w", err)
	}
	return nil
}

// settle adds addresses to a device, and brings it up if up is true.
func settle(c *conn, name string, list []address, up bool) error {
	l, err := find(c, name)
	if err != nil {
		return err
	}
	for _, a := range list {
		binary.NativeEndian.PutUint32(a.fixed[4:], uint32(l.index))
		m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, a.fixed[:])
		for _, at := range a.attrs {
			m = m.attr(at.kind, at.value)
		}
		if _, err := c.ask(m); err != nil {
			return fmt.Errorf("RTM_NEWADDR %s: %w", name, err)
		}
	}
	if !up {
		return nil
	}
	if _, err := c.ask(newMessage(unix.RTM_NEWLINK, unix.NLM_F_ACK, fixedLink(l.index, unix.IFF_UP, unix.IFF_UP))); err != nil {
		return fmt.Errorf("RTM_NEWLINK %s, to bring it up: %w", name, err)
	}
	return nil
}

// addresses returns a device's permanent addresses of global scope.
func addresses(c *conn, index int32) ([]address, error) {
	answers, err := c.ask(newMessage(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg)))
	if err != nil {
		return nil, fmt.Errorf("RTM_GETADDR: %w", err)
	}
	var list []address
	for _, body := range answers {
		if len(body) < unix.SizeofIfAddrmsg || int32(binary.NativeEndian.Uint32(body[4:])) != index || body[3] != unix.RT_SCOPE_UNIVERSE {
			continue
		}
		a, permanent, err := readAddress(body)
		if err != nil {
			return nil, fmt.Errorf("RTM_GETADDR: %w", err)
		}
		if permanent {
			list = append(list, a)
		}
	}
	return list, nil
}

// readAddress reads an answer to RTM_GETADDR, and reports whether the address is permanent.
func readAddress(body []byte) (a address, permanent bool, err error) {
	copy(a.fixed[:], body)
	flags := uint32(body[2])
	err = attrs(body, unix.SizeofIfAddrmsg, func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_ANYCAST, unix.IFA_RT_PRIORITY:
			a.attrs = append(a.attrs, attribute{kind, bytes.Clone(value)})
		case unix.IFA_FLAGS:
			flags = binary.NativeEndian.Uint32(value)
		}
	})
	const keep = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN
	a.fixed[2] = 0
	a.attrs = append(a.attrs, attribute{unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, flags&keep)})
	return a, flags&unix.IFA_F_PERMANENT != 0, err
}
