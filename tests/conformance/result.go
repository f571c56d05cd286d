package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// result is what one program said about one runtime.
type result struct {
	OK, NotOK, Skipped int
	Status             string // of the program: "" for success
	Output             string
}

// parse counts the lines of a TAP stream (testanything.org).
func parse(output string) result {
	r := result{Output: output}
	for line := range strings.Lines(output) {
		// What runtimetest says inside of a container may be quoted in a
		// diagnostic, which is indented.
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

// passed: some programs make no assertion, and say nothing but what went wrong.
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

// table prints who passes what: assertions that hold, or fail of all.
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
				r := results[c][p]
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

// readReasons reads why davit does not pass a program in a view, as lines
// "program view: reason".
func readReasons(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reasons := make(map[string]string)
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, reason, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("%s: %q has no reason", path, line)
		}
		reasons[key] = reason
	}
	return reasons, nil
}

// judge says what is wrong with davit's results.
func judge(programs, views []string, results map[contestant]map[string]result, reasons map[string]string, verbose bool) error {
	var wrong []error
	for _, v := range views {
		for _, p := range programs {
			mine, key := results[contestant{"davit", v}][p], p+" "+v
			reason, known := reasons[key]
			var others []string
			for _, name := range runtimes[1:] {
				if results[contestant{name, v}][p].passed() {
					others = append(others, name)
				}
			}
			switch {
			case mine.passed() && known:
				wrong = append(wrong, fmt.Errorf("%s: passes, but reasons.txt has %q", key, reason))
			case mine.passed():
				continue
			case len(others) > 0:
				wrong = append(wrong, fmt.Errorf("%s: davit fails what %s passes", key, strings.Join(others, " and ")))
			case !known:
				wrong = append(wrong, fmt.Errorf("%s: davit fails, and reasons.txt does not say why", key))
			default:
				fmt.Printf("%s: %s\n", key, reason)
			}
			if verbose {
				fmt.Printf("---- %s: %s\n%s\n", key, mine.Status, mine.Output)
			}
		}
	}
	return errors.Join(wrong...)
}
