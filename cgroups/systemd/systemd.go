// Package systemd asks systemd's manager for scopes: it starts, changes and stops them.
//
// It speaks D-Bus itself, over raw sockets: linking godbus costs every start of a program 0.2 ms and
// 20 page faults or more, whether it is used or not, and most nodes of clusters use systemd's driver for each container.
// The manager's private socket is tried first, as by systemctl: it works without a bus daemon, and saves a hop.
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
	destination string // on a bus; "" on the private socket
	version     int
	subscribed  bool
}

const (
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
	service      = "org.freedesktop.systemd1"
)

// Running says whether systemd is the init system (sd_booted(3)).
func Running() bool { return unix.Access("/run/systemd/system", unix.F_OK) == nil }

// Dial connects to the system's manager, or to the calling user's.
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

// busPath is the path of the first socket of a bus address, "unix:path=/run/user/1000/bus,guid=…".
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

// Close closes the connection.
func (c *Conn) Close() {
	if c != nil {
		c.close()
	}
}

func (c *Conn) manager(member, signature string, body *encoder) (*message, error) {
	return c.call(c.destination, managerPath, managerIface, member, signature, body)
}

// subscribe makes the manager send signals; on a private socket it does anyway.
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

// StartTransientUnit makes and starts a unit, and returns when its job is done. The remains of a unit of
// that name that failed are cleared away; a living one is an error.
func (c *Conn) StartTransientUnit(name string, properties []Property) error {
	body := &encoder{}
	body.string(name)
	body.string("replace")
	body.properties(properties)
	body.array(8, func() {}) // no auxiliary units
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

// StopUnit stops a unit and returns when its job is done. A unit that is not there is fine.
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

// ResetFailedUnit lets the manager forget that a unit failed, and then the unit.
func (c *Conn) ResetFailedUnit(name string) error {
	body := &encoder{}
	body.string(name)
	_, err := c.manager("ResetFailedUnit", "s", body)
	return err
}

// SetUnitProperties changes a unit until it stops.
func (c *Conn) SetUnitProperties(name string, properties []Property) error {
	body := &encoder{}
	body.string(name)
	body.value(true, 4) // runtime
	body.properties(properties)
	_, err := c.manager("SetUnitProperties", "sba(sv)", body)
	return err
}

// AttachProcess moves a process to a unit's cgroup, or to sub below it: for users who may not do it
// themselves.
func (c *Conn) AttachProcess(name, sub string, pid int) error {
	body := &encoder{}
	body.string(name)
	body.string(sub)
	body.value([]uint32{uint32(pid)}, 4)
	_, err := c.manager("AttachProcessesToUnit", "ssau", body)
	return err
}

// ManagerProperty is a string that the manager knows: Version, ControlGroup.
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

// Version is systemd's: 252.
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

// parseVersion reads "252", "v245.4-1.fc32", "252.38-1~deb12u1".
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

// job calls a method that answers with a job, and waits for the signal that the job is over.
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
		d.uint32() // its number
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

// jobResult says what a job's result means (org.freedesktop.systemd1(5), JobRemoved).
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
