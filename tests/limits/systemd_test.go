package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// property is a field of linux.resources with two values, and the output of `systemctl show` for
// each.
type property struct {
	field  string
	json   [2]string
	name   string
	values [2]string
}

var (
	memoryAndPids = []property{
		{"memory.limit", [2]string{"67108864", "83886080"}, "MemoryMax", [2]string{"67108864", "83886080"}},
		{"memory.swap", [2]string{"100663296", "134217728"}, "MemorySwapMax", [2]string{"33554432", "50331648"}},
		{"memory.reservation", [2]string{"16777216", "8388608"}, "MemoryLow", [2]string{"16777216", "8388608"}},
		{"pids.limit", [2]string{"100", "200"}, "TasksMax", [2]string{"100", "200"}},
		{"unified.memory\\.high", [2]string{`"50331648"`, `"max"`}, "MemoryHigh", [2]string{"50331648", "infinity"}},
	}
	cpuTime = []property{
		{"cpu.shares", [2]string{"512", "2048"}, "CPUWeight", [2]string{"59", "174"}},
		{"cpu.quota", [2]string{"20000", "60000"}, "CPUQuotaPerSecUSec", [2]string{"400ms", "600ms"}},
		{"cpu.period", [2]string{"50000", "100000"}, "CPUQuotaPeriodUSec", [2]string{"50ms", "100ms"}},
	}
	ofRoot = []property{
		{"cpu.cpus", [2]string{`"0"`, `"0-1"`}, "AllowedCPUs", [2]string{"0", "0-1"}},
		{"cpu.mems", [2]string{`"0"`, `"0"`}, "AllowedMemoryNodes", [2]string{"0", "0"}},
		{"blockIO.weight", [2]string{"500", "300"}, "IOWeight", [2]string{"4950", "2930"}},
		{"devices", [2]string{`[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]`,
			`[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"rw"}]`}, "DevicePolicy", [2]string{"strict", "strict"}},
	}
)

// needSystemd skips a test unless systemd is pid 1 and the machine may be thrown away: these tests
// make users.
func needSystemd(t *testing.T) {
	t.Helper()
	need(t)
	for _, sign := range []string{"/run/.vm", "/run/systemd/system"} {
		if _, err := os.Stat(sign); err != nil {
			t.Skip("needs a virtual machine with systemd: tests/vm/suite --systemd")
		}
	}
}

// ask runs a command as the user that runs the container.
func (c *container) ask(name string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = c.env, c.work
	if c.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *container) show(name string) string {
	c.t.Helper()
	args := []string{"show", "--value", "-p", name, "davit-" + c.id + ".scope"}
	if c.as != nil {
		args = append([]string{"--user"}, args...)
	}
	return c.ask("systemctl", args...)
}

// asChanges returns the properties as changes.
func asChanges(list []property) []change {
	var out []change
	for _, p := range list {
		out = append(out, change{field: p.field, json: p.json})
	}
	return out
}

// live takes a container through its life, in a scope with the properties of list. They must agree
// with the container's config all the time.
func (c *container) live(list []property) {
	t := c.t
	t.Helper()
	check := func(when string, n int) {
		t.Helper()
		for _, p := range list {
			if got := c.show(p.name); got != p.values[n] {
				t.Errorf("%s: %s: systemctl shows %s=%q, want %q", when, p.field, p.name, got, p.values[n])
			}
		}
		if c.as != nil && when == "created" {
			return // the user has no right to look into a process that waits for start
		}
		if out, err := c.try("verify", c.id); err != nil {
			t.Errorf("%s: davit verify: %v\n%s", when, err, out)
		}
	}
	c.create()
	if got := c.show("ControlGroup"); got != c.path {
		t.Errorf("the container is in %s, its unit in %s", c.path, got)
	}
	check("created", 0)
	c.davit("start", c.id)
	c.davit("exec", "--detach", "--pid-file", c.work+"/second", c.id, "sleep", "1000")
	text, _ := os.ReadFile(c.work + "/second")
	second, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if in, _ := os.ReadFile("/proc/" + strconv.Itoa(second) + "/cgroup"); strings.TrimSpace(string(in)) != "0::"+c.path {
		t.Errorf("exec's process is in %s", in)
	}
	c.davit("pause", c.id)
	if got := c.file("", "cgroup.events"); !strings.Contains(got, "frozen 1") {
		t.Errorf("paused: %s", got)
	}
	if state := c.davit("state", c.id); !strings.Contains(state, `"paused"`) {
		t.Errorf("paused: %s", state)
	}
	c.davit("resume", c.id)
	if got := c.file("", "cgroup.events"); !strings.Contains(got, "frozen 0") {
		t.Errorf("resumed: %s", got)
	}
	for _, p := range list {
		if p.field != "cpu.period" { // the period is set together with the quota; alone it would mean another quota for a moment
			c.update(encode(t, resources(1, "", asChanges(withPeriod(list, p))...)))
		}
	}
	check("updated", 1)
	if out, err := c.tryUpdate(`{"pids":{"limit":7},"memory":{"limit":104857600},"unified":{"memory.high":"10485760","memory.low":"many"}}`); err == nil || !strings.Contains(out, "linux.resources.unified[memory.low]") {
		t.Errorf("memory.low=many: %v, %s", err, out)
	}
	check("an update was refused", 1)
	if f := c.figures(); f.memory != 83886080 || f.pids != 200 || f.tasks != 2 {
		t.Errorf("containerd's library reads %+v", f)
	}
	c.davit("kill", c.id, "KILL")
	_, _ = syscall.Wait4(second, nil, 0, nil) // before init, because a pid namespace ends with its last process
	if s := c.wait(); s.Signal() != syscall.SIGKILL {
		t.Errorf("status %v", s)
	}
	if state := c.davit("state", c.id); !strings.Contains(state, `"stopped"`) {
		t.Errorf("killed: %s", state)
	}
	c.davit("delete", c.id)
	if got := c.show("ActiveState"); got != "inactive" {
		t.Errorf("deleted: the unit is %s", got)
	}
	if _, err := os.Stat("/sys/fs/cgroup" + c.path); err == nil {
		t.Errorf("deleted: %s is still there", c.path)
	}
}

