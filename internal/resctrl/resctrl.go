// Package resctrl puts a container into a class of Intel's Resource Director Technology
// (config-linux.md, "IntelRdt"; kernel documentation, filesystems/resctrl.rst).
package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mountpoint is where resctrl is mounted, on hosts that have it.
const Mountpoint = "/sys/fs/resctrl"

// ErrMissing says that resctrl is not mounted on this host.
var ErrMissing = errors.New("no resctrl file system is mounted on " + Mountpoint + ": the processor or the kernel has no resource director technology, or nobody mounted it")

// Group has a container's control group, and its monitoring group if it has one.
type Group struct {
	Dir string // the control group, "" unless it was made for the container
	Mon string // the monitoring group, "" unless it was made for the container

	id     string
	class  string // the directory of the control group, whoever made it
	config *specs.LinuxIntelRdt
}

// Mounted reports whether resctrl is mounted.
func Mounted() bool {
	var fs unix.Statfs_t
	return unix.Statfs(Mountpoint, &fs) == nil && fs.Type == unix.RDTGROUP_SUPER_MAGIC
}

// New decides which groups a container gets. It changes nothing.
func New(config *specs.LinuxIntelRdt, id string) (*Group, error) {
	if !Mounted() {
		return nil, ErrMissing
	}
	return group(Mountpoint, config, id), nil
}

func group(root string, config *specs.LinuxIntelRdt, id string) *Group {
	name := config.ClosID // "/" stands for the root class
	if name == "" {
		name = id
	}
	return &Group{id: id, class: filepath.Join(root, name), config: config}
}

// Make makes the groups that New has decided on, and sets the schemata. After an error it removes
// what it has made.
func (g *Group) Make() error {
	lines := schemata(g.config)
	fresh, err := g.makeClass(len(lines) > 0)
	if err != nil {
		return err
	}
	if err := g.fill(lines); err != nil {
		if fresh {
			err = errors.Join(err, unix.Rmdir(g.class))
			g.Dir = ""
		}
		return err
	}
	return nil
}

// schemata returns the lines to write, in the order of config-linux.md.
func schemata(c *specs.LinuxIntelRdt) []string {
	lines := make([]string, 0, 2+len(c.Schemata))
	for _, l := range append([]string{c.L3CacheSchema, c.MemBwSchema}, c.Schemata...) {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// fill sets the schemata of the class, and makes the monitoring group in it.
func (g *Group) fill(lines []string) error {
	for _, line := range lines {
		if err := write(filepath.Join(g.class, "schemata"), line); err != nil {
			return err
		}
	}
	if !g.config.EnableMonitoring {
		return nil
	}
	mon := filepath.Join(g.class, "mon_groups", g.id)
	if err := os.Mkdir(mon, 0o755); err != nil {
		return fmt.Errorf("enableMonitoring: %w", err)
	}
	g.Mon = mon
	return nil
}

// makeClass makes the control group unless it exists. fresh reports whether it has made it.
func (g *Group) makeClass(set bool) (fresh bool, err error) {
	own := g.config.ClosID == ""
	if !own && !set {
		if _, err := os.Stat(g.class); err != nil {
			return false, fmt.Errorf("closID: %w: a class without schemata has to be configured beforehand", err)
		}
		return false, nil
	}
	err = os.Mkdir(g.class, 0o755)
	switch {
	case err == nil && own:
		g.Dir = g.class
	case errors.Is(err, os.ErrExist) && !own:
		return false, g.compare()
	case err != nil:
		return false, fmt.Errorf("closID: %w", err)
	}
	return true, nil
}

// compare checks that a class which exists already has the schemata that the config asks for.
func (g *Group) compare() error {
	have, err := os.ReadFile(filepath.Join(g.class, "schemata"))
	if err != nil {
		return err
	}
	for _, want := range []struct{ field, line string }{{"l3CacheSchema", g.config.L3CacheSchema}, {"memBwSchema", g.config.MemBwSchema}} {
		if want.line != "" && !agrees(string(have), want.line) {
			return fmt.Errorf("%s: %q is not what %s has: %q", want.field, want.line, g.class, strings.TrimSpace(string(have)))
		}
	}
	return nil
}

// agrees reports whether the lines of a schemata file have the values of a line.
func agrees(file, line string) bool {
	resource, want := domains(line)
	for l := range strings.Lines(file) {
		name, have := domains(l)
		if name != resource {
			continue
		}
		for id, v := range want {
			if have[id] != v {
				return false
			}
		}
		return true
	}
	return false
}

// domains parses a line such as "L3:0=7f0;1=1f". It ignores leading zeros.
func domains(line string) (resource string, values map[string]string) {
	resource, list, _ := strings.Cut(strings.TrimSpace(line), ":")
	values = make(map[string]string)
	for d := range strings.SplitSeq(list, ";") {
		id, v, _ := strings.Cut(d, "=")
		values[strings.TrimLeft(strings.TrimSpace(id), "0")] = strings.TrimLeft(strings.ToLower(strings.TrimSpace(v)), "0")
	}
	return resource, values
}

func write(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		return fmt.Errorf("write %q to %s: %w%s", line, path, errors.Unwrap(err), lastStatus(filepath.Dir(filepath.Dir(path)), path))
	}
	return nil
}

// lastStatus returns what resctrl itself says about an error: the contents of info/last_cmd_status.
func lastStatus(dirs ...string) string {
	for _, d := range append(dirs, Mountpoint) {
		if text, err := os.ReadFile(filepath.Join(d, "info", "last_cmd_status")); err == nil {
			return " (" + strings.TrimSpace(string(text)) + ")"
		}
	}
	return ""
}

// Add moves a process to the groups.
func (g *Group) Add(pid int) error {
	dirs := []string{g.class}
	if g.Mon != "" {
		dirs = append(dirs, g.Mon)
	}
	for _, d := range dirs {
		if err := write(filepath.Join(d, "tasks"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes the groups that were made for the container. A group that does not exist is no
// error.
func (g *Group) Remove() error {
	for _, d := range []string{g.Mon, g.Dir} {
		if d == "" {
			continue
		}
		if err := unix.Rmdir(d); err != nil && err != unix.ENOENT {
			return fmt.Errorf("rmdir %s: %w", d, err)
		}
	}
	return nil
}
