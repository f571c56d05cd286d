package cli

import (
	"fmt"
	"strconv"
	"time"
)

// Flag is one of the flag types below. A flag is parsed once. Before that its Value is the default,
// afterwards the given value.
type Flag interface {
	names() []string
	isSet() bool
	assign(value string) error
	describe() description
}

type description struct {
	Usage, placeholder, value string
	Hidden                    bool
}

func names(name string, aliases []string) []string { return append([]string{name}, aliases...) }

// StringFlag accepts a text.
type StringFlag struct {
	Name, Usage, Value string
	Aliases            []string
	Hidden, set        bool
}

func (f *StringFlag) names() []string { return names(f.Name, f.Aliases) }
func (f *StringFlag) isSet() bool     { return f.set }
func (f *StringFlag) describe() description {
	return description{f.Usage, "value", f.Value, f.Hidden}
}
func (f *StringFlag) assign(v string) error {
	f.Value, f.set = v, true
	return nil
}

// BoolFlag is given or not; it also accepts =true and =false.
type BoolFlag struct {
	Name, Usage        string
	Aliases            []string
	Value, Hidden, set bool
}

func (f *BoolFlag) names() []string       { return names(f.Name, f.Aliases) }
func (f *BoolFlag) isSet() bool           { return f.set }
func (f *BoolFlag) describe() description { return description{Usage: f.Usage, Hidden: f.Hidden} }
func (f *BoolFlag) assign(v string) (err error) {
	if f.Value, err = strconv.ParseBool(v); err != nil {
		return fmt.Errorf("%q: true or false", v)
	}
	f.set = true
	return nil
}

// IntFlag accepts an integer.
type IntFlag struct {
	Name, Usage string
	Aliases     []string
	Value       int
	Hidden, set bool
}

func (f *IntFlag) names() []string { return names(f.Name, f.Aliases) }
func (f *IntFlag) isSet() bool     { return f.set }
func (f *IntFlag) describe() description {
	return description{f.Usage, "N", nonzero(int64(f.Value)), f.Hidden}
}
func (f *IntFlag) assign(v string) error {
	n, err := parseInt(v, 0)
	f.Value, f.set = int(n), true
	return err
}

// DurationFlag accepts a time such as 1s, 500ms or 1m30s.
type DurationFlag struct {
	Name, Usage string
	Aliases     []string
	Value       time.Duration
	Hidden, set bool
}

func (f *DurationFlag) names() []string { return names(f.Name, f.Aliases) }
func (f *DurationFlag) isSet() bool     { return f.set }
func (f *DurationFlag) describe() description {
	return description{f.Usage, "time", f.Value.String(), f.Hidden}
}
func (f *DurationFlag) assign(v string) (err error) {
	if f.Value, err = time.ParseDuration(v); err != nil {
		return fmt.Errorf("%q is not a time such as 1s or 500ms", v)
	}
	f.set = true
	return nil
}

// StringSliceFlag may be given several times.
type StringSliceFlag struct {
	Name, Usage string
	Aliases     []string
	Value       []string
	Hidden      bool
}

func (f *StringSliceFlag) names() []string       { return names(f.Name, f.Aliases) }
func (f *StringSliceFlag) isSet() bool           { return len(f.Value) > 0 }
func (f *StringSliceFlag) describe() description { return description{f.Usage, "value", "", f.Hidden} }
func (f *StringSliceFlag) assign(v string) error {
	f.Value = append(f.Value, v)
	return nil
}

// Int64SliceFlag may be given several times.
type Int64SliceFlag struct {
	Name, Usage string
	Aliases     []string
	Value       []int64
	Hidden      bool
}

func (f *Int64SliceFlag) names() []string       { return names(f.Name, f.Aliases) }
func (f *Int64SliceFlag) isSet() bool           { return len(f.Value) > 0 }
func (f *Int64SliceFlag) describe() description { return description{f.Usage, "N", "", f.Hidden} }
func (f *Int64SliceFlag) assign(v string) error {
	n, err := parseInt(v, 64)
	if err == nil {
		f.Value = append(f.Value, n)
	}
	return err
}

func nonzero(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
