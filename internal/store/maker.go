package store

import (
	"errors"
	"fmt"

	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Engines give every runtime the same directory of states: after a change of runtimes, containers of several lie side by
// side there. Each runtime has files of its own in a container's directory. davit touches a container that
// another one has made only if Store.TakeOver can read it.

const (
	// formatNow is the number of davit.json's format. A reader refuses a number that it does not know.
	formatNow = 1
	// runcFile is runc's state, and youki's. Before formats had numbers, davit's had that name, too: format 0.
	runcFile = "state.json"
	crunFile = "status"
	// The runtimes whose containers davit can take over.
	makerRunc = "runc"
	makerCrun = "crun"
	// runcGuard is a link in place of runc's state: the path that it names cannot be. `runc delete` says so and ends.
	// Without the file it would take the directory for what a failed runc has left, and remove it while the
	// container runs.
	runcGuard = stateFile + "/container does not exist for runc, davit made it"
)

// ForeignError is returned for a container that davit does not touch, because another runtime or a newer davit has made it.
type ForeignError struct {
	Maker string
	// Reason says why davit cannot take over this container, although it can take over others of that maker.
	Reason error
}

func (e *ForeignError) Error() string {
	if e.Reason != nil {
		return fmt.Sprintf("made by %s, and davit cannot take it over: %v: use %s", e.Maker, e.Reason, e.Maker)
	}
	return fmt.Sprintf("made by %s: use %s", e.Maker, e.Maker)
}

// Taken is what davit knows besides State of a container that another runtime made, and that davit has taken over. Package
// foreign knows the forms of these runtimes.
type Taken interface {
	Maker() string              // the runtime's name
	Waits() bool                // it was created and not started yet
	Start(pidfd int) error      // starts it; the process is that of pidfd
	Spec() (*specs.Spec, error) // see Entry.Spec
	Poststop() []specs.Hook     // the hooks that delete runs
	Unmount() error             // removes the mounts below the state directory
	// Limits returns the text of LimitsFile with the limits now in place of old.
	Limits(old, now *specs.LinuxResources) ([]byte, error)
	LimitsFile() string // the name of the file that keeps the limits
}

// foreign returns a ForeignError if something else has made the container, else nil.
func (s Store) foreign(id string) error {
	c, err := s.Open(id)
	if err == nil {
		c.Close()
	}
	var foreign *ForeignError
	if errors.As(err, &foreign) {
		return err
	}
	return nil
}

// Guard makes the link that keeps runc away from a container's directory. Errors are ignored.
func (s Store) Guard(dir int) {
	if err := unix.Symlinkat(runcGuard, dir, runcFile); err != nil {
		s.Log.Debugf("symlink %s: %v", runcFile, err)
	}
}

// othersState returns the state of format 0, or nil if there is none; or the error that tells who else has made the container.
func othersState(dir int) ([]byte, error) {
	data, err := readSmall(dir, runcFile)
	switch {
	case err == nil:
		if maker := makerOf(data); maker != "" {
			return nil, &ForeignError{Maker: maker}
		}
		return data, nil
	case IsTransient(err):
		return nil, err
	case !errors.Is(err, unix.ENOENT) && !isGuard(dir): // no file that davit reads, but one of runc's name
		return nil, &ForeignError{Maker: makerRunc, Reason: err}
	}
	if _, err := readSmall(dir, crunFile); err == nil {
		return nil, &ForeignError{Maker: makerCrun}
	} else if IsTransient(err) {
		return nil, err
	} else if !errors.Is(err, unix.ENOENT) {
		return nil, &ForeignError{Maker: makerCrun, Reason: err}
	}
	return nil, nil
}

// isGuard reports whether the directory has the link that Guard makes.
func isGuard(dir int) bool {
	var buf [len(runcGuard) + 1]byte
	n, err := unix.Readlinkat(dir, runcFile, buf[:])
	return err == nil && string(buf[:n]) == runcGuard
}

// makerOf tells by the properties of a state.json which runtime has written it, "" for davit.
func makerOf(data []byte) (maker string) {
	maker = "another runtime"
	d := jsonx.NewDecoder(runcFile, data)
	if !d.Object() {
		return maker
	}
	for d.Next() {
		switch d.Key() {
		case "init_process_pid":
			maker = makerRunc
		case "creator", "cgroup_config":
			maker = "youki"
		case "ownPid":
			maker = ""
		}
		d.Skip()
	}
	return maker
}

// formatOf returns the format that a davit.json says it has, 0 if it says none.
func formatOf(data []byte) (format int64) {
	d := jsonx.NewDecoder(stateFile, data)
	if !d.Object() {
		return 0
	}
	for d.Next() {
		if d.Key() == "format" {
			format = d.Int(64)
		} else {
			d.Skip()
		}
	}
	return format
}

// formatError is an error for a davit.json of another format, nil for one of this. A greater number is that of a newer davit.
func formatError(data []byte) error {
	switch format := formatOf(data); {
	case format > formatNow:
		return fmt.Errorf("%s: format %d, but this davit knows 0 to %d: %w", stateFile, format, formatNow, &ForeignError{Maker: "a newer davit"})
	case format < formatNow:
		return fmt.Errorf("%s: format: %d, where it is %d", stateFile, format, formatNow)
	}
	return nil
}

// IsTransient reports whether a file may be readable at another try. If so, the error says nothing about what is there.
func IsTransient(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return false // what was found is no file of davit's
	}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENXIO, unix.ENODEV: // nothing; a link; a socket or a device
		return false
	}
	return true
}
