//go:build docs

package cli

import (
	"fmt"
	"io"
	"strings"
)

// Section is a part of a manual page: paragraphs, and terms with their meaning.
type Section struct {
	Title string
	Text  string
	Terms [][2]string
}

// Man writes a manual page in roff(7), for the program (verb "") or for one of its verbs. The
// sections come after the options.
func (a *App) Man(w io.Writer, verb, date string, sections []Section) error {
	if verb == "" {
		a.man(w, date, sections)
		return nil
	}
	for _, c := range a.Commands() {
		if c.Name == verb {
			c.man(w, a, date, sections)
			return nil
		}
	}
	return fmt.Errorf("unknown command %q", verb)
}

// roff escapes a text for manual pages.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "", "'", `\(aq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func (a *App) man(w io.Writer, date string, sections []Section) {
	fmt.Fprintf(w, ".TH %s 8 %q\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n%s\n.SH COMMANDS\n",
		strings.ToUpper(a.Name), date, a.Name, roff(a.Usage), roff(a.UsageText), roff(a.Introduction))
	for _, c := range a.Commands() {
		fmt.Fprintf(w, ".TP\n.BR %s\\-%s (8)\n%s\n", a.Name, c.Name, roff(c.Usage))
	}
	fmt.Fprint(w, ".SH GLOBAL OPTIONS\n")
	writeManFlags(w, a.Flags)
	writeSections(w, sections)
	fmt.Fprint(w, ".SH SEE ALSO\n")
	for i, c := range a.Commands() {
		if i > 0 {
			fmt.Fprint(w, " ,\n")
		}
		fmt.Fprintf(w, ".BR %s\\-%s (8)", a.Name, c.Name)
	}
	fmt.Fprintln(w)
}

func (c *Command) man(w io.Writer, a *App, date string, sections []Section) {
	fmt.Fprintf(w, ".TH %s\\-%s 8 %q\n.SH NAME\n%s\\-%s \\- %s\n", strings.ToUpper(a.Name), strings.ToUpper(c.Name), date, a.Name, c.Name, roff(c.Usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n[global options]\n.B %s\n%s\n", a.Name, c.Name, roff(strings.TrimPrefix(c.synopsis(), " ")))
	description, examples := c.examples()
	if description != "" {
		fmt.Fprintf(w, ".SH DESCRIPTION\n%s", filled(description))
	}
	if len(shown(c.Flags)) > 0 {
		fmt.Fprint(w, ".SH OPTIONS\n")
		writeManFlags(w, c.Flags)
	}
	fmt.Fprintf(w, ".SH GLOBAL OPTIONS\nThey stand before the command;\n.BR %s (8)\nexplains them.\n", a.Name)
	writeManFlags(w, a.Flags)
	if examples != "" {
		fmt.Fprintf(w, ".SH EXAMPLES\n%s", lines(examples))
	}
	writeSections(w, sections)
	fmt.Fprintf(w, ".SH SEE ALSO\n.BR %s (8)\n", a.Name)
}

// examples splits a description at the line where its examples begin.
func (c *Command) examples() (description, examples string) {
	text := strings.TrimSpace(c.Description)
	if strings.HasPrefix(text, "example") {
		return "", text
	}
	description, examples, found := strings.Cut(text, "\nexample")
	if found {
		examples = "example" + examples
	}
	return strings.TrimSpace(description), examples
}

// filled returns a text whose lines are joined, because those of --help may be longer than a
// terminal is wide.
func filled(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(roff(line) + "\n")
	}
	return b.String()
}

// lines returns a text whose lines stay as they are.
func lines(text string) string {
	var b strings.Builder
	b.WriteString(".nf\n")
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(roff(line) + "\n")
	}
	b.WriteString(".fi\n")
	return b.String()
}

func writeSections(w io.Writer, sections []Section) {
	for _, s := range sections {
		fmt.Fprintf(w, ".SH %s\n", s.Title)
		if s.Text != "" {
			fmt.Fprintln(w, roff(s.Text))
		}
		for _, t := range s.Terms {
			fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(t[0]), roff(t[1]))
		}
	}
}

func writeManFlags(w io.Writer, flags []Flag) {
	for _, f := range shown(flags) {
		d := f.describe()
		var names []string
		for _, n := range f.names() {
			names = append(names, roff(dashes(n)))
		}
		fmt.Fprintf(w, ".TP\n.B %s", strings.Join(names, ", "))
		if d.placeholder != "" {
			fmt.Fprintf(w, " \\fI%s\\fR", roff(placeholder(d)))
		}
		fmt.Fprintf(w, "\n%s", roff(d.Usage))
		if d.value != "" {
			fmt.Fprintf(w, " (default: %s)", roff(d.value))
		}
		fmt.Fprintln(w)
	}
}
