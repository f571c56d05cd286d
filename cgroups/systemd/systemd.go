// Package systemd starts, changes and stops scopes through systemd's manager, and tells it of a
// container's limits.
//
// It speaks D-Bus itself, over raw sockets: a linked godbus would cost each start of davit 9 page
// faults or more, whether it is used or not (docs/design.md). Like systemctl it first tries the
// manager's private socket, which needs no bus daemon and saves a hop.
package systemd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connection to systemd's manager.
type Conn struct {
	*wire
	destination string // the manager's name on a bus; "" on the private socket
	version     int
	subscribed  bool
}

const (
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
	service      = "org.freedesktop.systemd1"
)

// Running reports whether systemd is the init system, as sd_booted(3) does.
func Running() bool { return unix.Access("/run/systemd/system", unix.F_OK) == nil }

// Dial connects to the system's manager, or to that of the calling user. The caller closes the
// connection.
func Dial(user bool) (*Conn, error) {
	private, bus := "/run/systemd/private", busPath(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "/run/dbus/system_bus_socket")
	if user {
		run := os.Getenv("XDG_RUNTIME_DIR")
		if run == "" {
			run = "/run/user/" + strconv.Itoa(unix.Geteuid())
		}
		private, bus = run+"/systemd/private", busPath(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), run+"/bus")
	}
	w, direct := dial(private)
	if direct == nil {
		return &Conn{wire: w}, nil
	}
	w, err := dial(bus)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", direct, err)
	}
	c := &Conn{wire: w, destination: service}
	const daemon = "org.freedesktop.DBus"
	if _, err := w.call(daemon, "/org/freedesktop/DBus", daemon, "Hello", "", nil); err != nil {
		w.close()
		return nil, fmt.Errorf("bus %s: %w", bus, err)
	}
	match := &encoder{}
	match.string("type='signal',interface='" + managerIface + "',member='JobRemoved',path='" + managerPath + "'")
	if _, err := w.call(daemon, "/org/freedesktop/DBus", daemon, "AddMatch", "s", match); err != nil {
		w.close()
		return nil, fmt.Errorf("bus %s: %w", bus, err)
	}
	return c, nil
}

// busPath returns the path of the first socket in a bus address such as
// "unix:path=/run/user/1000/bus,guid=…", or other if the address has none.
func busPath(address, other string) string {
	for a := range strings.SplitSeq(address, ";") {
		if rest, ok := strings.CutPrefix(a, "unix:"); ok {
			for kv := range strings.SplitSeq(rest, ",") {
				if p, ok := strings.CutPrefix(kv, "path="); ok {
					return p
				}
			}
		}
	}
	return other
}

// Close closes the connection. It may be called on nil.
func (c *Conn) Close() {
	if c != nil {
		c.close()
	}
}

// manager calls a method of the manager.
func (c *Conn) manager(member, signature string, body *encoder) (*message, error) {
	return c.call(c.destination, managerPath, managerIface, member, signature, body)
}

// subscribe asks the manager to send signals. On the private socket it always does.
func (c *Conn) subscribe() error {
	if c.subscribed || c.destination == "" {
		return nil
	}
	_, err := c.manager("Subscribe", "", nil)
	if is(err, service+".AlreadySubscribed") {
		err = nil
	}
	c.subscribed = err == nil
	return err
}

