package cli_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"davit/internal/cli"

	urfave "github.com/urfave/cli/v2"
)

// ours and theirs describe the same command line to davit's parser and to the library. Both must
// understand the same.
func ours(line []string) string {
	got := "nothing"
	app := &cli.App{Name: "app", Writer: io.Discard, Flags: []cli.Flag{
		&cli.StringFlag{Name: "root", Value: "/r"}, &cli.BoolFlag{Name: "debug"},
	}, Verbs: []cli.Verb{{Name: "verb", New: func() *cli.Command {
		return &cli.Command{Name: "verb", FlagsFirst: true, Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: "."}, &cli.BoolFlag{Name: "detach", Aliases: []string{"d"}},
			&cli.IntFlag{Name: "fds"}, &cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}},
		}, Action: func(c *cli.Context) error {
			got = fmt.Sprint(c.String("root"), c.Bool("debug"), c.String("bundle"), c.IsSet("bundle"), c.Bool("detach"), c.Int("fds"), c.StringSlice("env"), c.Args().Slice(), c.NArg())
			return nil
		}}
	}}}}
	if err := app.Run(append([]string{"app"}, line...)); err != nil {
		return "error"
	}
	return got
}

func theirs(line []string) string {
	got := "nothing"
	app := &urfave.App{Name: "app", Writer: io.Discard, ErrWriter: io.Discard, DisableSliceFlagSeparator: true,
		Flags:          []urfave.Flag{&urfave.StringFlag{Name: "root", Value: "/r"}, &urfave.BoolFlag{Name: "debug"}},
		ExitErrHandler: func(*urfave.Context, error) {},
		Commands: []*urfave.Command{{Name: "verb", Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: "."}, &urfave.BoolFlag{Name: "detach", Aliases: []string{"d"}},
			&urfave.IntFlag{Name: "fds"}, &urfave.StringSliceFlag{Name: "env", Aliases: []string{"e"}},
		}, Action: func(c *urfave.Context) error {
			got = fmt.Sprint(c.String("root"), c.Bool("debug"), c.String("bundle"), c.IsSet("bundle"), c.Bool("detach"), c.Int("fds"), c.StringSlice("env"), c.Args().Slice(), c.NArg())
			return nil
		}}},
	}
	if err := app.Run(append([]string{"app"}, line...)); err != nil {
		return "error"
	}
	return got
}

func TestUnderstandsWhatUrfaveDoes(t *testing.T) {
	for _, line := range []string{
		"verb", "verb a b", "--root x verb a", "--root=x --debug verb a", "-root x verb", "verb -b x a", "verb --b x a",
		"verb --bundle=x a", "verb -bundle x a -d", "verb -d a --detach b", "verb --detach=false a", "verb -d=true", "verb -- -d",
		"verb -d -- -d", "verb - a", "verb -e A=1 -e B=2,3 x", "verb --env A= x", "verb --fds 3 a", "verb --fds -1", "verb --fds 0x10",
		"verb --fds x", "verb --fds", "verb --nope", "verb --bundle", "--nope verb", "verb --detach=maybe", "verb a -- b",
		"verb -b -d", "verb -b= a", "--debug=1 verb", "verb --help", "--help",
	} {
		fields := strings.Fields(line)
		if got, want := ours(fields), theirs(fields); got != want {
			t.Errorf("%q: understood %s, urfave/cli: %s", line, got, want)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"nope":          `unknown command "nope"`,
		"--nope":        "unknown flag --nope",
		"verb --fds x":  `verb: flag --fds: "x" is not a number`,
		"verb --fds":    "verb: flag needs an argument: --fds",
		"verb --b=1 -x": "verb: unknown flag -x",
		"ls":            `unknown command "ls": here it is verb --all`,
		"vreb":          `unknown command "vreb"; did you mean verb?`,
		"verb -fsd 1":   "verb: unknown flag -fsd; did you mean --fds?",
		"verb --root x": "verb: unknown flag --root: it is a global option, which goes before the command",
	} {
		app := &cli.App{Name: "app", Writer: io.Discard, Words: map[string]string{"ls": "verb --all"}, Flags: []cli.Flag{&cli.StringFlag{Name: "root"}}, Verbs: []cli.Verb{{Name: "verb", New: func() *cli.Command {
			return &cli.Command{Name: "verb", Flags: []cli.Flag{&cli.IntFlag{Name: "fds"}, &cli.StringFlag{Name: "b"}}}
		}}}}
		err := app.Run(append([]string{"app"}, strings.Fields(line)...))
		if err == nil || err.Error() != want+" (see --help)" {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}

// Several letters in one word are flags if each of them is a flag without a value.
func TestLettersInOneWord(t *testing.T) {
	for line, want := range map[string]string{
		"verb -it c": "true true [c]", "verb -ti c": "true true [c]", "verb -i c -t": "true true [c]", "verb -ix c": "verb: unknown flag -ix (see --help)",
		"verb -io c": "verb: unknown flag -io (see --help)", "verb --it c": "verb: unknown flag --it (see --help)", "verb -it=true c": "verb: unknown flag -it=true (see --help)",
		"verb -a c": "false true [c]", "verb -all c": "true false [c]",
	} {
		got := ""
		app := &cli.App{Name: "app", Writer: io.Discard, Verbs: []cli.Verb{{Name: "verb", New: func() *cli.Command {
			return &cli.Command{Name: "verb", Flags: []cli.Flag{&cli.BoolFlag{Name: "i", Aliases: []string{"all"}}, &cli.BoolFlag{Name: "t", Aliases: []string{"a"}}, &cli.StringFlag{Name: "o"}},
				Action: func(c *cli.Context) error {
					got = fmt.Sprint(c.Bool("i"), " ", c.Bool("t"), " ", c.Args().Slice())
					return nil
				}}
		}}}}
		if err := app.Run(append([]string{"app"}, strings.Fields(line)...)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// Flags may stand between the arguments, as with runc.
func TestFlagsAnywhere(t *testing.T) {
	for line, want := range map[string]string{
		"verb c --force": "true  [c]", "verb c -f KILL": "true  [c KILL]", "verb c KILL --to x": "false x [c KILL]", "verb --to=x c -f=false d": "false x [c d]",
		"verb c -- -f": "false  [c -f]", "verb c -18": "false  [c -18]", "verb c -x -f": "true  [c -x]", "verb c": "false  [c]", "verb - c": "false  [- c]",
		"verb c --to": "verb: flag needs an argument: --to (see --help)", "verb -x c": "verb: unknown flag -x (see --help)", "verb c --help": "help",
		"help verb": "help", "help nope": `unknown command "nope" (see --help)`,
	} {
		got := "nothing"
		var out strings.Builder
		app := &cli.App{Name: "app", Writer: &out, Verbs: []cli.Verb{{Name: "verb", New: func() *cli.Command {
			return &cli.Command{Name: "verb", Flags: []cli.Flag{&cli.BoolFlag{Name: "force", Aliases: []string{"f"}}, &cli.StringFlag{Name: "to"}},
				Action: func(c *cli.Context) error {
					got = fmt.Sprint(c.Bool("force"), " ", c.String("to"), " ", c.Args().Slice())
					return nil
				}}
		}}}}
		if err := app.Run(append([]string{"app"}, strings.Fields(line)...)); err != nil {
			got = err.Error()
		} else if strings.Contains(out.String(), "usage: app [global options] verb") {
			got = "help"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}
