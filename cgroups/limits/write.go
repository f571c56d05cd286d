package limits

import (
	"errors"
	"fmt"
	"strings"

	"davit/cgroups/failure"
	"davit/cgroups/fs"
	"davit/internal/fault"

	"golang.org/x/sys/unix"
)

// Write is one value for one file of a cgroup.
type Write struct {
	Ctrl  string // the controller: "memory"; "cgroup" for cgroup v2's core files
	File  string // "memory.max"
	Value string
	Field string // the field of linux.resources that asks for it: "memory.limit"
	reset string // for a Keyed file: the value that undoes the write of a key that had no line before
	Alt   *Write // is written instead if File does not exist (bfq's weights), or nil
	Flags writeFlag
}

type writeFlag uint8

const (
	mayLack writeFlag = 1 << iota // a kernel without the file does what is asked anyway
	late                          // if EINVAL or EBUSY refuses it: write it again after the controller's others
	Keyed                         // the file has a line for each key, and a value begins with its key
)

// target is a write with the open cgroup directory that it goes to.
type target struct {
	dir int
	w   *Write
}

// Undo is a write that was carried out, with what to write to undo it.
type Undo struct {
	target
	value string
}

// Restoring returns the write that puts the old value back.
func (u *Undo) Restoring() Write {
	w := *u.w
	w.Value, w.Alt = u.value, nil
	return w
}

// applier carries writes out.
type applier struct {
	later []target // refused for now: to be written again
}

// Apply carries out the writes in their order. open returns the open directory of a controller. The
// error names the field, the value and the file, and has a hint; the writes before the refused one
// stay in effect.
func Apply(writes []Write, open func(ctrl string) (int, error)) error {
	return (&applier{}).apply(writes, open)
}

func (a *applier) apply(writes []Write, open func(ctrl string) (int, error)) error {
	for i := range writes {
		w := &writes[i]
		if len(a.later) > 0 && a.later[0].w.Ctrl != w.Ctrl {
			if err := a.again(); err != nil {
				return err
			}
		}
		dir, err := open(w.Ctrl)
		if err != nil {
			return err
		}
		if err := a.one(target{dir, w}, true); err != nil {
			return err
		}
	}
	return a.again()
}

func (a *applier) again() error {
	later := a.later
	a.later = nil
	for _, t := range later {
		if err := a.one(t, false); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) one(t target, first bool) error {
	w := t.w
	err := fs.WriteAt(t.dir, w.File, w.Value)
	switch {
	case err == nil:
		return nil
	case first && w.Flags&late != 0 && (err == unix.EINVAL || err == unix.EBUSY):
		a.later = append(a.later, t)
		return nil
	case err == unix.ENOENT && w.Alt != nil:
		return a.one(target{t.dir, w.Alt}, first)
	case err == unix.ENOENT && w.Flags&mayLack != 0:
		return nil
	}
	return &fault.Error{Field: failure.Resources + w.Field, Text: fmt.Sprintf("write %q to %s", w.Value, w.File), Err: err, Hint: hint(w, err) + inUse(t.dir, w, err)}
}

// readValue returns a file's contents in the form in which the file is written.
func readValue(dir int, file string) (string, error) {
	s, err := fs.ReadString(dir, file)
	if file == "memory.oom_control" {
		s = oomKillDisabled(s)
	}
	return s, err
}

// Snapshot reads the values that the writes are going to replace. open is as for [Apply].
func Snapshot(writes []Write, open func(ctrl string) (int, error)) ([]Undo, error) {
	before := make([]Undo, 0, len(writes))
	for i := range writes {
		w := &writes[i]
		dir, err := open(w.Ctrl)
		if err != nil {
			return nil, err
		}
		old, err := readValue(dir, w.File)
		if err == unix.ENOENT && w.Alt != nil {
			w = w.Alt
			old, err = readValue(dir, w.File)
		}
		if err == nil { // a file that cannot be read does not exist, or the write will be refused
			before = append(before, Undo{target{dir, w}, w.inverse(old)})
		}
	}
	return before, nil
}

// Rollback puts the values of a snapshot back, the last one first. It goes on after errors, and
// returns them all. It tries twice, since some values depend on each other (limit and swap).
func Rollback(before []Undo) error {
	var errs []error
	for range 2 {
		errs = nil
		for i := len(before) - 1; i >= 0; i-- {
			u := before[i]
			for line := range strings.SplitSeq(u.value, "\n") {
				if line == "" {
					continue
				}
				if err := fs.WriteAt(u.dir, u.w.File, line); err != nil {
					errs = append(errs, fmt.Errorf("put back %q in %s: %w", line, u.w.File, err))
				}
			}
		}
		if errs == nil {
			break
		}
	}
	return errors.Join(errs...)
}

// inverse returns what to write to undo w; old is what the file contained before it.
func (w *Write) inverse(old string) string {
	if w.Flags&Keyed == 0 {
		if old == "" && w.Ctrl == "cpuset" {
			return " " // the kernel ignores an empty write; a cpuset takes a blank as "none"
		}
		return old
	}
	key, _, _ := strings.Cut(w.Value, " ")
	for _, line := range strings.Split(old, "\n") {
		if k, _, _ := strings.Cut(line, " "); k == key {
			return line
		}
	}
	return key + " " + w.reset
}
