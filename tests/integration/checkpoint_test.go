package integration

import (
	"fmt"
	"io"
	"net"
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

	"golang.org/x/sys/unix"
)

// criuReady prepares the network namespace of these tests for CRIU, once.
var criuReady = sync.OnceValue(func() error {
	// CRIU tests the kernel's TCP with a connection to itself.
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w\n%s", err, out)
	}
	return nil
})

// needCriu skips a test if there is no criu in PATH. In CI `make test` puts Debian sid's criu
// there: these tests have no network to fetch it, and Debian 12's is too old for current kernels.
func needCriu(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := exec.LookPath("criu"); err != nil {
		t.Skip("no CRIU in PATH: tests/peers/native makes one")
	}
	must(t, criuReady())
}

// counter counts in memory, and writes the current count to a file.
const counter = `process.args=["sh","-c","i=0; while :; do i=$((i+1)); echo $i >/dev/shm/new; mv /dev/shm/new /dev/shm/n; sleep 0.01; done"]`

// saved is a container that a test saves and restores.
type saved struct {
	*box
	id     string
	images string
}

func newSaved(t *testing.T, edits ...string) *saved {
	t.Helper()
	needCriu(t)
	b := newBox(t, append([]string{counter}, edits...)...)
	b.openPath()
	return &saved{b, "c1", filepath.Join(b.work, "images")}
}

// openPath lets everybody search the directories above the bundle and the images, so that CRIU gets there in a user namespace.
func (b *box) openPath() {
	for dir := b.work; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(b.t, os.Chmod(dir, 0o755))
	}
}

// count waits until the container has counted beyond n, and returns the count.
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

// log returns the end of one of CRIU's logs.
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

// looks returns those properties of the container's process in /proc that a restore must not
// change.
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
	status := read("status")
	for n := 0; n < 1000 && !strings.Contains(status, "SigBlk:\t0000000000000000"); n++ { // a shell blocks all signals while it forks
		time.Sleep(5 * time.Millisecond)
		status = read("status")
	}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "NSpid",
			"Cpus_allowed", "Mems_allowed", "SigBlk", "SigIgn", "SigCgt", "CoreDumping", "THP_enabled":
			if name == "NSpid" { // the pid on the host may differ
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
	// The inodes are new. What counts is which kinds of namespaces there are, and which of them are
	// the host's.
	entries, err := os.ReadDir(dir + "ns")
	must(s.t, err)
	for _, e := range entries {
		now, err := os.Readlink(dir + "ns/" + e.Name())
		must(s.t, err)
		host, err := os.Readlink("/proc/self/ns/" + e.Name())
		must(s.t, err)
		// CRIU gives a container a time namespace, so that its clock continues.
		if !strings.HasPrefix(e.Name(), "time") {
			all["ns "+e.Name()] = fmt.Sprintf("the host's: %v", now == host)
		}
	}
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
			`mounts+={"destination":"/etc/host name","type":"bind","source":"/etc/hostname","options":["rbind","ro"]}`,
			// The same directory twice. It becomes read-only only when what lies below it is
			// mounted.
			`mounts+={"destination":"/mnt/b","type":"bind","source":"/etc","options":["bind","ro"]}`, `mounts+={"destination":"/mnt/b/hostname","type":"bind","source":"/etc/hostname","options":["bind"]}`,
			`mounts+={"destination":"/mnt/c","type":"bind","source":"/etc","options":["bind","ro"]}`, `mounts+={"destination":"/mnt/c/hostname","type":"bind","source":"/etc/hostname","options":["bind"]}`,
			"root.readonly=false"}},
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

// With --manage-cgroups-mode ignore, too, the container sees only its own cgroup.
func TestCheckpointIgnoresCgroups(t *testing.T) {
	s := newSaved(t)
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	before := s.looks()
	s.checkpoint("--manage-cgroups-mode", "ignore")
	s.restore("--manage-cgroups-mode", "ignore")
	s.count(n)
	s.sameLooks(before)
	s.davit("delete", "--force", s.id)
}

