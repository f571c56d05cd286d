// Bench compares davit with crun, runc and the floor. The floor is a C program that makes the
// system calls that a config needs, and nothing else. Bench measures what each verb costs in time,
// processor time, page faults and system calls, prints that as a table, and stores it in
// docs/bench.
//
// The peers are Debian's newest packages, in a root directory that tests/peers makes. Everything
// runs in there, davit too, so that all contestants load from one filesystem and see the same
// mounts. They take turns, because the speed of this kind of host varies. Ratios within one run are
// more meaningful than times.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

type options struct {
	quick  bool
	davit  string
	source string // directory of the floor's C source
	out    string // "": write no files
	only   string // regular expression of the rows to measure
	views  string
	inner  view   // set in the process that runs inside
	kernel string // measure on this kernel, in a virtual machine, in instructions
	counts bool   // with inner: the clock counts instructions
	root   string

	crowd     string // with inner: keep a crowd of this runtime's containers
	crowdSize int
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "fewer turns, and no crowds of containers or mounts: two minutes")
	flag.StringVar(&o.davit, "davit", "bin/davit", "the davit to measure")
	flag.StringVar(&o.source, "source", "tests/bench", "where the benchmark's sources are")
	flag.StringVar(&o.out, "out", "", "directory for bench.json and bench.svg")
	flag.StringVar(&o.only, "rows", "", "only the rows that match this regular expression")
	flag.StringVar(&o.views, "views", "v2,v1", "cgroup views, of those that the host has")
	flag.StringVar((*string)(&o.inner), "inner", "", "used by the benchmark itself")
	flag.StringVar(&o.root, "root", "", "root directory with the peers (default: tests/peers makes it)")
	flag.StringVar(&o.kernel, "kernel", "", "measure on the kernel of this Debian suite, in a virtual machine, by instructions")
	flag.BoolVar(&o.counts, "counts", false, "used by the benchmark itself")
	flag.StringVar(&o.crowd, "crowd", "", "used by the benchmark itself")
	flag.IntVar(&o.crowdSize, "crowd-size", 0, "used by the benchmark itself")
	flag.Parse()
	if (o.counts || o.kernel != "") && o.only == "" {
		o.only = "^counted"
	}
	if o.crowd != "" {
		must(keepCrowd(o.inner, o.crowd, o.crowdSize, o.counts))
		return
	}
	if o.inner != "" {
		must(inside(o))
		return
	}
	must(outside(o))
}

// report has the results of one benchmark.
type report struct {
	Date     string            `json:"date"`
	Host     string            `json:"host"`
	Quick    bool              `json:"quick"`
	Versions map[string]string `json:"versions"`
	Sizes    map[string]int64  `json:"sizes"` // of the programs, in bytes
	Rows     []row             `json:"rows"`
}

func outside(o options) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root, as containers do")
	}
	if o.root == "" {
		cmd := exec.Command(filepath.Join(filepath.Dir(o.source), "peers/root"))
		cmd.Stderr = os.Stderr
		path, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("tests/peers/root: %w", err)
		}
		o.root = strings.TrimSpace(string(path))
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	if o.kernel != "" {
		return measureKernel(o)
	}
	if o.counts {
		if o.root, err = smallRoot(o.root); err != nil {
			return err
		}
	}
	views := o.hostViews()
	if err := prepare(o, views); err != nil {
		return err
	}
	r := newReport(o)
	var failures []error // the measurements are printed even if some have failed
	for _, v := range views {
		failures = append(failures, r.measure(o, v))
	}
	if !unified.has("memory") && !o.quick && regexp.MustCompile(o.only).MatchString(lowestMemory) {
		failures = append(failures, r.measureInVM(o))
	}
	fmt.Print(r.table())
	if o.out != "" {
		failures = append(failures, r.write(o.out))
	}
	return errors.Join(failures...)
}

// hostViews returns those of the requested views that this host can show.
func (o options) hostViews() []view {
	var views []view
	for _, v := range strings.Split(o.views, ",") {
		if view(v) == v1 {
			if dirs, err := v1.hierarchies(); err != nil || len(dirs) < 2 {
				fmt.Fprintln(os.Stderr, "bench: this host has no cgroup v1 hierarchies: those rows are left out")
				continue
			}
		}
		views = append(views, view(v))
	}
	return views
}

