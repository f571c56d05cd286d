// Skips runs `go test`. At the end it prints the skipped tests, by reason, and one line of counts.
// A skipped test proves nothing. So with CI=true a reason that allowed.txt does not list fails the
// run, and no test stops running unnoticed.
//
//	skips [-run REGEXP] [-v] MODULE-DIR...
//	skips -stdin        read `go tool test2json` from stdin: the tests ran elsewhere
package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
)

//go:embed allowed.txt
var allowedText string

func main() {
	run := flag.String("run", "", "only the tests that match, as for go test")
	verbose := flag.Bool("v", false, "print the output of every test")
	stdin := flag.Bool("stdin", false, "read test2json's output from stdin")
	flag.Parse()

	r := results{verbose: *verbose, reasons: map[string][]string{}, output: map[string][]string{}}
	var err error
	if *stdin {
		err = r.read(os.Stdin)
	}
	for _, dir := range flag.Args() {
		if err2 := r.goTest(dir, *run); err == nil {
			err = err2
		}
	}
	if err != nil {
		fmt.Println("skips:", err)
	}
	ok := r.print(os.Getenv("CI") == "true")
	if err != nil || !ok {
		os.Exit(1)
	}
}

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

type results struct {
	verbose                 bool
	passed, failed, skipped int
	output                  map[string][]string // by package and test, until the test has ended
	reasons                 map[string][]string // the tests skipped for each reason
	failures                []string
}

// goTest runs all tests of the module in dir. It takes no results from Go's cache, which does not
// know the binary and the host on which they depend. The modules below tests/ may use cgo; davit's
// own module does not.
func (r *results) goTest(dir, run string) error {
	args := []string{"test", "-json", "-count=1", "-timeout=30m"}
	if run != "" {
		args = append(args, "-run="+run)
	}
	cmd := exec.Command("go", append(args, "./...")...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if dir != "." {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := r.read(out); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test in %s: %w", dir, err)
	}
	return nil
}

func (r *results) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.take(e)
			} else {
				os.Stdout.Write(line) // output of a build, or of the machine that ran the tests
			}
		}
		if err == io.EOF {
			r.cutShort()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cutShort counts tests that never ended as failures: the time of the whole run was up, or its
// machine stopped.
func (r *results) cutShort() {
	for _, key := range sortedKeys(r.output) {
		if pkg, test, _ := strings.Cut(key, " "); test != "" {
			fmt.Print(strings.Join(r.output[key], ""))
			r.failed++
			r.failures = append(r.failures, pkg+" "+test+" did not end")
		}
	}
	clear(r.output)
}

func (r *results) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		if r.verbose {
			fmt.Print(e.Output)
		}
		r.output[key] = append(r.output[key], e.Output)
	case "start":
		if e.Package != "" && isTerminal {
			r.progress(e.Package)
		}
	case "pass", "fail", "skip":
		if isTerminal && e.Test != "" {
			r.progress(e.Test)
		} else if isTerminal {
			fmt.Fprint(os.Stderr, "\r\x1b[K")
		}
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
		delete(r.output, key)
	}
}

// isTerminal reports whether somebody watches on a terminal. Then the progress is shown.
var isTerminal = func() bool {
	info, err := os.Stderr.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}()

// progress overwrites the line that it wrote before.
func (r *results) progress(what string) {
	fmt.Fprintf(os.Stderr, "\r\x1b[K%d tests so far; %.50s", r.passed+r.failed+r.skipped, what)
}

func (r *results) endTest(e event) {
	output := r.output[e.Package+" "+e.Test]
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
		why := reason(output)
		r.reasons[why] = append(r.reasons[why], e.Test)
	case "fail":
		r.failed++
		r.failures = append(r.failures, e.Package+" "+e.Test)
		if !r.verbose {
			fmt.Print(strings.Join(output, ""))
		}
	}
}

// endPackage prints the package's own output only if the package failed without a failed test: a
// panic, an exit, a build that failed.
func (r *results) endPackage(e event) {
	if e.Action == "fail" {
		if !r.verbose {
			fmt.Print(strings.Join(r.output[e.Package+" "], ""))
		}
		if !r.failedIn(e.Package) {
			r.failed++
			r.failures = append(r.failures, e.Package)
		}
	}
	if e.Action != "skip" { // a package without tests
		fmt.Printf("%-4s %-40s %s\n", e.Action, e.Package, elapsed(e))
	}
}

// elapsed returns "" for tests that ran elsewhere.
func elapsed(e event) string {
	if e.Elapsed == 0 {
		return ""
	}
	return fmt.Sprintf("%6.1f s", e.Elapsed)
}

func (r *results) failedIn(pkg string) bool {
	for _, f := range r.failures {
		if strings.HasPrefix(f, pkg+" ") {
			return true
		}
	}
	return false
}

// origin matches what the testing package puts before a logged line: its file and line.
var origin = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// scriptSkip matches the line with which testscript logs the skip of a script.
var scriptSkip = regexp.MustCompile(`^\s*> .*\bskip '([^']+)'`)

// reason returns the reason of a script's skip, or the last line that a skipped test has logged;
// t.Skip logs its arguments.
func reason(output []string) string {
	for _, line := range output {
		if m := scriptSkip.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	for i := len(output) - 1; i >= 0; i-- {
		if at := origin.FindString(output[i]); at != "" {
			return strings.TrimSpace(output[i][len(at):])
		}
	}
	return "no reason given"
}

// print ends the run and reports whether it was successful. The last line has the form that tools
// for counting tests read.
func (r *results) print(ci bool) bool {
	ok := r.failed == 0
	for _, why := range sortedKeys(r.reasons) {
		tests := r.reasons[why]
		note := ""
		if !allowed(why) {
			note = " (not in tests/skips/allowed.txt)"
			ok = ok && !ci
		}
		fmt.Printf("skipped %d: %s%s\n        %s\n", len(tests), why, note, strings.Join(tests, " "))
	}
	for _, f := range r.failures {
		fmt.Println("failed:", f)
	}
	if r.passed+r.failed == 0 {
		fmt.Println("no test ran")
		ok = false
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return ok
}

// allowed reports whether the reason begins with a line of allowed.txt.
func allowed(why string) bool {
	for _, line := range strings.Split(allowedText, "\n") {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' && strings.HasPrefix(why, line) {
			return true
		}
	}
	return false
}

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