// StartTransientUnit makes and starts a unit, and returns when its job is done. It first clears
// away a failed unit of that name. If the name belongs to another unit, the error is an *Error with
// the name "org.freedesktop.systemd1.UnitExists".
func (c *Conn) StartTransientUnit(name string, properties []Property) error {
	body := &encoder{}
	body.string(name)
	body.string("replace")
	body.properties(properties)
	body.array(8, func() {}) // no auxiliary units are to be made
	err := c.job("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
	if is(err, service+".UnitExists") {
		if c.ResetFailedUnit(name) == nil {
			err = c.job("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
		}
	}
	if err != nil && !is(err, service+".UnitExists") {
		_ = c.ResetFailedUnit(name)
	}
	return err
}

// StopUnit stops a unit and returns when its job is done. A unit that does not exist is no error.
func (c *Conn) StopUnit(name string) error {
	body := &encoder{}
	body.string(name)
	body.string("replace")
	err := c.job("StopUnit", "ss", body)
	if is(err, service+".NoSuchUnit") {
		return nil
	}
	_ = c.ResetFailedUnit(name)
	return err
}

// ResetFailedUnit makes the manager forget that a unit failed, so that it unloads the unit.
func (c *Conn) ResetFailedUnit(name string) error {
	body := &encoder{}
	body.string(name)
	_, err := c.manager("ResetFailedUnit", "s", body)
	return err
}

// SetUnitProperties changes properties of a unit until it stops.
func (c *Conn) SetUnitProperties(name string, properties []Property) error {
	body := &encoder{}
	body.string(name)
	body.value(true, 4) // only for the time that the unit runs
	body.properties(properties)
	_, err := c.manager("SetUnitProperties", "sba(sv)", body)
	return err
}

// AttachProcess moves a process to the cgroup of a unit, or to the cgroup sub below it ("" or
// "/name"). It is for users who may not write to cgroup.procs themselves.
func (c *Conn) AttachProcess(name, sub string, pid int) error {
	body := &encoder{}
	body.string(name)
	body.string(sub)
	body.value([]uint32{uint32(pid)}, 4)
	_, err := c.manager("AttachProcessesToUnit", "ssau", body)
	return err
}

// ManagerProperty returns a property of the manager that is a string: Version, ControlGroup.
func (c *Conn) ManagerProperty(name string) (string, error) {
	body := &encoder{}
	body.string(managerIface)
	body.string(name)
	m, err := c.call(c.destination, managerPath, "org.freedesktop.DBus.Properties", "Get", "ss", body)
	if err != nil {
		return "", err
	}
	d := decoder{b: m.body, order: m.order}
	if d.signature() != "s" {
		return "", errMalformed
	}
	s := d.text()
	if d.failed {
		return "", errMalformed
	}
	return s, nil
}

// Version returns systemd's version: 252. It asks once for each connection.
func (c *Conn) Version() (int, error) {
	if c.version != 0 {
		return c.version, nil
	}
	s, err := c.ManagerProperty("Version")
	if err != nil {
		return 0, err
	}
	c.version, err = parseVersion(s)
	return c.version, err
}

// parseVersion reads versions like "252", "v245.4-1.fc32" and "252.38-1~deb12u1".
func parseVersion(s string) (int, error) {
	digits := strings.TrimLeft(s, `"v`)
	for i, c := range digits {
		if c < '0' || c > '9' {
			digits = digits[:i]
			break
		}
	}
	v, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("systemd's version %q has no number", s)
	}
	return v, nil
}

// job calls a method that answers with a job, and waits for the signal that the job has ended.
func (c *Conn) job(member, signature string, body *encoder) error {
	if err := c.subscribe(); err != nil {
		return err
	}
	m, err := c.manager(member, signature, body)
	if err != nil {
		return err
	}
	d := decoder{b: m.body, order: m.order}
	job := d.text()
	if d.failed {
		return errMalformed
	}
	deadline := time.Now().Add(Timeout)
	for {
		m, err := c.signal(deadline)
		if err != nil {
			return fmt.Errorf("wait for the job of %s: %w", member, err)
		}
		if m.member != "JobRemoved" {
			continue
		}
		d := decoder{b: m.body, order: m.order}
		d.uint32() // the job's number
		path, unit, result := d.text(), d.text(), d.text()
		if d.failed {
			return errMalformed
		}
		if path != job {
			continue
		}
		if result != "done" {
			return errors.New(jobResult(unit, result))
		}
		return nil
	}
}

// jobResult explains a job's result (org.freedesktop.systemd1(5), "JobRemoved").
func jobResult(unit, result string) string {
	why := map[string]string{
		"canceled":   "another job took its place",
		"timeout":    "it took too long",
		"failed":     "see journalctl -u " + unit,
		"dependency": "a unit that it depends on failed",
		"skipped":    "it does not apply to the unit's state",
	}[result]
	return fmt.Sprintf("the job for %s ended as %q: %s", unit, result, why)
}
