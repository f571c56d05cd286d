package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Completion writes a completion script for a shell: bash, zsh or fish.
func (a *App) Completion(w io.Writer, shell string) error {
	switch shell {
	case "bash":
		a.bash(w)
	case "zsh":
		a.zsh(w)
	case "fish":
		a.fish(w)
	default:
		return fmt.Errorf("%q: bash, zsh or fish", shell)
	}
	return nil
}

// The kinds of words that a shell offers for the value of a flag or for an argument. A list of
// words, separated by blanks, offers these words.
const (
	nothing     = ""
	ids         = "@ids"
	files       = "@files"
	directories = "@directories"
	signals     = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH"
)

// choices are the words that some flags accept; the usage of a flag names those that it accepts.
var choices = []string{"text", "json", "table", "cgroupfs", "systemd", "disabled", "true", "false", "auto", "containerd", "crio", "docker", "podman"}

// valueKind returns the kind of the value of a flag.
func valueKind(f Flag) string {
	switch d := f.describe(); f.names()[0] {
	case "format", "log-format", "cgroup-manager", "rootless", "engine":
		var list []string
		for _, word := range strings.FieldsFunc(d.Usage, func(r rune) bool { return r < 'a' || r > 'z' }) {
			if slices.Contains(choices, word) && !slices.Contains(list, word) {
				list = append(list, word)
			}
		}
		return strings.Join(list, " ")
	case "process", "resources":
		return files
	default:
		switch placeholder(d) {
		case "file", "path":
			return files
		case "directory":
			return directories
		}
	}
	return nothing
}

// argumentKinds returns the kinds of a verb's arguments, in their order.
func (c *Command) argumentKinds() []string {
	var kinds []string
	usage, _, _ := strings.Cut(c.ArgsUsage, ",")
	for _, word := range strings.Fields(usage) {
		switch name := strings.Trim(word, "[]"); {
		case name == "CONTAINER" && c.Name != "create" && c.Name != "run" && c.Name != "restore" && c.Name != "explain":
			kinds = append(kinds, ids)
		case name == "SIGNAL":
			kinds = append(kinds, signals)
		case name == "FILE":
			kinds = append(kinds, files)
		case name == "DIRECTORY":
			kinds = append(kinds, directories)
		case strings.Contains(name, "|"):
			kinds = append(kinds, strings.ReplaceAll(name, "|", " "))
		default:
			return kinds // a new id, or the command line of another program
		}
	}
	return kinds
}

// Commands returns the verbs that the help shows.
func (a *App) Commands() []*Command {
	var list []*Command
	for _, v := range a.Verbs {
		if c := v.New(); !c.Hidden {
			list = append(list, c)
		}
	}
	return list
}

// shown returns the flags that the help shows.
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

// words returns all spellings of flags; takers are the flags that take a value.
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

func (a *App) bash(w io.Writer) {
	global, values := words(a.Flags)
	var names, takers []string // a flag may take a value with one verb and none with another
	for _, name := range values {
		takers = append(takers, "' "+name+"'")
	}
	for _, c := range a.Commands() {
		names = append(names, c.Name)
		_, values := words(c.Flags)
		for _, name := range values {
			takers = append(takers, "'"+c.Name+" "+name+"'")
		}
	}
	fmt.Fprintf(w, `# bash completion for %[1]s
_%[1]s() {
    local cur=${COMP_WORDS[COMP_CWORD]} verb='' flag='' n=0 root=() word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $word == = ]] && continue # --flag=value is three words
        if [[ $flag ]]; then
            [[ ! $verb && $flag == --root ]] && root=(--root "${word/#\~/$HOME}")
            flag=''
            continue
        fi
        case "$verb $word" in
        %[2]s) flag=$word ;;
        *' -'*) ;;
        *) if [[ $verb ]]; then ((n++)); else verb=$word; fi ;;
        esac
    done
    [[ $cur == = ]] && cur=''
    local kind='' options='%[3]s'
    case $verb${flag:+ $flag} in
`, a.Name, strings.Join(takers, " | "), strings.Join(append(global, "--help"), " "))
	fmt.Fprintf(w, "    '') kind='%s' ;;\n", strings.Join(names, " "))
	bashFlags(w, "", a.Flags)
	for _, c := range a.Commands() {
		all, _ := words(c.Flags)
		fmt.Fprintf(w, "    %s)\n        options='%s'\n        case $n in\n", c.Name, strings.Join(append(all, "--help"), " "))
		for i, kind := range c.argumentKinds() {
			fmt.Fprintf(w, "        %d) kind='%s' ;;\n", i, kind)
		}
		fmt.Fprint(w, "        esac\n        ;;\n")
		bashFlags(w, c.Name, c.Flags)
	}
	fmt.Fprintf(w, `    esac
    if [[ ! $flag && $cur == -* ]]; then
        kind=$options
    fi
    case $kind in
    %[2]s) mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" "${root[@]}" list --quiet 2>/dev/null)" -- "$cur") ;;
    %[3]s) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    %[4]s) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$cur") ;;
    esac
}
complete -F _%[1]s %[1]s
`, a.Name, ids, files, directories)
}

