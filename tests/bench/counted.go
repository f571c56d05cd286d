package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// For kernels newer than the host's, the benchmark runs in a virtual machine whose clock counts the
// guest's instructions (-icount of QEMU). Each instruction takes a nanosecond, whatever the host is
// doing. A processor executes a million of them in about a third of a millisecond. Cache misses are
// not visible.

const instructions = "million instructions"

// ways returns the runtimes, and a davit that enters a container as on older kernels.
func (c *contest) ways() []contestant {
	older := contestant{name: "older way", path: c.entries[0].path, env: "DAVIT_NO_ENTER=1"}
	return append([]contestant{c.entries[0], older}, c.entries[1:]...)
}

// countedTasks returns the rows about costs that grow with the host.
func (c *contest) countedTasks() []task {
	return []task{
		{"counted: mounts", c.countMounts},
		{"counted: at once", c.countAtOnce},
		{"counted: containers", c.countContainers},
	}
}

// userNamespace gives a config a user namespace.
func userNamespace(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = s.Linux.UIDMappings
}

// countRuns adds a row of `run` with each of the ways, in turn. The first turn warms the caches.
func (c *contest) countRuns(what string, n int, edit func(*specs.Spec)) error {
	by := map[string]*series{}
	for turn := -1; turn < n; turn++ {
		for _, w := range c.ways() {
			if by[w.name] == nil {
				by[w.name] = &series{}
			}
			s := by[w.name]
			if s.err != nil {
				continue
			}
			dir, err := bundle(w, standard, c.view, "counted", edit)
			if err != nil {
				return err
			}
			c.env = w.env
			took, err := c.run(w.argv("run", "--bundle", dir, "counted")...)
			if s.err = err; err == nil && turn >= 0 {
				s.add(took)
			}
		}
	}
	c.env = ""
	c.enterCounted("run "+what, by)
	return nil
}

func (c *contest) enterCounted(name string, by map[string]*series) {
	r := row{Name: name, View: c.view, Unit: instructions, Results: map[string]*result{}}
	for who, s := range by {
		x := s.result()
		x.Value = x.Time.Median
		r.Results[who] = x
	}
	c.addRow(r)
}

// withMounts calls do in a mount namespace with n more mounts.
func withMounts(n int, do func() error) error {
	if n == 0 {
		return do()
	}
	undo, err := manyMounts(n)
	if err != nil {
		return err
	}
	err = do()
	if err2 := undo(); err == nil {
		err = err2
	}
	return err
}

// mountCounts says how many mounts the host gets in addition to its own, and how often `run` is
// measured with them.
var mountCounts = []struct{ mounts, turns int }{{0, 9}, {2000, 5}, {20000, 3}}

