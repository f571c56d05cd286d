package cgroups

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// write is one value for one file of a cgroup.
type write struct {
	ctrl  string // "memory"; "cgroup" for cgroup v2's core files
	file  string // "memory.max"
	value string
	field string // of linux.resources: "memory.limit"
	reset string // keyed: the value that puts back a key that had no line
	alt   *write // instead, if file does not exist (bfq's weights)
	flags writeFlag
}

type writeFlag uint8

const (
	mayLack writeFlag = 1 << iota // without the file the kernel does what is asked anyway
	late                          // refused with EINVAL or EBUSY: try again after the controller's other writes
	keyed                         // the file has a line per key, the value's first word
)

// target is where a write goes: an open cgroup directory.
type target struct {
	dir int
	w   *write
}

// undo is a target with the value that it had.
type undo struct {
	target
	value string
}

// restoring is the write that puts the old value back.
func (u *undo) restoring() write {
	w := *u.w
	w.value, w.alt = u.value, nil
	return w
}

// applier carries writes out.
type applier struct {
	later []target // to be tried again
}

// apply does all writes in order. open returns the directory of a controller.
func apply(writes []write, open func(ctrl string) (int, error)) error {
	return (&applier{}).apply(writes, open)
}

func (a *applier) apply(writes []write, open func(ctrl string) (int, error)) error {
	for i := range writes {
		w := &writes[i]
		if len(a.later) > 0 && a.later[0].w.ctrl != w.ctrl {
			if err := a.again(); err != nil {
				return err
			}
		}
		dir, err := open(w.ctrl)
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
	err := writeAt(t.dir, w.file, w.value)
	switch {
	case err == nil:
		return nil
	case first && w.flags&late != 0 && (err == unix.EINVAL || err == unix.EBUSY):
		a.later = append(a.later, t)
		return nil
	case err == unix.ENOENT && w.alt != nil:
		return a.one(target{t.dir, w.alt}, first)
	case err == unix.ENOENT && w.flags&mayLack != 0:
		return nil
	}
	return &Error{Field: resources + w.field, What: fmt.Sprintf("write %q to %s", w.value, w.file), Err: err, Hint: hint(w, err) + inUse(t.dir, w, err)}
}

// readValue reads a file in the form in which it is written.
func readValue(dir int, file string) (string, error) {
	s, err := readString(dir, file)
	if file == "memory.oom_control" {
		s, _, _ = strings.Cut(strings.TrimPrefix(s, "oom_kill_disable "), "\n")
	}
	return s, err
}

// snapshot reads what the writes are going to replace.
func snapshot(writes []write, open func(ctrl string) (int, error)) ([]undo, error) {
	before := make([]undo, 0, len(writes))
	for i := range writes {
		w := &writes[i]
		dir, err := open(w.ctrl)
		if err != nil {
			return nil, err
		}
		old, err := readValue(dir, w.file)
		if err == unix.ENOENT && w.alt != nil {
			w = w.alt
			old, err = readValue(dir, w.file)
		}
		if err == nil { // what cannot be read is not there, or will be refused
			before = append(before, undo{target{dir, w}, w.inverse(old)})
		}
	}
	return before, nil
}

// rollback puts the values of a snapshot back, last first, as far as the kernel lets it. Values that
// depend on each other (limit and swap) are tried twice.
func rollback(before []undo) error {
	var errs []error
	for range 2 {
		errs = nil
		for i := len(before) - 1; i >= 0; i-- {
			u := before[i]
			for line := range strings.SplitSeq(u.value, "\n") {
				if line == "" {
					continue
				}
				if err := writeAt(u.dir, u.w.file, line); err != nil {
					errs = append(errs, fmt.Errorf("put back %q in %s: %w", line, u.w.file, err))
				}
			}
		}
		if errs == nil {
			break
		}
	}
	return errors.Join(errs...)
}

// inverse is what to write to undo w, given the file's contents before it.
func (w *write) inverse(old string) string {
	if w.flags&keyed == 0 {
		if old == "" && w.ctrl == "cpuset" {
			return " " // an empty write is no write; cpusets read a blank as "none"
		}
		return old
	}
	key, _, _ := strings.Cut(w.value, " ")
	for _, line := range strings.Split(old, "\n") {
		if k, _, _ := strings.Cut(line, " "); k == key {
			return line
		}
	}
	return key + " " + w.reset
}
