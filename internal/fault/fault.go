// Package fault has davit's one form of an error that people read, and of a warning.
package fault

import (
	"errors"
	"fmt"
)

// Error says what failed, on which value, why, and what cures it. Each part may be empty. A warning has the same form.
//
// Its text is
//
//	FIELD (VALUE): TEXT: CALL SUBJECT: ERR
//
// without the parts that are empty. The hint is no part of the text: whoever prints the error prints the hint on a line of its
// own (see [Hint]).
type Error struct {
	Field   string // of config.json: `mounts[3].destination`, `linux.sysctl["net.ipv4.ip_forward"]`
	Value   string // what the field is about, in a few words: "/data, tmpfs"
	Text    string // what is wrong, in words
	Call    string // the system call that failed
	Subject string // what it was called for: a path
	Err     error  // why: the call's errno, or the error that this one wraps
	Hint    string // what cures it
}

func (e *Error) Error() string {
	s := e.Field
	add := func(separator, part string) {
		if part != "" && s != "" {
			s += separator
		}
		s += part
	}
	if e.Value != "" {
		add(" ", "("+e.Value+")")
	}
	add(": ", e.Text)
	add(": ", e.Call)
	if e.Subject != "" {
		add(" ", e.Subject)
	}
	if e.Err != nil {
		add(": ", e.Err.Error())
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// At returns an error of a field of config.json. The text is made as by fmt.Sprintf.
func At(field, format string, args ...any) *Error {
	return &Error{Field: field, Text: fmt.Sprintf(format, args...)}
}

// WithHint returns err with a cure. An empty hint adds nothing.
func WithHint(err error, hint string) error {
	if hint == "" {
		return err
	}
	return &Error{Err: err, Hint: hint}
}

// Hint returns the cure of an error: the outermost of those that it and the errors that it wraps have, "" without one.
func Hint(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
