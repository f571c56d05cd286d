package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var verbs = []string{"create", "state", "start", "exec", "kill", "delete"}

// runRow measures `run` of /bin/true.
func (c *contest) runRow(config string) error {
	all, err := c.runs(c.entries, config, c.times(300, 40))
	if err != nil {
		return err
	}
	c.enter(runTask(config), "ms", all)
	return nil
}

// runs measures `run` with some runtimes, and with the floor, in turn.
func (c *contest) runs(who []contestant, config string, n int) (map[string]*series, error) {
	dirs := map[string]string{}
	for _, w := range who {
		var err error
		if dirs[w.name], err = bundle(w, config, c.view, "run", nil); err != nil {
			return nil, err
		}
	}
	floor := contestant{name: floorName, path: fmt.Sprintf("%s/floor-%s-%s", toolsDir, c.view, config)}
	all := c.alternate(append(append([]contestant(nil), who...), floor), n, func(w contestant, note func(string, sample)) error {
		argv := []string{w.path}
		if w.name != floorName {
			argv = w.argv("run", "--bundle", dirs[w.name], "run")
		}
		s, err := c.run(argv...)
		note("run", s)
		return err
	})
	return all["run"], nil
}

// lifeRows measures each verb on the default config, in the order in which engines call them.
func (c *contest) lifeRows() error {
	all, err := c.lives(c.entries, c.times(200, 30))
	if err != nil {
		return err
	}
	for _, verb := range verbs {
		c.enter(verb, "ms", all[verb])
	}
	return nil
}

func (c *contest) lives(who []contestant, n int) (map[string]map[string]*series, error) {
	dirs := map[string]string{}
	for _, w := range who {
		var err error
		if dirs[w.name], err = bundle(w, standard, c.view, "life", stays); err != nil {
			return nil, err
		}
	}
	return c.alternate(who, n, func(w contestant, note func(string, sample)) error {
		return c.life(w, dirs[w.name], note)
	}), nil
}

// life takes one container through all verbs. Before it calls delete, it waits until the killed
// process has ended, because the kernel needs time for that.
func (c *contest) life(w contestant, dir string, note func(string, sample)) error {
	const id = "life"
	pidFile := filepath.Join(dir, "pid")
	args := map[string][]string{
		"create": {"--bundle", dir, "--pid-file", pidFile, id},
		"exec":   {id, "/bin/true"},
		"kill":   {id, "KILL"},
	}
	for _, verb := range verbs {
		a := args[verb]
		if a == nil {
			a = []string{id}
		}
		if verb == "delete" {
			pid, err := readPid(pidFile)
			if err != nil {
				return err
			}
			if err := c.gone(pid); err != nil {
				return err
			}
		}
		s, err := c.run(w.argv(verb, a...)...)
		note(verb, s)
		if err != nil {
			return err
		}
	}
	return nil
}

