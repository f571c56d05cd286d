// Package fault has davit's one form of an error that people read, and of a warning.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Error says what failed, on which value, why, and how to cure it. Each part may be empty. A
// warning has the same form.
//
// Its text is
//
//	FIELD (VALUE): TEXT: ERR
//
// without the parts that are empty. If TEXT is empty, CALL SUBJECT stands in its place. The hint is
// not part of the text: a caller that prints the error prints the hint on a line of its own (see
// [Hint]).
type Error struct {
	Field   string // the field of config.json: `mounts[3].destination`, `linux.sysctl["net.ipv4.ip_forward"]`
	Value   string // what the field describes, in a few words: "/data, tmpfs"
	Text    string // what is wrong, in words; without it, Call and Subject say what failed
	Call    string // the system call that failed
	Subject string // what the call worked on: a path
	Err     error  // why: the call's errno, or the error that this one wraps
	Hint    string // how to cure it
}

func (e *Error) Error() string { return e.text(e.Field) }

// Message returns the text without the field.
func (e *Error) Message() string { return e.text("") }

func (e *Error) text(field string) string {
	s := field
	add := func(part string) {
		if part != "" && s != "" {
			s += ": "
		}
		s += part
	}
	switch {
	case e.Value != "" && field != "":
		s += " (" + e.Value + ")"
	case e.Value != "":
		s = e.Value
	}
	switch {
	case e.Text != "":
		add(e.Text)
	case e.Subject != "":
		add(e.Call + " " + e.Subject)
	default:
		add(e.Call)
	}
	if e.Err != nil {
		add(e.Err.Error())
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// At returns an error of a field of config.json. The text is made as by fmt.Sprintf.
func At(field, format string, args ...any) *Error {
	return &Error{Field: field, Text: fmt.Sprintf(format, args...)}
}

// In returns an error that names the field which err is about; nil if err is nil.
func In(field string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Field: field, Err: err}
}

// WithHint returns err with a cure. An empty hint adds nothing.
func WithHint(err error, hint string) error {
	if hint == "" {
		return err
	}
	if e, is := err.(*Error); is {
		with := *e
		with.Hint = hint
		return &with
	}
	return &Error{Err: err, Hint: hint}
}

// Hint returns the hint of an error: the outermost one of the error and the errors that it wraps,
// "" if there is none.
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

// Of splits err into the field that it begins with, the rest of its text, and its hint.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.Field != "" {
		switch rest, is := strings.CutPrefix(err.Error(), e.Error()); {
		case is && rest == "":
			whole := *e
			whole.Hint = Hint(err)
			return &whole
		case is:
			return &Error{Field: e.Field, Text: e.Message() + rest, Hint: Hint(err)}
		}
	}
	return &Error{Text: err.Error(), Hint: Hint(err)}
}

// List is several errors that were found together.
type List []*Error

// Join returns the errors of a list as one error: nil for an empty list, and a single error
// unchanged.
func Join(list []*Error) error {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return List(list)
}

// Each calls f for each error of a List, or for err if that is an Error. It does nothing for other
// errors.
func Each(err error, f func(*Error)) {
	switch err := err.(type) {
	case *Error:
		f(err)
	case List:
		for _, e := range err {
			f(e)
		}
	}
}

// All returns each error that err contains, split as by [Of].
func All(err error) []*Error {
	var list List
	if errors.As(err, &list) {
		return list
	}
	return []*Error{Of(err)}
}

func (l List) Error() string { return strings.Join(l.Lines(), "\n") }

// Lines returns a line for each error, and below it its hint if it has one.
func (l List) Lines() []string {
	lines := make([]string, 0, 2*len(l))
	for _, e := range l {
		lines = append(lines, e.Error())
		if hint := Hint(e); hint != "" {
			lines = append(lines, "  hint: "+hint)
		}
	}
	return lines
}