// After a restore, a container with the annotation run.oci.delegate-cgroup is again in the cgroup
// below its own. exec goes there, too, also if CRIU leaves the cgroups alone.
func TestCheckpointDelegated(t *testing.T) {
	if !isUnified() {
		t.Skip("only of cgroup v2")
	}
	for mode, edits := range map[string][]string{
		"soft":   nil,
		"ignore": {`linux.namespaces=[{"type":"pid"},{"type":"mount"},{"type":"ipc"},{"type":"uts"},{"type":"network"}]`},
	} {
		t.Run(mode, func(t *testing.T) {
			s := newSaved(t, append(edits, `annotations={"run.oci.delegate-cgroup":"sub/below"}`)...)
			s.davit("run", "--detach", s.id)
			n := s.count(3)
			want := s.davit("exec", s.id, "grep", "^0::", "/proc/self/cgroup")
			s.checkpoint("--manage-cgroups-mode", mode)
			s.restore("--manage-cgroups-mode", mode)
			s.count(n)
			for _, process := range []string{"1", "self"} {
				if got := s.davit("exec", s.id, "grep", "^0::", "/proc/"+process+"/cgroup"); got != want {
					t.Errorf("process %s is in %s, not in %s", process, got, want)
				}
			}
			must(t, os.Mkdir("/sys/fs/cgroup"+subtree+"/"+s.id+"/sub/below/x", 0o755)) // it is removed together with the container
			s.davit("delete", "--force", s.id)
		})
	}
}

// Cgroups that are not the container's own are neither saved nor made again. Here they belong to a
// hierarchy in which davit made none.
func TestCheckpointLeavesOtherCgroups(t *testing.T) {
	if !isUnified() {
		t.Skip("only of cgroup v2")
	}
	s := newSaved(t)
	v1 := filepath.Join(s.work, "pids")
	must(t, os.Mkdir(v1, 0o755))
	if err := unix.Mount("cgroup", v1, "cgroup", 0, "pids"); err != nil {
		t.Skip("no v1 hierarchies in this view")
	}
	defer unix.Unmount(v1, unix.MNT_DETACH)
	other := filepath.Join(v1, subtree+"-other")
	must(t, os.Mkdir(other, 0o755))
	defer os.Remove(other)
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	s.checkpoint()
	must(t, os.Remove(other))
	s.restore()
	s.count(n)
	if _, err := os.Stat(other); err == nil {
		t.Errorf("restore has made %s", other)
	}
	s.davit("delete", "--force", s.id)
}

// With --leave-running the container continues, and can be saved again. What exec has started is not saved.
func TestCheckpointLeaveRunning(t *testing.T) {
	s := newSaved(t)
	must(t, s.command("run", "--detach", s.id).Run()) // with /dev/null, because what checkpoint says goes to the file of the others
	s.davit("exec", "--detach", s.id, "sleep", "1000")
	for range 2 {
		n := s.count(3)
		if out, status := s.try("checkpoint", "--image-path", s.images, "--leave-running", s.id); status != 0 || !strings.Contains(out, "(sleep)") {
			t.Errorf("checkpoint: exit status %d, and it does not say that it has not saved the process of exec\n%s", status, out)
		}
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

// The terminal's master is sent to the console socket, and the shell on the terminal still has its
// memory.
func TestCheckpointTerminal(t *testing.T) {
	s := newSaved(t, "process.terminal=true", `process.args=["sh"]`)
	socket := filepath.Join(s.work, "console.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	defer listener.Close()
	master := func() *os.File {
		conn, err := listener.AcceptUnix()
		must(t, err)
		defer conn.Close()
		file, err := conn.File()
		must(t, err)
		defer file.Close()
		return receiveFile(t, int(file.Fd()))
	}
	ask := func(f *os.File, question, answer string) {
		t.Helper()
		_, err := f.WriteString(question + "\n")
		must(t, err)
		var text strings.Builder
		buf := make([]byte, 4096)
		timer := time.AfterFunc(30*time.Second, func() { f.Close() })
		defer timer.Stop()
		for !strings.Contains(text.String(), answer) {
			n, err := f.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, text.String())
			}
			text.Write(buf[:n])
		}
	}
	// The shell catches SIGWINCH only while it waits for a line.
	waits := func() {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
			_, rest, _ := strings.Cut(string(status), "SigCgt:\t")
			line, _, _ := strings.Cut(rest, "\n")
			if caught, err := strconv.ParseUint(line, 16, 64); err == nil && caught&(1<<(unix.SIGWINCH-1)) != 0 {
				return
			}
		}
		t.Fatal("the shell does not wait for a line")
	}
	s.davit("run", "--detach", "--console-socket", socket, s.id)
	f := master()
	ask(f, "memory=kept; echo so$memory", "sokept")
	waits()
	before := s.looks()
	s.checkpoint()
	f.Close()
	s.gone()
	if out, status := s.try("restore", "--detach", "--image-path", s.images, s.id); status == 0 || !strings.Contains(out, "--console-socket") {
		t.Fatalf("restore without a socket: exit status %d\n%s", status, out)
	}
	s.restore("--console-socket", socket)
	f = master()
	ask(f, "echo it was $memory", "it was kept")
	waits()
	s.sameLooks(before)
	s.davit("delete", "--force", s.id)
	f.Close()
}