// bashFlags writes the cases for a verb's flags whose values the shell can offer.
func bashFlags(w io.Writer, verb string, flags []Flag) {
	for _, f := range shown(flags) {
		if f.describe().placeholder == "" {
			continue
		}
		for _, n := range f.names() {
			fmt.Fprintf(w, "    '%s %s') kind='%s' ;;\n", verb, dashes(n), valueKind(f))
		}
	}
}

// quoted escapes a text for single quotes of a POSIX shell.
func quoted(text string) string {
	return strings.NewReplacer("`", "", "'", `'\''`).Replace(text)
}

func (a *App) zsh(w io.Writer) {
	fmt.Fprintf(w, `#compdef %[1]s
_%[1]s_ids() {
    local -a ids root
    root=(${${opt_args[--root]:+--root}} ${(Q)opt_args[--root]})
    (( $#_%[1]s_root )) && root=($_%[1]s_root)
    ids=(${(f)"$(%[1]s $root list --quiet 2>/dev/null)"})
    compadd -a ids
}
_%[1]s() {
    local -a verbs _%[1]s_root
    verbs=(
`, a.Name)
	for _, c := range a.Commands() {
		fmt.Fprintf(w, "        '%s:%s'\n", c.Name, quoted(c.Usage))
	}
	fmt.Fprint(w, "    )\n    local state line\n    typeset -A opt_args\n    _arguments -C \\\n")
	writeZshFlags(w, a.Flags)
	fmt.Fprintf(w, "        '1:verb:->verb' '*::arg:->arg' && return\n    [[ -n $opt_args[--root] ]] && _%s_root=(--root ${(Q)opt_args[--root]})\n", a.Name)
	fmt.Fprint(w, "    case $state in\n    verb) _describe verb verbs ;;\n    arg)\n        case $words[1] in\n")
	for _, c := range a.Commands() {
		fmt.Fprintf(w, "        %s)\n            _arguments \\\n", c.Name)
		writeZshFlags(w, c.Flags)
		for i, kind := range c.argumentKinds() {
			fmt.Fprintf(w, "                '%d:argument:%s' \\\n", i+1, a.zshKind(kind))
		}
		fmt.Fprint(w, "                '--help[print help]'\n            ;;\n")
	}
	fmt.Fprintf(w, "        esac\n        ;;\n    esac\n}\n_%[1]s \"$@\"\n", a.Name)
}

// zshKind returns the action of zsh's _arguments for a kind.
func (a *App) zshKind(kind string) string {
	switch kind {
	case nothing:
		return " "
	case ids:
		return "_" + a.Name + "_ids"
	case files:
		return "_files"
	case directories:
		return "_files -/"
	}
	return "(" + kind + ")"
}

func writeZshFlags(w io.Writer, flags []Flag) {
	text := strings.NewReplacer("[", "(", "]", ")")
	for _, f := range shown(flags) {
		d := f.describe()
		for _, n := range f.names() {
			name, value := dashes(n), ""
			if d.placeholder != "" {
				if len(n) > 1 {
					name += "=" // the value may follow = or be the next word
				}
				value = ":" + placeholder(d) + ":" + (*App)(nil).zshKind(valueKind(f))
			}
			fmt.Fprintf(w, "        '%s[%s]%s' \\\n", name, text.Replace(quoted(d.Usage)), value)
		}
	}
}

func (a *App) fish(w io.Writer) {
	fmt.Fprintf(w, `# fish completion for %[1]s
function __%[1]s_ids
    set -l root (commandline -opc | string match -r -- '(?<=^--root=).*')
    set -l words (commandline -opc)
    for i in (seq (math (count $words) - 1))
        test $words[$i] = --root; and set root $words[(math $i + 1)]
    end
    set -q root[1]; and %[1]s --root $root[1] list --quiet 2>/dev/null; or %[1]s list --quiet 2>/dev/null
end
complete -c %[1]s -f
`, a.Name)
	escape := strings.NewReplacer("`", "", `\`, `\\`, "'", `\'`).Replace
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
			fmt.Fprint(w, " -x"+a.fishKind(valueKind(f)))
		}
		fmt.Fprintf(w, " -d '%s'\n", escape(d.Usage))
	}
	for _, f := range shown(a.Flags) {
		line("__fish_use_subcommand", f)
	}
	for _, c := range a.Commands() {
		fmt.Fprintf(w, "complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n", a.Name, c.Name, escape(c.Usage))
		in := "__fish_seen_subcommand_from " + c.Name
		for _, kind := range c.argumentKinds() {
			if offer := a.fishKind(kind); offer != "" {
				fmt.Fprintf(w, "complete -c %s -n '%s'%s\n", a.Name, in, offer)
			}
		}
		for _, f := range shown(c.Flags) {
			line(in, f)
		}
	}
}

// fishKind returns the option of fish's complete for a kind.
func (a *App) fishKind(kind string) string {
	switch kind {
	case nothing:
		return ""
	case ids:
		return " -a '(__" + a.Name + "_ids)'"
	case files:
		return " -a '(__fish_complete_path)'"
	case directories:
		return " -a '(__fish_complete_directories)'"
	}
	return " -a '" + kind + "'"
}

// placeholder returns the name of a flag's value: the word in backquotes of its usage.
func placeholder(d description) string {
	if _, rest, ok := strings.Cut(d.Usage, "`"); ok {
		if name, _, ok := strings.Cut(rest, "`"); ok {
			return name
		}
	}
	return d.placeholder
}
