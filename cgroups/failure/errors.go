package failure

import (
	"errors"
	"fmt"

	"davit/internal/config"
)

// Error is a field of config.json that cannot be honoured, or was refused by the kernel.
type Error struct {
	Field string // "linux.resources.memory.limit"; empty within another Error
	What  string // what failed, with the value: `write "4096" to memory.max`
	Err   error  // the kernel's answer; nil if davit refused
	Hint  string // the cure, or empty
}

func (e *Error) Error() string {
	s := e.What
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errors are several fields that cannot be honoured, each with its hint.
type Errors []*Error

func (list Errors) Error() string { return config.Lines(list, (*Error).hint).Error() }

// Lines are those of Error.
func (list Errors) Lines() []string { return config.Lines(list, (*Error).hint) }

func (e *Error) hint() string { return e.Hint }

// together makes an error of a list, nil of none.
func Together(list []*Error) error {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return Errors(list)
}

// each calls f for the fields that err is about.
func Each(err error, f func(*Error)) {
	switch err := err.(type) {
	case *Error:
		f(err)
	case Errors:
		for _, e := range err {
			f(e)
		}
	}
}

// Hint is the hint of err, or of what it wraps.
func Hint(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

const Resources = "linux.resources."

// refuse is a value that davit itself does not accept.
func Refuse(field, hint, format string, args ...any) *Error {
	return &Error{Field: Resources + field, What: fmt.Sprintf(format, args...), Hint: hint}
}