// Without --detach, restore gives the process the streams of its caller in place of the pipes that it had, exits with its status, and
// removes the container.
func TestCheckpointAttached(t *testing.T) {
	s := newSaved(t, `process.args=["sh","-c","while read line; do echo it was told $line; echo twice >&2; done; exit 7"]`)
	read := func(f *os.File, want string) {
		t.Helper()
		must(t, f.SetReadDeadline(time.Now().Add(60*time.Second)))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(f, got); err != nil || string(got) != want {
			t.Fatalf("%q, not %q: %v", got, want, err)
		}
	}
	talk := func(args ...string) (cmd *exec.Cmd, streams [3]*os.File) {
		t.Helper()
		cmd = s.command(args...)
		var ends [3]*os.File
		for i := range streams {
			r, w, err := os.Pipe()
			must(t, err)
			if i == 0 {
				ends[i], streams[i] = r, w
			} else {
				ends[i], streams[i] = w, r
			}
			t.Cleanup(func() { r.Close(); w.Close() })
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = ends[0], ends[1], ends[2]
		must(t, cmd.Start())
		for _, f := range ends {
			f.Close()
		}
		return cmd, streams
	}
	say := func(streams [3]*os.File, word string) {
		t.Helper()
		_, err := fmt.Fprintln(streams[0], word)
		must(t, err)
		read(streams[1], "it was told "+word+"\n")
		read(streams[2], "twice\n")
	}
	run, streams := talk("run", "--detach", s.id)
	must(t, run.Wait())
	say(streams, "before")
	s.checkpoint()
	restore, streams := talk("restore", "--image-path", s.images, s.id)
	say(streams, "after")
	must(t, streams[0].Close())
	if status := exitCode(restore.Wait()); status != 7 {
		text, _ := io.ReadAll(streams[2])
		t.Errorf("exit status %d\n%s", status, text)
	}
	s.gone()
}

// Several containers are saved and restored at the same time: six, or twenty (make test-criu).
func TestCheckpointParallel(t *testing.T) {
	s := newSaved(t)
	containers := 6
	if exhaustive() {
		containers = 20
	}
	var group sync.WaitGroup
	failed := make([]string, containers)
	for i := range containers {
		id := fmt.Sprintf("p%d", i)
		bundle := filepath.Join(s.work, id)
		must(t, makeBundle(bundle))
		must(t, editConfig(bundle, []string{`process.args=["sleep","1000"]`, fmt.Sprintf("linux.cgroupsPath=%s/%s", subtree, id)}))
		group.Go(func() {
			images := filepath.Join(s.work, id+".images")
			for _, args := range [][]string{{"run", "--detach", id}, {"checkpoint", "--image-path", images, id}, {"restore", "--detach", "--image-path", images, id},
				{"exec", id, "true"}, {"delete", "--force", id}} {
				cmd := exec.Command(davit, append([]string{"--root", s.root}, args...)...)
				cmd.Dir = bundle
				said, err := os.Create(filepath.Join(s.work, id+".out"))
				if err != nil {
					failed[i] = err.Error()
					return
				}
				cmd.Stdout, cmd.Stderr = said, said // not a pipe, because the container would keep its other end open
				err = cmd.Run()
				said.Close()
				if err != nil {
					out, _ := os.ReadFile(said.Name())
					failed[i] = fmt.Sprintf("davit %s: %v\n%s", strings.Join(args, " "), err, out)
					exec.Command(davit, "--root", s.root, "delete", "--force", id).Run()
					return
				}
			}
		})
	}
	group.Wait()
	for _, text := range failed {
		if text != "" {
			t.Error(text)
		}
	}
}

// This container joins the network namespace, and other namespaces, of another container.
func TestCheckpointJoined(t *testing.T) {
	s := newSaved(t)
	holder := exec.Command("unshare", "--net", "--ipc", "--uts", "sleep", "1000")
	must(t, holder.Start())
	defer func() { holder.Process.Kill(); holder.Wait() }()
	ns := func(name string) string { return fmt.Sprintf("/proc/%d/ns/%s", holder.Process.Pid, name) }
	own, err := os.Readlink("/proc/self/ns/uts")
	must(t, err)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, err := os.Readlink(ns("uts")); err == nil && now != own {
			break
		}
	}
	s.edit("hostname-", fmt.Sprintf(`linux.namespaces=[{"type":"pid"},{"type":"mount"},{"type":"network","path":%q},{"type":"ipc","path":%q},{"type":"uts","path":%q}]`, ns("net"), ns("ipc"), ns("uts")))
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	s.checkpoint()
	s.restore()
	s.count(n)
	for _, name := range []string{"net", "ipc", "uts"} {
		want, err := os.Readlink(ns(name))
		must(t, err)
		if have, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", s.pid(), name)); err != nil || have != want {
			t.Errorf("namespace %s is %s, not %s: %v", name, have, want, err)
		}
	}
	s.davit("delete", "--force", s.id)
}