// lock keeps other benchmarks away, because all of them use the same cgroups.
func lock() (func(), error) {
	f, err := os.Create(filepath.Join(os.TempDir(), "davit-bench.lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// prepare puts davit, busybox and the floors beside the peers.
func prepare(o options, views []view) error {
	tools := o.root + toolsDir
	if err := os.MkdirAll(tools, 0o755); err != nil {
		return err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox-static: %w", err)
	}
	if err := copyProgram(busybox, tools+"/busybox"); err != nil {
		return err
	}
	os.Remove(tools + "/davit")
	if err := copyProgram(o.davit, tools+"/davit"); os.IsNotExist(err) {
		fmt.Fprintf(os.Stderr, "bench: no %s: without davit\n", o.davit)
	} else if err != nil {
		return err
	}
	only := regexp.MustCompile(o.only)
	if !o.quick && only.MatchString(overlayRow) {
		if err := buildOverlays(o); err != nil {
			return err
		}
	}
	for _, v := range views {
		for _, config := range []string{minimal, standard, pod} {
			wanted := only.MatchString(runTask(config)) || config == standard && only.MatchString("1000 containers, 5000 containers, 20000 mounts, "+overlayRow)
			if !wanted {
				continue
			}
			out := fmt.Sprintf("%s/floor-%s-%s", tools, v, config)
			if err := buildFloor(o.source+"/floor", out, config, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyProgram replaces the file to. A program that still runs keeps its old file.
func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", data, 0o755); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// measure starts the process inside, and reads its rows.
func (r *report) measure(o options, v view) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	args := []string{"-inner", string(v), "-root", o.root, "-rows", o.only}
	if o.quick {
		args = append(args, "-quick")
	}
	if o.counts {
		args = append(args, "-counts")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{out} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS}
	if err := cmd.Start(); err != nil {
		return err
	}
	out.Close()
	var found report
	decodeErr := json.NewDecoder(in).Decode(&found)
	if decodeErr == nil {
		r.Versions, r.Sizes = found.Versions, found.Sizes
		r.Rows = append(r.Rows, found.Rows...)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("benchmark in view %s: %w", v, err)
	}
	return decodeErr
}

// inside runs the rows of one view and writes them to descriptor 3.
func inside(o options) error {
	runtime.LockOSThread() // the thread that has the counters must start the children
	if err := enter(o.root, o.inner); err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	o.inner.killAll()
	if err := o.inner.removeCgroups(); err != nil {
		return fmt.Errorf("left by an earlier benchmark: %w", err)
	}
	if err := o.inner.makeCgroups(); err != nil {
		return err
	}
	c, err := newContest(o.inner, o.quick)
	if err != nil {
		return err
	}
	c.counts = o.counts
	found := report{Versions: c.versions(), Sizes: c.sizes()}
	tasks := c.tasks()
	if o.counts {
		tasks = c.countedTasks()
	}
	err = all(tasks, regexp.MustCompile(o.only))
	o.inner.killAll()
	c.reapAll()
	if err2 := o.inner.removeCgroups(); err == nil {
		err = err2
	}
	found.Rows = c.rows
	return errors.Join(err, json.NewEncoder(os.NewFile(3, "results")).Encode(found))
}

const lowestMemory = "lowest memory limit"

func runTask(config string) string { return "run, " + config + " config" }

type task struct {
	name string
	run  func() error
}

// tasks returns the rows. Rows about time use the v2 view, where containers run today. v1 has
// controllers that v2 lacks on this kind of host.
func (c *contest) tasks() []task {
	tasks := []task{
		{runTask(minimal), func() error { return c.runRow(minimal) }},
		{runTask(standard), func() error { return c.runRow(standard) }},
		{runTask(pod), func() error { return c.runRow(pod) }},
		{"verbs", c.lifeRows},
		{"version", c.versionRow},
		{"waiting", c.waitingRow},
		{"throughput, 2 at a time", func() error { return c.throughputRow(2) }},
		{"throughput, 16 at a time", func() error { return c.throughputRow(16) }},
	}
	if !c.quick {
		tasks = append(tasks,
			task{"1000 containers", func() error { return c.containersRows(1000) }},
			task{"5000 containers", func() error { return c.containersRows(5000) }},
			task{"20000 mounts", func() error { return c.mountsRows(20000) }},
			task{overlayRow, c.overlayRows})
	}
	if c.view == v1 {
		tasks = tasks[2:3]
	}
	if c.view == v1 || c.view.has("memory") {
		tasks = append(tasks, task{lowestMemory, c.lowestMemoryRow})
	}
	return tasks
}

// all runs the tasks whose names match.
func all(tasks []task, only *regexp.Regexp) error {
	var failures []error
	for _, t := range tasks {
		if !only.MatchString(t.name) {
			continue
		}
		if err := t.run(); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", t.name, err))
		}
	}
	return errors.Join(failures...)
}
