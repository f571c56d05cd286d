package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// containersRows measures each verb while n created containers exist, and compares it with the same
// verb alone. runc is left out, because each of its waiting processes holds 12 MB.
func (c *contest) containersRows(n int) error {
	for _, w := range c.entries {
		if w.name == "runc" {
			continue
		}
		crowd := func() (func() error, error) { return c.crowd(w, n) }
		if err := c.compare(fmt.Sprintf("with %d containers", n), []contestant{w}, crowd); err != nil {
			return err
		}
	}
	return nil
}

// mountsRows measures each verb with n mounts in the caller's mount table. A new mount namespace
// begins with a copy of that table. The floor shows how much of the cost is the kernel's.
func (c *contest) mountsRows(n int) error {
	return c.compare(fmt.Sprintf("with %d mounts", n), c.entries, func() (func() error, error) {
		return manyMounts(n)
	})
}

// compare measures all verbs before a change of the host, with it, and after it was undone. The
// host may get busier or quieter in the meantime. So the results of before and after are compared
// with those in between.
func (c *contest) compare(what string, who []contestant, change func() (func() error, error)) error {
	alone, err := c.allVerbs(who)
	if err != nil {
		return err
	}
	undo, err := change()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	with, err := c.allVerbs(who)
	if err2 := undo(); err == nil {
		err = err2
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	again, err := c.allVerbs(who)
	if err != nil {
		return err
	}
	for _, verb := range append([]string{"run"}, verbs...) {
		results := map[string]*result{}
		for name, s := range alone[verb] {
			s.append(again[verb][name])
			results[name] = compared(s, with[verb][name])
		}
		c.mergeRow(row{Name: verb + " " + what, View: c.view, Unit: "times its time without", Results: results})
	}
	return nil
}

// compared returns the effect of the change: value is the ratio of the medians.
func compared(alone, with *series) *result {
	x, y := alone.result(), with.result()
	switch {
	case y.Error != "":
		return y
	case x.Error != "":
		return x
	}
	y.Value, y.Alone = y.Time.Median/x.Time.Median, x
	return y
}

// mergeRow adds a row. If a row with the same name exists, it adds the results to that row.
func (c *contest) mergeRow(r row) {
	for _, old := range c.rows {
		if old.Name == r.Name {
			for name, x := range r.Results {
				if old.Results[name] == nil {
					old.Results[name] = x
				}
			}
			r.Results = old.Results
			fmt.Fprintf(os.Stderr, "bench: %s: %s\n", c.view, r.oneLine())
			return
		}
	}
	c.addRow(r)
}

// allVerbs waits until the host is idle. Then it measures the verbs of a life and, in turn with the
// floor, `run`. After thousands of containers are gone, the kernel still removes their namespaces
// for seconds.
func (c *contest) allVerbs(who []contestant) (map[string]map[string]*series, error) {
	rest(time.Minute)
	all, err := c.lives(who, c.times(60, 10))
	if err != nil {
		return nil, err
	}
	run, err := c.runs(who, standard, c.times(60, 10))
	if err != nil {
		return nil, err
	}
	all["run"] = run
	return all, nil
}

// rest waits until the host's processors were idle for nine tenths of half a second, but not longer
// than limit.
func rest(limit time.Duration) {
	const period = 500 * time.Millisecond
	for end := time.Now().Add(limit); time.Now().Before(end); {
		idle, all := processorTime()
		time.Sleep(period)
		idle2, all2 := processorTime()
		if idle2-idle >= (all2-all)*9/10 {
			return
		}
	}
	fmt.Fprintf(os.Stderr, "bench: the host is still busy after %v\n", limit)
}

// processorTime returns how long the host's processors were idle, and the sum of all their time, in
// clock ticks: proc_stat(5).
func processorTime() (idle, all int64) {
	data, err := os.ReadFile("/proc/stat")
	must(err)
	line, _, _ := strings.Cut(string(data), "\n")
	for i, field := range strings.Fields(line)[1:9] { // guest time follows these fields, and is part of user time
		n, err := strconv.ParseInt(field, 10, 64)
		must(err)
		all += n
		if i == 3 || i == 4 { // idle, iowait
			idle += n
		}
	}
	return idle, all
}

// manyMounts adds n mounts to this mount namespace. It returns a function that removes them.
func manyMounts(n int) (func() error, error) {
	const top = workDir + "/mounts"
	if err := os.MkdirAll(top, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, ""); err != nil {
		return nil, fmt.Errorf("mount tmpfs: %w", err)
	}
	undo := func() error { return unix.Unmount(top, unix.MNT_DETACH) }
	for i := 0; i < n; i++ {
		dir := filepath.Join(top, strconv.Itoa(i))
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			err = unix.Mount(dir, dir, "", unix.MS_BIND, "")
		}
		if err != nil {
			return nil, fmt.Errorf("mount %d of %d: %w (%v)", i, n, err, undo())
		}
	}
	return undo, nil
}

// crowd creates n containers below another process, so that they are not among the children for
// which this process waits. It returns a function that removes them.
func (c *contest) crowd(w contestant, n int) (func() error, error) {
	cmd := exec.Command("/proc/self/exe", "-inner", string(c.view), "-crowd", w.name, "-crowd-size", strconv.Itoa(n))
	if c.counts {
		cmd.Args = append(cmd.Args, "-counts")
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	undo := func() error {
		stdin.Close()
		return cmd.Wait()
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("said %q: %w (%v)", line, err, undo())
	}
	return undo, nil
}

// keepCrowd runs in the process that crowd starts. It reports when the containers exist, and
// removes them when its standard input is closed.
//
// With networks, each container has a network namespace and a sysfs.
func keepCrowd(v view, name string, n int, networks bool) error {
	r, err := newRunner(v)
	if err != nil {
		return err
	}
	c := &contest{runner: r, view: v}
	var w contestant
	for _, x := range runtimes {
		if x.name == name {
			w = x
		}
	}
	edit := stays
	if networks {
		edit = func(s *specs.Spec) {
			stays(s)
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs"})
		}
	}
	bundles := make([]string, n)
	id := func(i int) string { return "crowd" + strconv.Itoa(i) }
	for i := range bundles {
		if bundles[i], err = bundle(w, minimal, v, id(i), edit); err != nil {
			return err
		}
	}
	if _, err := c.together(2, n, func(i int) []string { return w.argv("create", "--bundle", bundles[i], id(i)) }); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	fmt.Println("ready")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	_, err = c.together(2, n, func(i int) []string { return w.argv("delete", "--force", id(i)) })
	return err
}
