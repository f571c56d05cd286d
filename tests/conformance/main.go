// conformance runs the validation programs of opencontainers/runtime-tools with davit and, beside
// it, with packaged runtimes, in two views of the host's cgroups. It prints which runtime passes
// which program.
//
// usage (as root): go run . [-davit FILE] [-run REGEXP] [-v] [-views v1,v2,vm] [-out FILE]
//
// The view vm is a virtual machine, with cgroup v1, for the programs that need something that the
// host lacks.
//
// It fails if davit does not pass a program that another runtime passes in the same view. It also
// fails if davit does not pass a program for which reasons.txt has no reason, or if a reason there
// is out of date.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
)

// contestant is a runtime in a view of cgroups.
type contestant struct{ runtime, view string }

var runtimes = [...]string{"davit", "runc", "crun", "runc-1.1"}

type options struct {
	davit, run, views, out string
	verbose                bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "inside" {
		inside(os.Args[2:])
		return
	}
	var o options
	flag.StringVar(&o.davit, "davit", "../../bin/davit", "davit's `file`")
	flag.StringVar(&o.run, "run", "", "only programs whose name matches the `regexp`")
	flag.StringVar(&o.views, "views", "v1,v2,vm", "cgroup hierarchies to show the runtimes; vm: v1 in a virtual machine")
	flag.StringVar(&o.out, "out", "", "write the table and the reasons to the `file`, too, as Markdown")
	flag.BoolVar(&o.verbose, "v", false, "print what davit's failed programs said")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	only, err := regexp.Compile(o.run)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "davit-conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root, err := prepare(work, o.davit)
	if err != nil {
		return err
	}
	programs, err := list(work, only)
	if err != nil {
		return err
	}
	views := strings.Split(o.views, ",")
	reasons, err := readReasons("reasons.txt")
	if err != nil {
		return err
	}
	native := slices.DeleteFunc(slices.Clone(views), func(v string) bool { return v == machine })
	results, err := contest(work, root, programs, native)
	if err == nil && len(native) < len(views) {
		err = contestInMachine(work, root, wantMachine(reasons, programs), results)
	}
	if err != nil {
		return err
	}
	var text bytes.Buffer
	fmt.Fprintln(&text, "```")
	table(&text, programs, views, results)
	fmt.Fprint(&text, "```\n\nWhy davit does not pass what it does not pass:\n\n")
	err = judge(&text, programs, views, results, reasons, o.verbose)
	os.Stdout.Write(text.Bytes())
	if o.out != "" && err == nil {
		err = os.WriteFile(o.out, append([]byte(heading), text.Bytes()...), 0o644)
	}
	return err
}

const heading = `# Conformance

Who passes what of opencontainers/runtime-tools' validation programs (v0.9.0), and of one more in their manner
(everything: runtimetest in containers whose config runtime-tools' generator made, all turned on). A cell has the number of
assertions that hold, or that fail of all; v1 and v2 are views of the host's cgroups, vm is a virtual machine (Linux 6.1,
cgroup v1) for what the host lacks. runc and crun are Debian sid's, runc-1.1 is bookworm's.

runc 1.3 fails nearly all, it seems because it makes calls that the programs' old seccomp filter forbids; what it passes
among the _fail programs may be for that reason, too.

` + "`make test-conformance UPDATE=1`" + ` writes this. It fails if davit does not pass what another does, unless the suite contradicts the
specification's text, which is then quoted.

`

// machine is the name of the view in a virtual machine.
const machine = "vm"

// contestInMachine runs the programs in a virtual machine, whose kernel has what a test host may
// lack.
func contestInMachine(work, root string, programs []string, results map[contestant]map[string]result) error {
	cmd := exec.Command("../vm/run", append([]string{"--v1", "--timeout", "3600", "--bind", work, "--",
		work + "/conformance", "inside", "machine", work, root}, programs...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("in the virtual machine: %w", err)
	}
	data, err := os.ReadFile(work + "/results.json")
	if err != nil {
		return err
	}
	var found map[string]map[string]result
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	for name, r := range found {
		results[contestant{name, machine}] = r
	}
	return nil
}

// prepare builds the programs in work and puts the runtimes beside them. It returns the root
// directory in which everything runs.
func prepare(work, davit string) (root string, err error) {
	build := exec.Command("go", "build", "-o", work+"/", "tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-tools").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	archive := "rootfs-" + runtime.GOARCH + ".tar.gz"
	peers := make(map[string]string)
	for _, suite := range []string{"sid", "bookworm"} {
		cmd := exec.Command("../peers/root", "--suite", suite)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("peers/root --suite %s: %w", suite, err)
		}
		peers[suite] = strings.TrimSpace(string(out))
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for to, from := range map[string]string{
		archive:       filepath.Join(strings.TrimSpace(string(dir)), archive),
		"davit":       davit,
		"runc":        peers["sid"] + "/usr/sbin/runc",
		"crun":        peers["sid"] + "/usr/bin/crun",
		"runc-1.1":    peers["bookworm"] + "/usr/sbin/runc",
		"conformance": self,
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(work, to), data, 0o755); err != nil {
			return "", err
		}
	}
	return peers["sid"], nil
}

// list returns the names of the programs: everything that was built, without runtimetest, which
// they run inside containers.
func list(work string, only *regexp.Regexp) ([]string, error) {
	tools, err := exec.Command("go", "list", "-f", "{{.ImportPath}}", "tool").Output()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range strings.Fields(string(tools)) {
		name := filepath.Base(path)
		if strings.Contains(path, "/validation/") && only.MatchString(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

// contest runs the programs with every runtime in every view. It runs some at a time, because the
// programs mostly sleep.
func contest(work, root string, programs, views []string) (map[contestant]map[string]result, error) {
	results := make(map[contestant]map[string]result)
	var mutex sync.Mutex
	var group sync.WaitGroup
	var first error
	slots := make(chan struct{}, 4)
	for _, view := range views {
		for _, name := range runtimes {
			c := contestant{name, view}
			group.Add(1)
			go func() {
				defer group.Done()
				slots <- struct{}{}
				defer func() { <-slots }()
				r, err := c.run(work, root, programs)
				mutex.Lock()
				defer mutex.Unlock()
				results[c] = r
				if err != nil && first == nil {
					first = fmt.Errorf("%s (%s): %w", c.runtime, c.view, err)
				}
			}()
		}
	}
	group.Wait()
	return results, first
}
