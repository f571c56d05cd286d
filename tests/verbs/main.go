// Verbs compares davit's command line with those of runc and crun: the flags of each verb as --help
// prints them, and the output of the same calls. It writes the comparison (docs/verbs.md). It fails
// if davit lacks a flag of runc's, or differs without a reason in reasons.go.
//
//	go run ./tests/verbs -davit bin/davit -out docs/verbs.md
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// runtime is a runtime, and the way to call it.
type runtime struct {
	name    string
	command []string
}

func main() {
	davit := flag.String("davit", "bin/davit", "the binary")
	out := flag.String("out", "docs/verbs.md", "the file to write")
	flag.Parse()
	if err := run(*davit, *out); err != nil {
		fmt.Fprintln(os.Stderr, "verbs:", err)
		os.Exit(1)
	}
}

func run(davit, out string) error {
	davit, err := filepath.Abs(davit)
	if err != nil {
		return err
	}
	in, err := filepath.Abs("tests/peers/in")
	if err != nil {
		return err
	}
	runtimes := []runtime{{"davit", []string{davit}}, {"runc", []string{in, "runc"}}, {"crun", append(pureView(), in, "crun")}}
	var page strings.Builder
	page.WriteString(head)
	for _, r := range runtimes {
		version, err := r.output("--version")
		if err != nil {
			return err
		}
		line, _, _ := strings.Cut(version, "\n")
		if r.name != "davit" { // the page is davit's
			fmt.Fprintf(&page, "- %s: %s\n", r.name, line)
		}
	}
	problems := 0
	for _, verb := range verbs {
		n, err := flagTable(&page, runtimes, verb)
		if err != nil {
			return err
		}
		problems += n
	}
	if err := session(&page, runtimes); err != nil {
		return err
	}
	if err := os.WriteFile(out, []byte(page.String()), 0o644); err != nil {
		return err
	}
	if problems > 0 {
		return fmt.Errorf("%d differences without a reason: see tests/verbs/reasons.go", problems)
	}
	return nil
}

// pureView returns a command prefix that shows only cgroup v2 on a hybrid host, because crun does
// not support hybrid hosts.
func pureView() []string {
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err != nil {
		return nil
	}
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`, "sh"}
}

// output returns what a call prints on standard output and standard error.
func (r runtime) output(args ...string) (string, error) {
	cmd := exec.Command(r.command[0], append(slices.Clone(r.command[1:]), args...)...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// flagLine matches a flag in a --help of any of the three, with its short name before it (argp) or
// after it.
var flagLine = regexp.MustCompile(`(?m)^\s+(?:-(\w), +)?(?:-\w, +)*--([a-z0-9][a-z0-9-]*)(?:[ =\[][^ ,]+)?(?:, -(\w))?`)

// flags returns the flags of a verb, or the global flags if verb is "": name to short name. It
// returns nil if the runtime does not have the verb.
func (r runtime) flags(verb string) (map[string]string, error) {
	args := []string{"--help"}
	if verb != "" {
		all, err := r.output("--help")
		if err != nil {
			return nil, err
		}
		if !regexp.MustCompile(`(?m)^\s+` + verb + `\s`).MatchString(all) {
			return nil, nil
		}
		args = []string{verb, "--help"}
	}
	text, err := r.output(args...)
	// If a runtime refuses a verb, the verb's help fails, too. Engines find out in this way whether
	// the verb exists.
	if err != nil && !strings.Contains(text, "not supported") {
		return nil, fmt.Errorf("%s %s: %w", r.name, strings.Join(args, " "), err)
	}
	found := map[string]string{}
	for _, m := range flagLine.FindAllStringSubmatch(text, -1) {
		if name := m[2]; name != "help" && name != "usage" {
			found[name] = m[1] + m[3]
		}
	}
	return found, nil
}

// flagTable writes a verb's flags, and counts the differences that have no reason.
func flagTable(page *strings.Builder, runtimes []runtime, verb string) (problems int, err error) {
	var have []map[string]string
	names := map[string]bool{}
	for _, r := range runtimes {
		f, err := r.flags(verb)
		if err != nil {
			return 0, err
		}
		have = append(have, f)
		for name := range f {
			names[name] = true
		}
	}
	title := verb
	if verb == "" {
		title = "global flags"
	}
	fmt.Fprintf(page, "\n## %s\n\n", title)
	if why := verbReasons[verb]; why != "" {
		fmt.Fprintf(page, "%s\n\n", why)
	}
	if len(names) == 0 {
		page.WriteString("No flags.\n")
		return 0, nil
	}
	page.WriteString("| flag | davit | runc | crun | |\n| --- | --- | --- | --- | --- |\n")
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		fmt.Fprintf(page, "| `--%s` |", name)
		for _, f := range have {
			page.WriteString(" " + cell(f, name) + " |")
		}
		why, ok := reason(verb, name)
		_, ours := have[0][name]
		_, theirs := have[1][name]
		_, cruns := have[2][name]
		switch {
		case ok || have[0] == nil || (ours == theirs || have[1] == nil) && (ours == cruns || have[2] == nil):
		case ours && theirs:
			why = "runc's"
		default:
			problems++
			why = "NO REASON"
			fmt.Fprintf(os.Stderr, "verbs: %s --%s: davit %t, runc %t, crun %t\n", title, name, ours, theirs, cruns)
		}
		fmt.Fprintf(page, " %s |\n", why)
	}
	return problems, nil
}

func cell(flags map[string]string, name string) string {
	short, ok := flags[name]
	switch {
	case flags == nil:
		return "(no such verb)"
	case !ok:
		return ""
	case short != "":
		return "yes, `-" + short + "`"
	}
	return "yes"
}