func readPid(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// versionRow measures what it costs to start the program.
func (c *contest) versionRow() error {
	all := c.alternate(c.entries, c.times(200, 30), func(w contestant, note func(string, sample)) error {
		s, err := c.run(w.path, "--version")
		note("version", s)
		return err
	})
	c.enter("--version", "ms", all["version"])
	return nil
}

// throughputRow measures how many containers run in a second, when a hundred are run, k at a time.
func (c *contest) throughputRow(k int) error {
	const containers = 100
	by := map[string]*series{}
	bundles := map[string][]string{}
	for _, w := range c.entries {
		by[w.name] = &series{}
		for i := 0; i < containers; i++ {
			dir, err := bundle(w, standard, c.view, "many"+strconv.Itoa(i), nil)
			if err != nil {
				return err
			}
			bundles[w.name] = append(bundles[w.name], dir)
		}
	}
	for round := 0; round < c.times(7, 2); round++ {
		for j := range c.entries {
			w := c.entries[(round+j)%len(c.entries)]
			s := by[w.name]
			if s.err != nil {
				continue
			}
			took, err := c.together(k, containers, func(i int) []string {
				return w.argv("run", "--bundle", bundles[w.name][i], "many"+strconv.Itoa(i))
			})
			s.wall, s.err = append(s.wall, containers/took.Seconds()), err
		}
	}
	r := row{Name: fmt.Sprintf("100 containers, %d at a time", k), View: c.view, Unit: "containers/s",
		Results: map[string]*result{}}
	for name, s := range by {
		r.Results[name] = &result{Value: median(s.wall), Time: summarize(s.wall)}
		if s.err != nil {
			r.Results[name] = &result{Error: s.err.Error()}
		}
	}
	c.addRow(r)
	return nil
}

// together runs n commands, k at a time.
func (c *contest) together(k, n int, argv func(int) []string) (time.Duration, error) {
	var failure error
	from := time.Now()
	running := map[int]bool{}
	for next := 0; next < n || len(running) > 0; {
		for len(running) < k && next < n {
			pid, err := c.start(argv(next))
			if err != nil {
				return 0, err
			}
			running[pid] = true
			next++
		}
		pid, status, err := reap()
		if err != nil {
			return 0, err
		}
		if running[pid] && status != 0 {
			failure = fmt.Errorf("exit status %d: %s", status.ExitStatus(), c.said())
		}
		delete(running, pid)
	}
	return time.Since(from), failure
}

func (c *contest) addRow(r row) {
	c.rows = append(c.rows, r)
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", c.view, r.oneLine())
}

const waitingPrivate = "waiting process, private memory"

// waitingRow measures the memory of a container's process between create and start.
func (c *contest) waitingRow() error {
	private := row{Name: waitingPrivate, View: c.view, Unit: "kB", Results: map[string]*result{}}
	share := row{Name: "waiting process, proportional memory", View: c.view, Unit: "kB", Results: map[string]*result{}}
	for _, w := range c.entries {
		sizes, err := c.waitingMemory(w)
		if err != nil {
			private.Results[w.name] = &result{Error: err.Error()}
			share.Results[w.name] = &result{Error: err.Error()}
			continue
		}
		private.Results[w.name] = &result{Value: sizes["Private_Clean:"] + sizes["Private_Dirty:"]}
		share.Results[w.name] = &result{Value: sizes["Pss:"]}
	}
	c.addRow(private)
	c.addRow(share)
	return nil
}

// waitingMemory returns the sizes in /proc/PID/smaps_rollup, in kB.
func (c *contest) waitingMemory(w contestant) (map[string]float64, error) {
	dir, err := bundle(w, standard, c.view, "waiting", stays)
	if err != nil {
		return nil, err
	}
	pidFile := filepath.Join(dir, "pid")
	if _, err := c.run(w.argv("create", "--bundle", dir, "--pid-file", pidFile, "waiting")...); err != nil {
		return nil, err
	}
	pid, err := readPid(pidFile)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return nil, err
	}
	sizes := map[string]float64{}
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			sizes[f[0]], _ = strconv.ParseFloat(f[1], 64)
		}
	}
	_, err = c.run(w.argv("delete", "--force", "waiting")...)
	return sizes, err
}

// lowestMemoryRow measures the smallest limit, swap included, under which /bin/true runs.
func (c *contest) lowestMemoryRow() error {
	r := row{Name: lowestMemory, View: c.view, Unit: "KiB", Results: map[string]*result{}}
	for _, w := range c.entries {
		lowest, err := c.lowestMemory(w)
		if err != nil {
			r.Results[w.name] = &result{Error: err.Error()}
			continue
		}
		r.Results[w.name] = &result{Value: float64(lowest)}
	}
	c.addRow(r)
	return nil
}

// lowestMemory halves the range that contains the limit until it is a page of 4 KiB.
func (c *contest) lowestMemory(w contestant) (int, error) {
	low, high := 0, 16<<10 // KiB; the low limit fails, the high one works
	if err := c.runsWith(w, high); err != nil {
		return 0, fmt.Errorf("not even with %d KiB: %w", high, err)
	}
	for high-low > 4 {
		middle := (low + high) / 2 &^ 3
		works := true
		for try := 0; works && try < 3; try++ {
			works = c.runsWith(w, middle) == nil
		}
		if works {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

// runsWith runs /bin/true with a memory limit of kib KiB.
func (c *contest) runsWith(w contestant, kib int) error {
	dir, err := bundle(w, standard, c.view, "memory", func(s *specs.Spec) {
		limit := int64(kib) << 10
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	})
	if err != nil {
		return err
	}
	_, err = c.run(w.argv("run", "--bundle", dir, "memory")...)
	if err != nil {
		_, _ = c.run(w.argv("delete", "--force", "memory")...) // removes what a failed run has left, which is mostly nothing
	}
	return err
}
