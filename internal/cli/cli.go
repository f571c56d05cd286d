// Package cli parses davit's command line: global flags, a verb, its flags, its arguments. It has
// the part of urfave/cli/v2's API that davit uses, with the same meaning (a test compares the two).
// davit does not link that library because it would cost every start 0.25 ms and 60 page faults,
// more than a quarter of `davit state`.
//
// Flags come before the arguments or between them, as with runc (urfave/cli/v1, unlike v2). They
// end at --, or at the first argument if a verb's arguments belong to another program. A flag is
// -name or --name. Its value is the next word, or is joined with =.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// App is a program with verbs.
type App struct {
	Name, Usage, UsageText string
	Introduction, Footer   string // parts of the help: what the program is for, and where to learn more
	Flags                  []Flag
	Verbs                  []Verb
	// Words maps commands of other programs, which people type out of habit, to what they
	// should type here.
	Words map[string]string
	// Before runs after the global flags have been parsed.
	Before func(*Context) error
	// Version returns the text that --version prints.
	Version func() string
	Writer  io.Writer // gets help and version; nil is standard output
}

// Verb names a command. New makes it when it is called.
type Verb struct {
	Name  string
	New   func() *Command
	Group string // a heading in the help before the first verb of the group
}

// Command describes what a verb does.
type Command struct {
	Name        string
	Usage       string // one line
	ArgsUsage   string // the arguments' names, or "" if it takes none
	Description string // more lines: examples
	Flags       []Flag
	Hidden      bool
	// FlagsFirst stops flag parsing at the first argument; the rest belongs to another program.
	FlagsFirst bool
	Action     func(*Context) error
}

// Context has what a command line said.
type Context struct {
	App     *App
	Command *Command
	args    Args
	flags   []Flag
	parent  *Context // the global flags
}

// Args are the arguments after the flags.
type Args []string

// First returns the first argument, or "".
func (a Args) First() string { return a.Get(0) }

// Get returns the nth argument, or "".
func (a Args) Get(n int) string {
	if n < len(a) {
		return a[n]
	}
	return ""
}

// Tail returns all arguments except the first.
func (a Args) Tail() []string { return a[min(1, len(a)):] }

// Slice returns all arguments.
func (a Args) Slice() []string { return a }

// Args returns the arguments.
func (c *Context) Args() Args { return c.args }

// NArg returns how many arguments there are.
func (c *Context) NArg() int { return len(c.args) }

// errHelp ends the parsing if the command line asks for help.
var errHelp = errors.New("help")

// Run parses a command line and carries it out.
func (a *App) Run(line []string) error {
	global := &Context{App: a, flags: a.Flags}
	rest, err := parse(a.Flags, nil, line[1:], true)
	switch {
	case err == errHelp:
		a.help()
		return nil
	case err != nil:
		return UsageError(err)
	case wantsVersion(a.Flags):
		fmt.Fprint(a.out(), a.Version())
		return nil
	}
	if a.Before != nil {
		if err := a.Before(global); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		a.help() // as runc does, with exit status 0
		return nil
	}
	if rest[0] == "help" {
		return a.helpOn(rest[1:])
	}
	c, err := a.command(rest[0])
	if err != nil {
		return err
	}
	return c.run(global, rest[1:])
}

// command makes the command with that name.
func (a *App) command(name string) (*Command, error) {
	for _, v := range a.Verbs {
		if v.Name == name {
			return v.New(), nil
		}
	}
	names := make([]string, len(a.Verbs))
	for i, v := range a.Verbs {
		names[i] = v.Name
	}
	if here := a.Words[name]; here != "" {
		return nil, UsageError(fmt.Errorf("unknown command %q: here it is %s", name, here))
	}
	return nil, UsageError(fmt.Errorf("unknown command %q%s", name, Suggest(name, names)))
}

// helpOn carries out `davit help` and `davit help VERB`.
func (a *App) helpOn(verb []string) error {
	if len(verb) == 0 {
		a.help()
		return nil
	}
	c, err := a.command(verb[0])
	if err == nil {
		c.help(a)
	}
	return err
}

// UsageError returns the error for a command line that is wrong.
func UsageError(err error) error { return fmt.Errorf("%w (see --help)", err) }

func wantsVersion(flags []Flag) bool {
	b, ok := find(flags, "version").(*BoolFlag)
	return ok && b.Value
}

func (c *Command) run(global *Context, line []string) error {
	ctx := &Context{App: global.App, Command: c, flags: c.Flags, parent: global}
	rest, err := parse(c.Flags, global.flags, line, c.FlagsFirst)
	switch {
	case err == errHelp:
		c.help(global.App)
		return nil
	case err != nil:
		return UsageError(fmt.Errorf("%s: %w", c.Name, err))
	}
	ctx.args = rest
	return c.Action(ctx)
}

// parse sets flags and returns the other words: everything from the first argument on, or the
// arguments between the flags. For the line of a verb, global has the flags before it.
func parse(flags, global []Flag, line []string, first bool) ([]string, error) {
	var args []string
	for len(line) > 0 {
		word := line[0]
		if word == "--" {
			return append(args, line[1:]...), nil
		}
		if len(word) < 2 || word[0] != '-' {
			if first {
				return line, nil
			}
			args, line = append(args, word), line[1:]
			continue
		}
		line = line[1:]
		name, value, joined := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
		f := find(flags, name)
		switch {
		case f == nil && (name == "help" || name == "h"):
			return nil, errHelp
		case f == nil && word[1] != '-' && !joined && setAll(flags, name):
			continue
		case f == nil && len(args) > 0: // the verb reports the unknown flag
			args = append(args, word)
			continue
		case f == nil:
			return nil, unknownFlag(word, name, flags, global)
		}
		if b, ok := f.(*BoolFlag); ok && !joined {
			b.Value, b.set = true, true
			continue
		}
		if !joined {
			if len(line) == 0 {
				return nil, fmt.Errorf("flag needs an argument: %s", word) // Podman looks for these words, which are Go's
			}
			value, line = line[0], line[1:]
		}
		if err := f.assign(value); err != nil {
			return nil, fmt.Errorf("flag --%s: %w", f.names()[0], err)
		}
	}
	return args, nil
}