func (c *contest) countMounts() error {
	for _, host := range mountCounts {
		err := withMounts(host.mounts, func() error {
			what := fmt.Sprintf("with %d mounts", countOf("/proc/self/mountinfo"))
			if err := c.countRuns(what, host.turns, nil); err != nil {
				return err
			}
			return c.countRuns(what+", user namespace", host.turns, userNamespace)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// countOf returns the number of lines of a file.
func countOf(file string) int {
	data, err := os.ReadFile(file)
	must(err)
	return strings.Count(string(data), "\n")
}

// countAtOnce starts a hundred containers before the first has ended.
func (c *contest) countAtOnce() error {
	const containers = 100
	by := map[string]*series{}
	for _, w := range c.ways() {
		dirs := make([]string, containers)
		for i := range dirs {
			var err error
			if dirs[i], err = bundle(w, standard, c.view, "once"+strconv.Itoa(i), nil); err != nil {
				return err
			}
		}
		c.env = w.env
		took, err := c.together(containers, containers, func(i int) []string {
			return w.argv("run", "--bundle", dirs[i], "once"+strconv.Itoa(i))
		})
		by[w.name] = &series{wall: []float64{ms(took) / containers}, cpu: []float64{0}, err: err}
	}
	c.env = ""
	c.enterCounted("run, each of 100 at once", by)
	return nil
}

// countContainers measures `run`, and the mount of a sysfs, with thousands of containers on the
// host. davit makes all of them, because it is the kernel's part that grows.
func (c *contest) countContainers() error {
	const containers = 5000
	for _, n := range []int{0, containers} {
		if n > 0 {
			undo, err := c.crowd(c.entries[0], n)
			if err != nil {
				return err
			}
			// They are not removed: that takes as long as to make them, and the machine ends with the
			// benchmark. But they would be, as soon as the collector closes the pipe that undo has.
			defer runtime.KeepAlive(undo)
		}
		what := fmt.Sprintf("with %d containers", n)
		if err := c.countRuns(what, 5, nil); err != nil {
			return err
		}
		if err := c.countCalls(what); err != nil {
			return err
		}
	}
	return nil
}

// countCalls measures those calls of `run` that look at all containers of the host.
func (c *contest) countCalls(what string) error {
	sysfs, pivot := &series{}, &series{}
	for range 9 {
		one, other, err := timeCalls()
		if err != nil {
			return err
		}
		sysfs.wall, pivot.wall = append(sysfs.wall, ms(one)), append(pivot.wall, ms(other))
	}
	sysfs.cpu, pivot.cpu = []float64{0}, []float64{0}
	c.enterCounted("mount(2) of a sysfs "+what, map[string]*series{"davit": sysfs})
	c.enterCounted("pivot_root(2) "+what, map[string]*series{"older way": pivot})
	return nil
}

// timeCalls measures mount(2) of a sysfs for a new network namespace, and pivot_root(2). It does so
// on a thread in namespaces of its own.
func timeCalls() (sysfs, pivot time.Duration, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // it is not unlocked: the namespaces end with the thread
		if err = unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
			return
		}
		at := filepath.Join(workDir, "calls")
		if err = os.MkdirAll(at, 0o755); err != nil {
			return
		}
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return
		}
		from := time.Now()
		if err = unix.Mount("sysfs", at, "sysfs", 0, ""); err != nil {
			return
		}
		sysfs = time.Since(from)
		if err = unix.Chdir(at); err != nil {
			return
		}
		from = time.Now()
		err = unix.PivotRoot(".", ".")
		pivot = time.Since(from)
	}()
	<-done
	return sysfs, pivot, err
}

// measureKernel measures the rows in a virtual machine, and writes them as a table.
func measureKernel(o options) error {
	machine := []string{"--kernel", o.kernel, "--count", "--mem", "8192", "--timeout", "7200"}
	found, err := inVM(o, machine, "-counts", "-rows", o.only)
	if err != nil {
		return err
	}
	text := found.counted()
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(o.out, "kernel-"+o.kernel+".md"), []byte(text), 0o644)
}

// counted returns the table of the rows, in instructions.
func (r *report) counted() string {
	columns := []string{"davit", "older way", "crun", "runc"}
	var b strings.Builder
	fmt.Fprintf(&b, "# By instructions, on a newer kernel\n\nWritten by `make bench KERNEL=`, %s: %s, in QEMU, whose clock counts instructions.\n"+
		"davit %s, crun %s, runc %s. *older way* is davit with DAVIT_NO_ENTER=1.\n\n", r.Date, r.Host, r.Versions["davit"], r.Versions["crun"], r.Versions["runc"])
	b.WriteString("Millions of instructions of the whole machine, median (quartiles; how many).\n\n| | " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat(" --- |", len(columns)+1) + "\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |", row.Name)
		for _, name := range columns {
			switch x := row.Results[name]; {
			case x == nil:
				b.WriteString(" |")
			case x.Error != "":
				b.WriteString(" failed |")
			case x.Time.N == 1:
				fmt.Fprintf(&b, " %s |", figure(x.Value))
			default:
				fmt.Fprintf(&b, " %s (%s to %s; %d) |", figure(x.Value), figure(x.Time.Q1), figure(x.Time.Q3), x.Time.N)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// figure formats x with about three digits.
func figure(x float64) string {
	switch {
	case x < 1:
		return strconv.FormatFloat(x, 'f', 3, 64)
	case x < 100:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

// smallRoot copies the runtimes, and the libraries that they load, from root to a directory in
// memory. The reason is that the clock, which counts instructions, jumps ahead while the machine
// waits for a file of the host.
func smallRoot(root string) (string, error) {
	small, err := os.MkdirTemp("", "davit-bench-root")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(small, 0o755); err != nil { // so that user namespaces can enter it
		return "", err
	}
	for _, dir := range []string{"dev", "media", "mnt", "opt", "proc", "run", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(small, dir), 0o755); err != nil {
			return "", err
		}
	}
	for _, w := range runtimes[1:] {
		cmd := exec.Command("/usr/bin/ldd", w.path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		said, _ := cmd.Output() // for a static program this is an error
		for _, file := range append(strings.Fields(string(said)), w.path) {
			if !strings.HasPrefix(file, "/") {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(small+file), 0o755); err != nil {
				return "", err
			}
			if err := copyProgram(root+file, small+file); err != nil {
				return "", err
			}
		}
	}
	return small, nil
}