func withPeriod(list []property, p property) []property {
	if p.field == "cpu.quota" {
		for _, other := range list {
			if other.field == "cpu.period" {
				return []property{p, other}
			}
		}
	}
	return []property{p}
}

// limit sets the first values in the config.
func (c *container) limit(list []property) {
	c.t.Helper()
	c.edit(func(s *specs.Spec) {
		text := encode(c.t, resources(0, "", asChanges(list)...))
		s.Linux.Resources = &specs.LinuxResources{}
		if err := json.Unmarshal([]byte(text), s.Linux.Resources); err != nil {
			c.t.Fatal(err)
		}
		s.Linux.CgroupsPath = "limits.slice:davit:" + c.id
	})
}

func TestSystemd(t *testing.T) {
	needSystemd(t)
	list := append(append(append([]property{}, memoryAndPids...), cpuTime...), ofRoot...)
	c := bundle(t, "system", nil, "sleep", "1000")
	c.args = append(c.args, "--systemd-cgroup")
	c.limit(list)
	c.live(list)
}

const userID = 1000

// user makes a user with a manager of its own, and gives the bundle to that user.
func (c *container) user() {
	t := c.t
	t.Helper()
	for file, line := range map[string]string{"passwd": "limits:x:%d:%[1]d::/tmp:/bin/sh\n", "group": "limits:x:%d:\n", "shadow": "limits:*:19000:0:99999:7:::\n"} {
		f, err := os.OpenFile("/etc/"+file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "%") {
			line = fmt.Sprintf(line, userID)
		}
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	unit := "user@" + strconv.Itoa(userID) + ".service"
	if out, err := exec.Command("systemctl", "start", unit).CombinedOutput(); err != nil {
		t.Fatalf("systemctl start %s: %v: %s", unit, err, out)
	}
	err := filepath.WalkDir(c.work, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, userID, userID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.as = &syscall.Credential{Uid: userID, Gid: userID}
	c.env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/tmp", "XDG_RUNTIME_DIR=/run/user/" + strconv.Itoa(userID)}
	if err := errors.Join(os.Chmod(filepath.Dir(c.work), 0o755), os.Remove(c.work+"/config.json")); err != nil {
		t.Fatal(err)
	}
	c.ask(davit, "spec", "--rootless")
	c.edit(func(s *specs.Spec) { s.Process.Terminal, s.Process.Args = false, []string{"sleep", "1000"} })
}

// The same as a user without privileges. The user's manager has the controllers memory, pids and
// cpu.
func TestSystemdUser(t *testing.T) {
	needSystemd(t)
	list := append(append([]property{}, memoryAndPids...), cpuTime...)
	c := bundle(t, "user", nil)
	c.user()
	c.args = append(c.args, "--systemd-cgroup")
	c.limit(list)
	c.live(list)

	// This davit runs within the manager's own part of the hierarchy, where it may make cgroups
	// itself.
	c.edit(func(s *specs.Spec) {
		s.Process.Args = []string{"cat", "/sys/fs/cgroup/pids.max"}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}})
	})
	for _, driver := range [][]string{{"--systemd-cgroup"}, nil} {
		if driver == nil {
			c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = "" })
		}
		args := append([]string{"--user", "--quiet", "--pipe", "--wait", "--collect", "--property=Delegate=yes", "--working-directory=" + c.work, "--", davit, "--root", c.work + "/state"}, driver...)
		if out := c.ask("systemd-run", append(args, "run", c.id)...); out != "100" {
			t.Errorf("%v from a unit of the user's: %q", driver, out)
		}
	}
}
