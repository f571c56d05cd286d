package store

import (
	"errors"
	"fmt"

	"davit/cgroups"
	"davit/internal/jsonx"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

//go:generate go run davit/build/jsongen -type State -out state_json.go

// State is what is kept of a container in ROOT/ID/davit.json. It is written
// before anything else is made, so that whatever was made can be found again.
type State struct {
	Format     int    `json:"format"` // see formatNow
	OCIVersion string `json:"ociVersion"`
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Rootfs     string `json:"rootfs"`
	Created    string `json:"created"` // RFC 3339, with nanoseconds
	// Pid is the container process as davit saw it, 0 until there is one.
	Pid int `json:"pid"`
	// Inode of its pidfd, which no other process has until the next boot (Linux 6.9). Where that is missing, or the
	// state may outlive the boot, StartTime, in clock ticks since then. Both tell the
	// process from a later one with the same pid.
	Inode     uint64 `json:"inode,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"`
	// Namespaces that the container does not share with davit, CLONE_NEW*.
	Namespaces uint64 `json:"namespaces"`
	// OwnPid: it was given a new pid namespace, which dies with the container process.
	OwnPid    bool `json:"ownPid"`
	Terminal  bool `json:"terminal,omitempty"`
	NoProcess bool `json:"noProcess,omitempty"` // config.json has no process: it can be created but not started (runtime.md "Start")
	Poststart bool `json:"poststart,omitempty"` // it has hooks of that kind
	Poststop  bool `json:"poststop,omitempty"`
	// PoststopDone is how many of them have run, if a delete had to stop before the rest.
	PoststopDone int               `json:"poststopDone,omitempty"`
	NoKeyring    bool              `json:"noKeyring,omitempty"`
	Notify       bool              `json:"notify,omitempty"` // it has a NOTIFY_SOCKET
	Annotations  map[string]string `json:"annotations,omitempty"`
	// Stdio has the names that CRIU gives to the standard streams with which the container was created.
	Stdio []string `json:"stdio,omitempty"`
	// Steps is the number of steps of its plan. If the plan is compiled again later and has another number, it is not the same plan.
	Steps int `json:"steps,omitempty"`
	// Resctrl and ResctrlMon are the paths of the directories in resctrl that belong to this container; "": none.
	Resctrl    string `json:"resctrl,omitempty"`
	ResctrlMon string `json:"resctrlMon,omitempty"`
	// SharedMounts: the container's mounts are in a namespace that is not its own,
	// and are to be removed: what covers the mount with the id RootMount at Rootfs.
	SharedMounts bool          `json:"sharedMounts,omitempty"`
	RootMount    uint64        `json:"rootMount,omitempty"`
	Cgroup       cgroups.State `json:"cgroup"`
}

const (
	stateFile  = "davit.json"
	ConfigFile = "config.json" // as it was when the container was created, with the limits of later updates; there once the cgroup is its own
)

// Write replaces the state on disk. The first version goes to a new directory,
// where there is nothing to replace.
func (s *State) Write(dir int, first bool) error {
	s.Format = formatNow
	var e jsonx.Encoder
	encodeState(&e, s)
	data := e.Bytes()
	if first {
		return WriteFile(dir, stateFile, data)
	}
	return sys.Replace(dir, stateFile+".new", stateFile, data, 0o600)
}

// readState reads the state of a container, whose id is the name of the directory. It fails with a ForeignError if
// something else has made the container.
func readState(dir int, id string) (*State, error) {
	file := stateFile
	data, err := readSmall(dir, file)
	if errors.Is(err, unix.ENOENT) {
		old, otherErr := othersState(dir)
		if otherErr != nil {
			return nil, otherErr
		}
		if old != nil {
			file, data, err = runcFile, old, nil
		}
	}
	if err != nil {
		return nil, err
	}
	var s State
	d := jsonx.NewDecoder(file, data)
	decodeState(&d, &s)
	if err = d.End(); (err != nil || s.Format != formatNow) && file == stateFile {
		var foreign *ForeignError
		if other := formatError(data); err == nil || errors.As(other, &foreign) {
			err = other
		}
	}
	if err != nil {
		return nil, err
	}
	if s.ID != id {
		return nil, fmt.Errorf("%s: id: %q, but it is in the directory of %s", file, s.ID, id)
	}
	return &s, nil
}
