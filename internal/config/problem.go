package config

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"davit/internal/fault"
	"davit/internal/jsonx"
)

// checker collects problems. A check names fields relative to the object that it looks at. Its
// caller puts the object's name in front of them (in, at, key), which costs nothing as long as
// there are no problems.
type checker struct {
	Options
	problems []*fault.Error // what makes the config unusable
	warnings []*fault.Error // what its author should know
}

// mark is the number of problems and warnings that a checker had found at some moment.
type mark struct{ problems, warnings int }

func (c *checker) mark() mark { return mark{len(c.problems), len(c.warnings)} }

// problem adds a problem. The message is made as by fmt.Sprintf.
func (c *checker) problem(field, format string, args ...any) {
	c.problems = append(c.problems, fault.At(field, format, args...))
}

// warn adds a warning.
func (c *checker) warn(field, format string, args ...any) {
	c.warnings = append(c.warnings, fault.At(field, format, args...))
}

// hint adds a cure to the last problem.
func (c *checker) hint(format string, args ...any) {
	c.problems[len(c.problems)-1].Hint = fmt.Sprintf(format, args...)
}

// in puts the name of an object in front of the fields of everything found since m.
func (c *checker) in(name string, m mark) {
	for _, list := range [][]*fault.Error{c.problems[m.problems:], c.warnings[m.warnings:]} {
		for i := range list {
			f := &list[i].Field
			switch {
			case *f == "":
				*f = name
			case (*f)[0] == '[':
				*f = name + *f
			default:
				*f = name + "." + *f
			}
		}
	}
}

// at is in for an element of an array.
func (c *checker) at(name string, index int, m mark) {
	if c.mark() != m {
		c.in(name+"["+strconv.Itoa(index)+"]", m)
	}
}

// key is in for an entry of a map.
func (c *checker) key(name, key string, m mark) {
	if c.mark() != m {
		c.in(jsonx.JoinKey(name, key), m)
	}
}

// element names an element of an array.
func element(name string, index int) string { return name + "[" + strconv.Itoa(index) + "]" }

// choice checks that a value is one of the known ones. what names it in the message: "namespace
// type".
func (c *checker) choice(field, what, value string, known []string) bool {
	for _, k := range known {
		if k == value {
			return true
		}
	}
	if value == "" {
		c.problem(field, "is missing: the %s must be one of %s", what, strings.Join(known, ", "))
	} else {
		c.problem(field, "unknown %s %q: must be one of %s", what, value, strings.Join(known, ", "))
	}
	return false
}

// text checks that a string has no NUL byte, with which the kernel would end it.
func (c *checker) text(field, value string) {
	if i := strings.IndexByte(value, 0); i >= 0 {
		c.problem(field, "%q contains a NUL byte, where the kernel would end it", value)
	}
}

// absolute checks that a path is set and absolute.
func (c *checker) absolute(field, value string) {
	switch {
	case value == "":
		c.problem(field, "is missing: an absolute path is needed")
	case !path.IsAbs(value):
		c.problem(field, "%q is not an absolute path", value)
	default:
		c.text(field, value)
	}
}
