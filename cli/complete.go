package cli

import (
	"fmt"
	"io"
	"strings"
)

// Completion writes a completion script for a shell: bash, zsh or fish. ids is the
// command that lists what the arguments of the verbs may be.
func (a *App) Completion(w io.Writer, shell, ids string) error {
	switch shell {
	case "bash":
		a.bash(w, ids)
	case "zsh":
		a.zsh(w, ids)
	case "fish":
		a.fish(w, ids)
	default:
		return fmt.Errorf("%q: bash, zsh or fish", shell)
	}
	return nil
}

// Commands returns the verbs that help shows.
func (a *App) Commands() []*Command {
	var list []*Command
	for _, v := range a.Verbs {
		if c := v.New(); !c.Hidden {
			list = append(list, c)
		}
	}
	return list
}

// shown returns the flags that help shows.
func shown(flags []Flag) []Flag {
	var list []Flag
	for _, f := range flags {
		if !f.describe().Hidden {
			list = append(list, f)
		}
	}
	return list
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// words are all spellings of flags; takers are those that a value follows.
func words(flags []Flag) (all, takers []string) {
	for _, f := range shown(flags) {
		for _, n := range f.names() {
			all = append(all, dashes(n))
			if f.describe().placeholder != "" {
				takers = append(takers, dashes(n))
			}
		}
	}
	return all, takers
}

func (a *App) bash(w io.Writer, ids string) {
	global, takers := words(a.Flags)
	var names []string
	for _, c := range a.Commands() {
		names = append(names, c.Name)
	}
	fmt.Fprintf(w, `# bash completion for %[1]s
_%[1]s() {
    local cur=${COMP_WORDS[COMP_CWORD]} verb='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        %[2]s) ((i++)) ;;
        -*) ;;
        *)
            verb=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    local options=''
    case $verb in
    '')
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W '%[3]s' -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -W '%[4]s' -- "$cur")
        fi
        return
        ;;
`, a.Name, strings.Join(takers, " | "), strings.Join(global, " "), strings.Join(names, " "))
	for _, c := range a.Commands() {
		all, _ := words(c.Flags)
		fmt.Fprintf(w, "    %s) options='%s' ;;\n", c.Name, strings.Join(append(all, "--help"), " "))
	}
	fmt.Fprintf(w, `    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -W "$(%[2]s 2>/dev/null)" -- "$cur")
    fi
}
complete -o filenames -F _%[1]s %[1]s
`, a.Name, ids)
}

// plain is a usage text without what a shell or a completion would take for its own.
func plain(text string) string {
	return strings.NewReplacer("`", "", "'", "", "[", "(", "]", ")", ":", ";").Replace(text)
}

func (a *App) zsh(w io.Writer, ids string) {
	fmt.Fprintf(w, "#compdef %[1]s\n_%[1]s() {\n    local -a verbs\n    verbs=(\n", a.Name)
	for _, c := range a.Commands() {
		fmt.Fprintf(w, "        '%s:%s'\n", c.Name, plain(c.Usage))
	}
	fmt.Fprint(w, "    )\n    _arguments -C \\\n")
	writeZshFlags(w, a.Flags)
	fmt.Fprint(w, "        '1:verb:->verb' '*::arg:->arg' && return\n    case $state in\n    verb) _describe verb verbs ;;\n    arg)\n        case $words[1] in\n")
	for _, c := range a.Commands() {
		fmt.Fprintf(w, "        %s)\n            _arguments \\\n", c.Name)
		writeZshFlags(w, c.Flags)
		fmt.Fprintf(w, "                '1:container:($(%s 2>/dev/null))' '*:argument:_files'\n            ;;\n", ids)
	}
	fmt.Fprintf(w, "        esac\n        ;;\n    esac\n}\n_%[1]s \"$@\"\n", a.Name)
}

func writeZshFlags(w io.Writer, flags []Flag) {
	for _, f := range shown(flags) {
		d := f.describe()
		for _, n := range f.names() {
			value := ""
			if d.placeholder != "" {
				value = ":" + placeholder(d) + ":_files"
			}
			fmt.Fprintf(w, "        '%s[%s]%s' \\\n", dashes(n), plain(d.Usage), value)
		}
	}
}

func (a *App) fish(w io.Writer, ids string) {
	fmt.Fprintf(w, "# fish completion for %[1]s\ncomplete -c %[1]s -f -n __fish_use_subcommand\n", a.Name)
	line := func(condition string, f Flag) {
		d := f.describe()
		fmt.Fprintf(w, "complete -c %s -n '%s'", a.Name, condition)
		for _, n := range f.names() {
			if len(n) == 1 {
				fmt.Fprintf(w, " -s %s", n)
			} else {
				fmt.Fprintf(w, " -l %s", n)
			}
		}
		if d.placeholder != "" {
			fmt.Fprint(w, " -r")
		}
		fmt.Fprintf(w, " -d '%s'\n", plain(d.Usage))
	}
	for _, f := range shown(a.Flags) {
		line("__fish_use_subcommand", f)
	}
	for _, c := range a.Commands() {
		fmt.Fprintf(w, "complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n", a.Name, c.Name, plain(c.Usage))
		in := "__fish_seen_subcommand_from " + c.Name
		fmt.Fprintf(w, "complete -c %s -n '%s' -a '(%s 2>/dev/null)'\n", a.Name, in, ids)
		for _, f := range shown(c.Flags) {
			line(in, f)
		}
	}
}

// placeholder is the name of a flag's value: the word in backquotes of its usage.
func placeholder(d description) string {
	if _, rest, ok := strings.Cut(d.Usage, "`"); ok {
		if name, _, ok := strings.Cut(rest, "`"); ok {
			return name
		}
	}
	return d.placeholder
}

// Man writes a manual page, roff(7), of the program ("") or one of its verbs.
func (a *App) Man(w io.Writer, verb, date string) error {
	if verb == "" {
		a.man(w, date)
		return nil
	}
	for _, c := range a.Commands() {
		if c.Name == verb {
			c.man(w, a.Name, date)
			return nil
		}
	}
	return fmt.Errorf("unknown command %q", verb)
}

// roff escapes a text for man pages.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

func (a *App) man(w io.Writer, date string) {
	fmt.Fprintf(w, ".TH %s 8 %q\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n.SH COMMANDS\n", strings.ToUpper(a.Name), date, a.Name, roff(a.Usage), roff(a.UsageText))
	for _, c := range a.Commands() {
		fmt.Fprintf(w, ".TP\n.BR %s\\-%s (8)\n%s\n", a.Name, c.Name, roff(c.Usage))
	}
	fmt.Fprint(w, ".SH GLOBAL OPTIONS\n")
	writeManFlags(w, a.Flags)
}

func (c *Command) man(w io.Writer, app, date string) {
	fmt.Fprintf(w, ".TH %s\\-%s 8 %q\n.SH NAME\n%s\\-%s \\- %s\n", strings.ToUpper(app), strings.ToUpper(c.Name), date, app, c.Name, roff(c.Usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n[global options]\n.B %s\n%s\n", app, c.Name, roff(strings.TrimPrefix(c.synopsis(), " ")))
	if c.Description != "" {
		fmt.Fprint(w, ".SH DESCRIPTION\n.nf\n")
		for line := range strings.SplitSeq(strings.TrimSpace(c.Description), "\n") {
			fmt.Fprintln(w, roff(line))
		}
		fmt.Fprint(w, ".fi\n")
	}
	if len(shown(c.Flags)) > 0 {
		fmt.Fprint(w, ".SH OPTIONS\n")
		writeManFlags(w, c.Flags)
	}
	fmt.Fprintf(w, ".SH SEE ALSO\n.BR %s (8)\n", app)
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
