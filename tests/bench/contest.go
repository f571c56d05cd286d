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

// contestant is a runtime, or the floor. The floor is one program for each config.
type contestant struct {
	name string
	path string // the runtime's path, or that of the floor's programs without the config's name
	env  string // one more variable for its environment, or ""
}

const floorName = "floor"

// runtimes are compared row by row. The first one is davit.
var runtimes = []contestant{
	{name: "davit", path: toolsDir + "/davit"},
	{name: "crun", path: "/usr/bin/crun"},
	{name: "runc", path: "/usr/sbin/runc"},
}

// argv returns the command line of a verb. All runtimes have runc's.
func (c contestant) argv(verb string, args ...string) []string {
	return append([]string{c.path, "--root", filepath.Join(stateDir, c.name), verb}, args...)
}

// contest is one benchmark in one view of the cgroups. It has what its rows share.
type contest struct {
	*runner
	view      view
	quick     bool
	counts    bool   // the clock counts instructions
	callEvent uint64 // number of the tracepoint of system calls
	rows      []row
	entries   []contestant // the runtimes that exist
}

// row is one line of the table. In turn, each contestant does the same thing.
type row struct {
	Name    string             `json:"name"`
	View    view               `json:"view"`
	Unit    string             `json:"unit"`
	Results map[string]*result `json:"results"`
}

// result is what a row measured for one contestant.
type result struct {
	Time   summary `json:"time"`
	CPU    float64 `json:"cpu_ms"`       // median of user and system time of all processes
	Faults int64   `json:"page_faults"`  // the smallest number, because other work of the host only adds to it
	Calls  int64   `json:"system_calls"` // the smallest number
	Value  float64 `json:"value"`        // for rows that are not about time
	Error  string  `json:"error,omitempty"`
	Alone  *result `json:"alone,omitempty"` // for rows that compare: the same on a host with nothing else
}

func newContest(v view, quick bool) (*contest, error) {
	r, err := newRunner(v)
	if err != nil {
		return nil, err
	}
	id, err := callEvent()
	if err != nil {
		return nil, err
	}
	c := &contest{runner: r, view: v, quick: quick, callEvent: id}
	for _, w := range runtimes {
		if _, err := os.Stat(w.path); err == nil {
			c.entries = append(c.entries, w)
		}
	}
	return c, nil
}

// versions asks each runtime for its version.
func (c *contest) versions() map[string]string {
	all := map[string]string{}
	for _, w := range c.entries {
		if _, err := c.run(w.path, "--version"); err == nil {
			all[w.name] = strings.TrimPrefix(c.said(), w.name+" version ")
		}
	}
	return all
}

// sizes returns the sizes of the runtimes' programs. crun also needs its libraries.
func (c *contest) sizes() map[string]int64 {
	all := map[string]int64{}
	for _, w := range c.entries {
		if info, err := os.Stat(w.path); err == nil {
			all[w.name] = info.Size()
		}
	}
	return all
}

// series collects the samples of one contestant for one row.
type series struct {
	wall, cpu, faults, calls []float64
	err                      error
}

func (s *series) add(x sample) {
	s.wall = append(s.wall, ms(x.wall))
	s.cpu = append(s.cpu, ms(x.cpu))
}

func (s *series) count(x sample) {
	s.faults = append(s.faults, float64(x.faults))
	s.calls = append(s.calls, float64(x.calls))
}

// append adds the samples of another series.
func (s *series) append(other *series) {
	s.wall, s.cpu = append(s.wall, other.wall...), append(s.cpu, other.cpu...)
	s.faults, s.calls = append(s.faults, other.faults...), append(s.calls, other.calls...)
	if s.err == nil {
		s.err = other.err
	}
}

func (s *series) result() *result {
	if s.err != nil {
		return &result{Error: s.err.Error()}
	}
	return &result{
		Time: summarize(s.wall), CPU: median(s.cpu),
		Faults: least(s.faults), Calls: least(s.calls),
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// times returns how often something is done: complete or quick, depending on the kind of benchmark.
func (c *contest) times(complete, quick int) int {
	if c.quick {
		return quick
	}
	return complete
}

// alternate lets every contestant take its turn, n times, each time in another order. The first
// turns warm the caches. In the last turns the counters are open, and these turns count.
func (c *contest) alternate(who []contestant, n int, turn func(contestant, func(string, sample)) error) map[string]map[string]*series {
	const warm, counted = 3, 7
	all := map[string]map[string]*series{} // by step and contestant
	failed := map[string]error{}
	at := func(step, name string) *series {
		if all[step] == nil {
			all[step] = map[string]*series{}
		}
		if all[step][name] == nil {
			all[step][name] = &series{}
		}
		return all[step][name]
	}
	for i := -warm; i < n+counted; i++ {
		if i == n {
			must(c.openCounters())
		}
		for j := range who {
			w := who[(i+warm+j)%len(who)]
			if failed[w.name] != nil {
				continue
			}
			failed[w.name] = turn(w, func(step string, s sample) {
				switch {
				case i >= n:
					at(step, w.name).count(s)
				case i >= 0:
					at(step, w.name).add(s)
				}
			})
			if err := failed[w.name]; err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s: %v\n", w.name, err)
			}
		}
	}
	c.closeCounters()
	for step := range all {
		for name, err := range failed {
			at(step, name).err = err
		}
	}
	return all
}

func (c *contest) openCounters() (err error) {
	if c.runner.faults, err = newFaultCounter(); err != nil {
		return err
	}
	if c.runner.calls, err = newCallCounter(c.callEvent); err != nil {
		return err
	}
	return c.calibrate()
}

func (c *contest) closeCounters() {
	c.runner.faults.close()
	c.runner.calls.close()
	c.runner.faults, c.runner.calls = nil, nil
}

// enter adds a row with each contestant's result for a step.
func (c *contest) enter(name, unit string, by map[string]*series) {
	r := row{Name: name, View: c.view, Unit: unit, Results: map[string]*result{}}
	for who, s := range by {
		r.Results[who] = s.result()
	}
	c.rows = append(c.rows, r)
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", c.view, r.oneLine())
}

// oneLine returns a line that shows the progress of the benchmark.
func (r row) oneLine() string {
	var b strings.Builder
	b.WriteString(r.Name + ":")
	for _, name := range contestantNames {
		if x := r.Results[name]; x != nil {
			fmt.Fprintf(&b, " %s %s", name, x.headline(r.Unit))
		}
	}
	return b.String()
}

func (x *result) headline(unit string) string {
	switch {
	case x.Error != "":
		return "failed"
	case unit == "ms":
		return fmt.Sprintf("%.2f", x.Time.Median)
	}
	return strconv.FormatFloat(x.Value, 'f', 2, 64)
}

// bundle writes a bundle for a contestant and returns its directory. edit may be nil.
func bundle(c contestant, config string, v view, id string, edit func(*specs.Spec)) (string, error) {
	s := newConfig(config, v, c.name+"-"+id)
	if edit != nil {
		edit(s)
	}
	dir := filepath.Join(bundlesDir, c.name, config, id)
	return dir, writeBundle(dir, s)
}

// stays gives the container a process that keeps running.
func stays(s *specs.Spec) { s.Process.Args = sleeper }