// setAll sets flags that are given as one word, such as -it, if each letter is a flag without a
// value.
func setAll(flags []Flag, letters string) bool {
	if len(letters) < 2 {
		return false
	}
	var list []*BoolFlag
	for i := range len(letters) {
		b, is := find(flags, letters[i:i+1]).(*BoolFlag)
		if !is {
			return false
		}
		list = append(list, b)
	}
	for _, b := range list {
		b.Value, b.set = true, true
	}
	return true
}

func unknownFlag(word, name string, flags, global []Flag) error {
	if find(global, name) != nil {
		return fmt.Errorf("unknown flag %s: it is a global option, which goes before the command", word)
	}
	known, _ := words(flags)
	return fmt.Errorf("unknown flag %s%s", word, Suggest(dashes(name), known))
}

func find(flags []Flag, name string) Flag {
	for _, f := range flags {
		for _, n := range f.names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

// find looks up a flag, first among the verb's flags, then among the global ones.
func (c *Context) find(name string) Flag {
	for ; c != nil; c = c.parent {
		if f := find(c.flags, name); f != nil {
			return f
		}
	}
	panic("cli: no flag " + name) // a mistake in the verb's code
}

// Given returns the names of the verb's flags that are on the command line.
func (c *Context) Given() []string {
	var list []string
	for _, f := range c.flags {
		if f.isSet() {
			list = append(list, f.names()[0])
		}
	}
	return list
}

// IsSet reports whether a flag is on the command line.
func (c *Context) IsSet(name string) bool { return c.find(name).isSet() }

// String returns a StringFlag's value.
func (c *Context) String(name string) string { return c.find(name).(*StringFlag).Value }

// Bool returns a BoolFlag's value.
func (c *Context) Bool(name string) bool { return c.find(name).(*BoolFlag).Value }

// Int returns an IntFlag's value.
func (c *Context) Int(name string) int { return c.find(name).(*IntFlag).Value }

// Duration returns a DurationFlag's value.
func (c *Context) Duration(name string) time.Duration { return c.find(name).(*DurationFlag).Value }

// StringSlice returns the values of a StringSliceFlag.
func (c *Context) StringSlice(name string) []string { return c.find(name).(*StringSliceFlag).Value }

// Int64Slice returns the values of an Int64SliceFlag.
func (c *Context) Int64Slice(name string) []int64 { return c.find(name).(*Int64SliceFlag).Value }

func (a *App) out() io.Writer {
	if a.Writer != nil {
		return a.Writer
	}
	return os.Stdout
}

func (a *App) help() {
	w := a.out()
	fmt.Fprintf(w, "%s - %s\n\nusage: %s\n", a.Name, a.Usage, a.UsageText)
	if a.Introduction != "" {
		fmt.Fprintf(w, "\n%s\n", a.Introduction)
	}
	group := ""
	for _, v := range a.Verbs {
		c := v.New()
		if c.Hidden {
			continue
		}
		if v.Group != group {
			fmt.Fprintf(w, "\n%s:\n", v.Group)
			group = v.Group
		}
		fmt.Fprintf(w, "  %-12s %s\n", c.Name, c.Usage)
	}
	fmt.Fprint(w, "\nglobal options:\n")
	writeFlags(w, a.Flags)
	if a.Footer != "" {
		fmt.Fprintf(w, "\n%s\n", a.Footer)
	}
}

func (c *Command) help(a *App) {
	w := a.out()
	fmt.Fprintf(w, "%s %s - %s\n\nusage: %s [global options] %s%s\n", a.Name, c.Name, c.Usage, a.Name, c.Name, c.synopsis())
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Description))
	}
	if len(c.Flags) > 0 {
		fmt.Fprint(w, "\noptions:\n")
		writeFlags(w, c.Flags)
	}
}

// synopsis returns the words after the verb's name in its usage line.
func (c *Command) synopsis() string {
	s := ""
	if len(shown(c.Flags)) > 0 {
		s = " [options]"
	}
	if c.ArgsUsage != "" {
		s += " " + c.ArgsUsage
	}
	return s
}

// writeFlags prints one line for each flag; the word in backquotes is the name of its value.
func writeFlags(w io.Writer, flags []Flag) {
	for _, f := range shown(flags) {
		d := f.describe()
		left := make([]string, 0, 2)
		for _, n := range f.names() {
			left = append(left, dashes(n))
		}
		what := strings.Join(left, ", ")
		if d.placeholder != "" {
			what += " " + placeholder(d)
		}
		text := strings.ReplaceAll(d.Usage, "`", "")
		if d.value != "" {
			text += " (default: " + d.value + ")"
		}
		fmt.Fprintf(w, "  %-32s %s\n", what, text)
	}
}

func parseInt(value string, bits int) (int64, error) {
	n, err := strconv.ParseInt(value, 0, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", value)
	}
	return n, nil
}