// restore gives a container another id and another cgroup.
func TestCheckpointNewID(t *testing.T) {
	for _, mode := range []string{"soft", "ignore"} {
		t.Run(mode, func(t *testing.T) {
			s := newSaved(t)
			s.davit("run", "--detach", s.id)
			n := s.count(3)
			s.checkpoint()
			s.edit(fmt.Sprintf("linux.cgroupsPath=%s/other", subtree))
			s.id = "c2"
			s.restore("--manage-cgroups-mode", mode)
			s.count(n)
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", mustState(t, s).Pid))
			must(t, err)
			for line := range strings.Lines(string(data)) {
				if isUnified() && !strings.HasPrefix(line, "0::") {
					continue
				}
				if !strings.HasSuffix(strings.TrimSpace(line), "/other") && !strings.Contains(line, ":misc:") && !strings.HasSuffix(line, ":/\n") {
					t.Errorf("in cgroup %s", line)
				}
			}
			s.davit("delete", "--force", s.id)
		})
	}
}

func mustState(t *testing.T, s *saved) containerState {
	t.Helper()
	state, err := stateOf(s.root, s.id)
	must(t, err)
	return state
}

// A paused container can be saved. It stays paused if it is left in place. After a restore it runs.
func TestCheckpointPaused(t *testing.T) {
	s := newSaved(t)
	s.davit("run", "--detach", s.id)
	s.count(3)
	s.davit("pause", s.id)
	s.checkpoint("--leave-running")
	if state := mustState(t, s); state.Status != "paused" {
		t.Fatalf("it is %s", state.Status)
	}
	s.davit("resume", s.id)
	n := s.count(3)
	s.davit("pause", s.id)
	s.checkpoint()
	s.gone()
	s.restore()
	s.count(n)
	s.davit("delete", "--force", s.id)
}

// Poststop hooks run after a checkpoint, and createRuntime hooks run at a restore.
func TestCheckpointHooks(t *testing.T) {
	s := newSaved(t)
	said := filepath.Join(s.work, "hooks")
	hook := func(name string) string {
		return fmt.Sprintf(`[{"path":"/bin/sh","args":["sh","-c","read state; echo %s $state >>%s"]}]`, name, said)
	}
	s.edit("hooks.createRuntime="+hook("createRuntime"), "hooks.poststart="+hook("poststart"), "hooks.poststop="+hook("poststop"))
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	s.checkpoint()
	s.restore()
	s.count(n)
	s.davit("delete", "--force", s.id)
	data, err := os.ReadFile(said)
	must(t, err)
	var order []string
	for line := range strings.Lines(string(data)) {
		order = append(order, strings.Fields(line)[0])
	}
	if got := strings.Join(order, " "); got != "createRuntime poststart poststop createRuntime poststop" {
		t.Errorf("hooks: %s", got)
	}
}
