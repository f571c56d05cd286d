package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// result is what one program said about one runtime.
type result struct {
	OK, NotOK, Skipped int
	Status             string // the program's exit status: "" for success
	Output             string
}

// parse counts the lines of a TAP stream (testanything.org).
func parse(output string) result {
	r := result{Output: output}
	for line := range strings.Lines(output) {
		// A diagnostic, which is indented, may quote the output of runtimetest inside a container.
		switch {
		case strings.HasPrefix(line, "not ok"):
			r.NotOK++
		case strings.HasPrefix(line, "ok") && strings.Contains(line, "# SKIP"):
			r.Skipped++
		case strings.HasPrefix(line, "ok"):
			r.OK++
		}
	}
	return r
}

// passed reports whether the program passed. Some programs make no assertion, and only print what
// went wrong.
func (r result) passed() bool {
	return r.Status == "" && r.NotOK == 0 && (r.OK > 0 || r.Skipped == 0 && !strings.Contains(r.Output, `"error":`))
}

func (r result) skipped() bool {
	return r.Status == "" && r.NotOK == 0 && r.OK == 0 && r.Skipped > 0
}

func (r result) String() string {
	switch {
	case r.passed():
		return fmt.Sprintf("pass %d", r.OK)
	case r.skipped():
		return fmt.Sprintf("skip %d", r.Skipped)
	case r.NotOK == 0:
		return "FAIL"
	}
	return fmt.Sprintf("FAIL %d/%d", r.NotOK, r.NotOK+r.OK)
}

// table prints which runtime passes which program: the number of assertions that
// hold, or how many of all fail.
func table(w io.Writer, programs, views []string, results map[contestant]map[string]result) {
	fmt.Fprintf(w, "%-32s", "")
	for _, v := range views {
		for _, r := range runtimes {
			fmt.Fprintf(w, " %-12s", r+" "+v)
		}
	}
	fmt.Fprintln(w)
	total := make(map[contestant]int)
	for _, p := range programs {
		fmt.Fprintf(w, "%-32s", p)
		for _, v := range views {
			for _, name := range runtimes {
				c := contestant{name, v}
				r, ran := results[c][p]
				if !ran {
					fmt.Fprintf(w, " %-12s", "")
					continue
				}
				if r.passed() {
					total[c]++
				}
				fmt.Fprintf(w, " %-12s", r)
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%-32s", fmt.Sprintf("passed, of %d", len(programs)))
	for _, v := range views {
		for _, name := range runtimes {
			fmt.Fprintf(w, " %-12d", total[contestant{name, v}])
		}
	}
	fmt.Fprintln(w)
}

// reason is a line of reasons.txt.
type reason struct {
	program, view string // patterns
	racy, alone   bool   // ? and !
	machine       bool   // +
	text          string
}

// readReasons reads the reasons why davit does not pass programs.
func readReasons(file string) ([]reason, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var reasons []reason
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		var r reason
		key, text, ok := strings.Cut(line, ": ")
		program, view, ok2 := strings.Cut(key, " ")
		if !ok || !ok2 {
			return nil, fmt.Errorf("%s: %q is not of the form program view: reason", file, line)
		}
		view, r.machine = strings.CutSuffix(view, "+")
		view, r.alone = strings.CutSuffix(view, "!")
		view, r.racy = strings.CutSuffix(view, "?")
		r.program, r.view, r.text = program, view, text
		reasons = append(reasons, r)
	}
	return reasons, nil
}

func find(reasons []reason, program, view string) *reason {
	for i := range reasons {
		if reasons[i].machine && view == machine {
			continue
		}
		p, _ := path.Match(reasons[i].program, program)
		v, _ := path.Match(reasons[i].view, view)
		if p && v {
			return &reasons[i]
		}
	}
	return nil
}

// wantMachine returns the programs that need a virtual machine.
func wantMachine(reasons []reason, programs []string) []string {
	var found []string
	for _, p := range programs {
		if slices.ContainsFunc(reasons, func(r reason) bool {
			match, _ := path.Match(r.program, p)
			return r.machine && match
		}) {
			found = append(found, p)
		}
	}
	return found
}

// judge returns what is wrong with davit's results. It prints the reasons that hold: a line each,
// with its views.
func judge(w io.Writer, programs, views []string, results map[contestant]map[string]result, reasons []reason, verbose bool) error {
	var wrong []error
	for _, p := range programs {
		holds := make(map[string][]string) // reason → the views in which it holds
		var order []string
		for _, v := range views {
			mine, ran := results[contestant{"davit", v}][p]
			if !ran {
				continue
			}
			why := find(reasons, p, v)
			var others []string
			for _, name := range runtimes[1:] {
				if results[contestant{name, v}][p].passed() {
					others = append(others, name)
				}
			}
			switch {
			case mine.passed() && why != nil && !why.racy:
				wrong = append(wrong, fmt.Errorf("%s %s: passes, but reasons.txt has %q", p, v, why.text))
			case mine.passed():
			case why == nil:
				wrong = append(wrong, fmt.Errorf("%s %s: davit fails, and reasons.txt does not say why", p, v))
			case len(others) > 0 && !why.alone && !why.racy && !why.machine:
				wrong = append(wrong, fmt.Errorf("%s %s: davit fails what %s passes", p, v, strings.Join(others, " and ")))
			default:
				if holds[why.text] == nil {
					order = append(order, why.text)
				}
				holds[why.text] = append(holds[why.text], v)
			}
			if verbose && !mine.passed() {
				fmt.Fprintf(w, "---- %s %s: %s\n%s\n", p, v, mine.Status, mine.Output)
			}
		}
		for _, text := range order {
			fmt.Fprintf(w, "- **%s** (%s): %s\n", p, strings.Join(holds[text], ", "), text)
		}
	}
	return errors.Join(wrong...)
}
