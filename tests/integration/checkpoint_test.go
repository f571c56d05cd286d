package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// criuPath puts a criu in PATH, once: Debian sid's, in the root directory that tests/peers/root makes, or the one that
// this host has. The one of Debian 12 is too old for current kernels.
var criuPath = sync.OnceValue(func() error {
	// CRIU tries the kernel's TCP out with a connection to itself.
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w\n%s", err, out)
	}
	if _, err := exec.LookPath("criu"); err == nil {
		return nil
	}
	out, err := exec.Command("../peers/root", "criu").Output()
	if err != nil {
		return fmt.Errorf("tests/peers/root criu: %w", err)
	}
	out, err = exec.Command("../peers/native", strings.TrimSpace(string(out)), "criu").CombinedOutput()
	if err != nil {
		return fmt.Errorf("tests/peers/native: %w\n%s", err, out)
	}
	dir := strings.TrimSpace(string(out))
	return os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
})

func needCriu(t *testing.T) {
	t.Helper()
	needRoot(t)
	if err := criuPath(); err != nil {
		t.Fatal(err)
	}
}

// counter counts in memory, and writes what it has counted so far.
const counter = `process.args=["sh","-c","i=0; while :; do i=$((i+1)); echo $i >/dev/shm/new; mv /dev/shm/new /dev/shm/n; sleep 0.01; done"]`

// saved is a container that is saved and restored.
type saved struct {
	*box
	id     string
	images string
}

func newSaved(t *testing.T, edits ...string) *saved {
	t.Helper()
	needCriu(t)
	b := newBox(t, append([]string{counter}, edits...)...)
	for dir := b.work; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) { // for user namespaces
		must(t, os.Chmod(dir, 0o755))
	}
	return &saved{b, "c1", filepath.Join(b.work, "images")}
}

// count awaits that the container has counted further than to n, and returns to where.
func (s *saved) count(n int) int {
	s.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		out, status := s.try("exec", s.id, "cat", "/dev/shm/n")
		if now, err := strconv.Atoi(strings.TrimSpace(out)); status == 0 && err == nil && now > n {
			return now
		}
	}
	s.t.Fatalf("it does not count further than to %d: %s", n, s.log("restore.log"))
	return 0
}

// log is the end of a log of CRIU's.
func (s *saved) log(name string) string {
	data, _ := os.ReadFile(filepath.Join(s.images, name))
	lines := strings.Split(string(data), "\n")
	return strings.Join(lines[max(len(lines)-20, 0):], "\n")
}

func (s *saved) checkpoint(args ...string) {
	s.t.Helper()
	s.davit(slices.Concat([]string{"checkpoint", "--image-path", s.images}, args, []string{s.id})...)
}

func (s *saved) restore(args ...string) {
	s.t.Helper()
	s.davit(slices.Concat([]string{"restore", "--detach", "--image-path", s.images}, args, []string{s.id})...)
}

func (s *saved) gone() {
	s.t.Helper()
	if out, status := s.try("state", s.id); status != 1 || !strings.Contains(out, "does not exist") {
		s.t.Fatalf("state: exit status %d\n%s", status, out)
	}
}

// looks is what /proc tells of the container's process that a restore must not change.
func (s *saved) looks() map[string]string {
	s.t.Helper()
	state, err := stateOf(s.root, s.id)
	must(s.t, err)
	dir := fmt.Sprintf("/proc/%d/", state.Pid)
	read := func(name string) string {
		data, err := os.ReadFile(dir + name)
		must(s.t, err)
		return string(data)
	}
	all := map[string]string{}
	for line := range strings.Lines(read("status")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "NSpid",
			"Cpus_allowed", "Mems_allowed", "SigBlk", "SigIgn", "SigCgt", "CoreDumping", "THP_enabled":
			if name == "NSpid" { // the host's pid is another one
				value = strings.Join(strings.Fields(value)[1:], " ")
			}
			all["status "+name] = strings.TrimSpace(value)
		}
	}
	var mounts []string
	for line := range strings.Lines(read("mountinfo")) {
		line = regexp.MustCompile(` (shared|master|propagate_from):\d+`).ReplaceAllString(strings.TrimSpace(line), " $1")
		mounts = append(mounts, strings.Join(strings.Fields(line)[3:], " ")) // without ids and device numbers
	}
	slices.Sort(mounts)
	all["mountinfo"] = strings.Join(mounts, "\n")
	all["cgroup"] = read("cgroup")
	all["limits"] = read("limits")
	all["oom_score_adj"] = read("oom_score_adj")
	all["personality"] = read("personality")
	all["environ"] = read("environ")
	return all
}

func (s *saved) sameLooks(before map[string]string) {
	s.t.Helper()
	now := s.looks()
	for name, value := range before {
		if now[name] != value {
			s.t.Errorf("%s was\n%s\nand is\n%s", name, value, now[name])
		}
	}
}

// The bundle of the README, and variations of it.
func TestCheckpoint(t *testing.T) {
	for _, test := range []struct {
		name  string
		edits []string
	}{
		{name: "default"},
		{name: "writable root", edits: []string{"root.readonly=false"}},
		{name: "bind mounts", edits: []string{`mounts+={"destination":"/mnt/volume","type":"bind","source":"/usr/share","options":["bind","ro","nosuid"]}`,
			`mounts+={"destination":"/etc/host name","type":"bind","source":"/etc/hostname","options":["rbind","ro"]}`, "root.readonly=false"}},
		{name: "memory limit", edits: []string{"linux.resources.memory.limit=8388608", "linux.resources.pids.limit=10"}},
		{name: "user", edits: []string{"process.user.uid=1000", "process.user.gid=1000", `mounts[3].options=["nosuid","mode=1777"]`}},
		{name: "user namespace", edits: []string{`linux.namespaces+={"type":"user"}`,
			`linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`, `linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`}},
		{name: "time namespace", edits: []string{`linux.namespaces+={"type":"time"}`, `linux.timeOffsets={"boottime":{"secs":1000}}`}},
		{name: "no cgroup namespace", edits: []string{`linux.namespaces=[{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}]`}},
		{name: "host's network", edits: []string{`linux.namespaces=[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"}]`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "user" && !mayRaiseLimits(t) {
				t.Skip("no CAP_SYS_RESOURCE: CRIU cannot read the limits of another user's process")
			}
			if test.name == "memory limit" && !hasController("memory") {
				t.Skip("no controller memory in this view (unified)")
			}
			s := newSaved(t, test.edits...)
			s.davit("run", "--detach", s.id)
			n := s.count(3)
			before := s.looks()
			s.checkpoint()
			s.gone()
			s.restore()
			s.count(n)
			s.sameLooks(before)
			s.davit("delete", "--force", s.id)
		})
	}
}

// With --leave-running the container goes on, and can be saved again.
func TestCheckpointLeaveRunning(t *testing.T) {
	s := newSaved(t)
	s.davit("run", "--detach", s.id)
	for range 2 {
		n := s.count(3)
		s.checkpoint("--leave-running")
		s.count(n)
	}
	s.davit("delete", "--force", s.id)
	s.restore()
	s.count(3)
	s.davit("delete", "--force", s.id)
}

// mayRaiseLimits reports whether this process has CAP_SYS_RESOURCE.
func mayRaiseLimits(t *testing.T) bool {
	data, err := os.ReadFile("/proc/self/status")
	must(t, err)
	caps, err := strconv.ParseUint(regexp.MustCompile(`CapEff:\s*(\w+)`).FindStringSubmatch(string(data))[1], 16, 64)
	must(t, err)
	return caps&(1<<24) != 0
}
