package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crashed returns what is wrong with the way in which davit ended: a crash of Go's runtime, a
// signal, or a failure without a message.
func crashed(out string, status int) string {
	switch {
	case status < 0:
		return "ended by a signal (SIGKILL: it hung)"
	case status != 0 && strings.TrimSpace(out) == "":
		return "failed without a word"
	}
	for _, word := range []string{"goroutine ", "panic:", "fatal error:", "runtime error"} {
		if strings.Contains(out, word) {
			return "a crash"
		}
	}
	return ""
}

// brokenFiles has contents that may stand in place of a file that davit keeps about a container.
var brokenFiles = []struct {
	name string
	make func(path string) error
}{
	{"missing", func(string) error { return nil }},
	{"empty", func(p string) error { return os.WriteFile(p, nil, 0o600) }},
	{"{}", func(p string) error { return os.WriteFile(p, []byte("{}"), 0o600) }},
	{"null", func(p string) error { return os.WriteFile(p, []byte("null"), 0o600) }},
	{"[]", func(p string) error { return os.WriteFile(p, []byte("[]"), 0o600) }},
	{"text", func(p string) error { return os.WriteFile(p, []byte(`"text"`), 0o600) }},
	{"binary", func(p string) error { return os.WriteFile(p, []byte("\x00\xff\x00"), 0o600) }},
	{"huge", func(p string) error {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			return err
		}
		return os.Truncate(p, 1<<40)
	}},
	{"fifo", func(p string) error { return unix.Mkfifo(p, 0o600) }},
	{"device", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) }},
	{"directory", func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o700) }},
	{"link", func(p string) error { return os.Symlink("/dev/zero", p) }},
	{"loop", func(p string) error { return os.Symlink(filepath.Base(p), p) }},
	{"socket", func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }},
}

// verbsOf has all verbs that take a container, except those that remove it.
var verbsOf = [][]string{
	{"state", "c1"}, {"start", "c1"}, {"kill", "c1", "0"}, {"kill", "--all", "c1", "CONT"}, {"exec", "c1", "true"}, {"exec", "-d", "c1", "true"},
	{"pause", "c1"}, {"resume", "c1"}, {"update", "--pids-limit", "99", "c1"}, {"ps", "--format", "json", "c1"},
	{"events", "--stats", "c1"}, {"verify", "c1"}, {"list"}, {"list", "--format", "json"}, {"list", "-q"},
}

// TestBrokenState: whatever stands in place of davit.json or config.json, no verb hangs, crashes or
// fails without a message. list shows the container, and delete --force removes it.
func TestBrokenState(t *testing.T) {
	for _, file := range []string{"davit.json", "config.json"} {
		for _, broken := range sampled(brokenFiles, 5) {
			t.Run(file+"_"+broken.name, func(t *testing.T) {
				b := newBox(t, `process.args=["sleep","1000"]`, `hooks.poststop=[{"path":"/bin/true"}]`)
				b.davit("run", "-d", "c1")
				kept := filepath.Join(b.root, "c1", file)
				if err := os.Rename(kept, b.work+"/kept"); err != nil {
					t.Fatal(err)
				}
				if err := broken.make(kept); err != nil {
					t.Fatal(err)
				}
				for _, args := range verbsOf {
					out, status := b.try(args...)
					if wrong := crashed(out, status); wrong != "" {
						t.Errorf("%q: %s: exit status %d: %s", args, wrong, status, out)
					}
					if args[0] == "list" && !strings.Contains(out, "c1") {
						t.Errorf("%q does not show the container: %s", args, out)
					}
					if file == "davit.json" && args[0] != "list" && status == 0 {
						t.Errorf("%q succeeds", args)
					}
				}
				os.RemoveAll(kept)
				if err := os.Rename(b.work+"/kept", kept); err != nil {
					t.Fatal(err)
				}
				if out := b.davit("state", "c1"); !strings.Contains(out, `"running"`) {
					t.Errorf("afterwards: %s", out)
				}
				b.davit("kill", "c1", "KILL")
				awaitStatus(b.root, "c1", "stopped")
				b.cleanCgroup(file == "davit.json")
				os.Remove(kept)
				if err := broken.make(kept); err != nil {
					t.Fatal(err)
				}
				if out, status := b.try("delete", "--force", "c1"); status != 0 || !strings.Contains(out, "delete c1: ") || crashed(out, status) != "" {
					t.Errorf("delete --force: exit status %d: %s", status, out)
				}
				if left := whatIsLeft(b.root); left != "" {
					t.Errorf("left: %s", left)
				}
			})
		}
	}
}

// cleanCgroup removes the cgroup of the container, which has stopped. davit cannot find the cgroup
// any more.
func (b *box) cleanCgroup(really bool) {
	if !really {
		return
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, dir := range cgroupsLeft() {
			if os.Remove(dir) != nil {
				left++
			}
		}
		if left == 0 {
			return
		}
	}
}

// TestBrokenConfig leaves out each part of the stored config.json in turn, or makes it null. davit
// may print an error or not, but must not crash.
func TestBrokenConfig(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	path := filepath.Join(b.root, "c1", "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range sampled([]string{"process", "root", "mounts", "hostname", "linux", "process.user", "process.args", "process.env", "process.cwd",
		"process.capabilities", "process.rlimits", "linux.resources", "linux.resources.devices", "linux.namespaces", "linux.maskedPaths",
		"linux.readonlyPaths", "linux.cgroupsPath", "root.path"}, 6) {
		for _, change := range []string{"without", "null", "wrong"} {
			var config map[string]any
			json.Unmarshal(data, &config)
			at, names := config, strings.Split(key, ".")
			for _, name := range names[:len(names)-1] {
				at = at[name].(map[string]any)
			}
			last := names[len(names)-1]
			switch change {
			case "without":
				delete(at, last)
			case "null":
				at[last] = nil
			default:
				at[last] = []any{nil}
			}
			text, _ := json.Marshal(config)
			os.WriteFile(path, text, 0o600)
			for _, args := range [][]string{{"verify", "c1"}, {"exec", "c1", "true"}, {"events", "--stats", "c1"}, {"start", "c1"}, {"list"}} {
				out, status := b.try(args...)
				if wrong := crashed(out, status); wrong != "" {
					t.Errorf("%s %s: %q: %s: exit status %d: %s", change, key, args, wrong, status, out)
				}
			}
			if out, status := b.try("update", "--pids-limit", "98", "c1"); crashed(out, status) != "" {
				t.Errorf("%s %s: update: exit status %d: %s", change, key, status, out)
			}
		}
	}
	os.WriteFile(path, data, 0o600)
	b.davit("delete", "--force", "c1")
}

// TestUnreadableInList: if list cannot open an entry of the state directory, it says so in that
// entry's row, and still shows the rest.
func TestUnreadableInList(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("create", "c1")
	dir := filepath.Join(b.root, "odd")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // anybody could have put anything into it
		t.Fatal(err)
	}
	out := b.davit("list")
	if !strings.Contains(out, "\nc1 ") || !strings.Contains(out, "\nodd ") || !strings.Contains(out, "can be written by others") {
		t.Errorf("list: %s", out)
	}
	os.Remove(dir)
	b.davit("delete", "--force", "c1")
}

// limited runs davit with at most this number of descriptors.
func (b *box) limited(descriptors int, args ...string) (string, int) {
	b.t.Helper()
	cmd := b.command(args...)
	prlimit := exec.Command("prlimit", append([]string{fmt.Sprintf("--nofile=%d", descriptors), davit}, cmd.Args[1:]...)...)
	prlimit.Dir = cmd.Dir
	out, err := b.runFiles(prlimit)
	return out, exitCode(err)
}

// TestFewDescriptors gives every verb 3 to 64 descriptors. The verb fails or succeeds, and what it
// says is true.
func TestFewDescriptors(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`, `hooks.createRuntime=[{"path":"/bin/true"}]`, `hooks.poststop=[{"path":"/bin/sh","args":["sh","-c","echo >>`+t.TempDir()+`/stopped"]}]`)
	counts := sampled([]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 48, 64}, 7)
	check := func(n int, args []string, out string, status int) {
		if wrong := crashed(out, status); wrong != "" && !(n < 5 && out == "") { // perhaps the program cannot even be loaded
			t.Errorf("%d descriptors: %q: %s: exit status %d: %s", n, args, wrong, status, out)
		}
	}
	for _, n := range counts {
		for _, verb := range []string{"create", "run -d"} {
			args := append(strings.Fields(verb), "c1")
			out, status := b.limited(n, args...)
			check(n, args, out, status)
			if _, err := os.Stat(filepath.Join(b.root, "c1")); status != 0 && err == nil && !strings.Contains(out, "davit delete") {
				t.Errorf("%d descriptors: %q leaves its state: %s", n, args, out)
			}
			b.davit("delete", "--force", "c1")
			if left := whatIsLeft(b.root); left != "" {
				t.Fatalf("%d descriptors: %q and delete --force leave %s", n, args, left)
			}
		}
	}
	for _, n := range counts {
		b.davit("run", "-d", "c1")
		for _, args := range verbsOf {
			out, status := b.limited(n, args...)
			check(n, args, out, status)
			if args[0] == "pause" {
				b.try("resume", "c1")
			}
		}
		before := processesIn(t, b)
		if out, status := b.limited(n, "exec", "-d", "c1", "sleep", "1001"); status != 0 && processesIn(t, b) > before {
			t.Errorf("%d descriptors: exec -d: exit status %d, and its process runs: %s", n, status, out)
		}
		out, status := b.limited(n, "delete", "--force", "c1")
		check(n, []string{"delete", "--force"}, out, status)
		b.davit("delete", "--force", "c1")
		if left := whatIsLeft(b.root); left != "" {
			t.Fatalf("%d descriptors: delete --force leaves %s", n, left)
		}
	}
}

// processesIn counts the container's processes, after those that are ending have ended.
func processesIn(t *testing.T, b *box) int {
	var pids []int
	if err := json.Unmarshal([]byte(b.davit("ps", "--format", "json", "c1")), &pids); err != nil {
		t.Fatal(err)
	}
	return len(pids)
}

// TestPoststopNotLost: poststop hooks that cannot be started are not lost. The state stays until
// delete has run each of them once.
func TestPoststopNotLost(t *testing.T) {
	for _, verb := range [][]string{{"delete", "c1"}, {"delete", "--force", "c1"}} {
		log := filepath.Join(t.TempDir(), "log")
		b := newBox(t, `process.args=["true"]`, fmt.Sprintf(`hooks.poststop=[{"path":"/nowhere/hook"},{"path":"/bin/sh","args":["sh","-c","echo 1 >>%[1]s; exit 3"]},{"path":"/bin/sh","args":["sh","-c","echo 2 >>%[1]s"]}]`, log))
		b.davit("run", "-d", "c1")
		awaitStatus(b.root, "c1", "stopped")
		failed := 0
		var last string
		for n := 4; ; n++ {
			out, status := b.limited(n, verb...)
			if wrong := crashed(out, status); wrong != "" {
				t.Errorf("%d descriptors: %s: %s", n, wrong, out)
			}
			if status == 0 {
				break
			}
			last = out
			failed++
			if n > 64 {
				t.Fatal(out)
			}
		}
		text, _ := os.ReadFile(log)
		if string(text) != "1\n2\n" || failed == 0 || !strings.Contains(last, "hooks.poststop[") {
			t.Errorf("%q: the hooks wrote %q after %d failures, the last: %s", verb, text, failed, last)
		}
		if left := whatIsLeft(b.root); left != "" {
			t.Errorf("left: %s", left)
		}
	}
}

// TestStartUnrecorded: if the state directory is read-only, start cannot record that the program
// runs. state finds out.
func TestStartUnrecorded(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("create", "c1")
	remount := func(flags uintptr) {
		if err := unix.Mount("", b.root, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(b.root, b.root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(b.root, unix.MNT_DETACH)
	remount(unix.MS_RDONLY)
	b.davit("start", "c1")
	if s, err := stateOf(b.root, "c1"); err != nil || s.Status != "running" {
		t.Errorf("the state is %q, %v", s.Status, err)
	}
	if out, status := b.try("start", "c1"); status == 0 || !strings.Contains(out, "already running") {
		t.Errorf("start again: exit status %d: %s", status, out)
	}
	for _, args := range [][]string{{"delete", "c1"}, {"update", "--pids-limit", "5", "c1"}} {
		if out, status := b.try(args...); status == 0 || !strings.Contains(out, "not stopped: running") && !strings.Contains(out, "read-only file system") {
			t.Errorf("%q: exit status %d: %s", args, status, out)
		}
	}
	remount(0)
	if s, err := stateOf(b.root, "c1"); err != nil || s.Status != "running" {
		t.Errorf("afterwards the state is %q, %v", s.Status, err)
	}
	b.davit("delete", "--force", "c1")
}

// TestUpdateOnFullDisk: an update that davit cannot record is not carried out, and leaves nothing
// behind.
func TestUpdateOnFullDisk(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	if err := os.Mkdir(b.root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("davit-test", b.root, "tmpfs", 0, "size=128k,mode=700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(b.root, unix.MNT_DETACH)
	b.davit("run", "-d", "c1")
	full, err := os.Create(filepath.Join(b.root, "full"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	before := b.limit()
	mustWrite(t, b.work+"/limit.json", newLimit())
	out, status := b.try("update", "-r", b.work+"/limit.json", "c1")
	if status == 0 || !strings.Contains(out, "no space left") {
		t.Errorf("update: exit status %d: %s", status, out)
	}
	if after := b.limit(); before == "none" || after != before {
		t.Errorf("update has changed %q to %q", before, after)
	}
	entries, _ := os.ReadDir(filepath.Join(b.root, "c1"))
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".new") }) {
		t.Errorf("left: %v", entries)
	}
	os.Remove(full.Name())
	b.davit("update", "-r", b.work+"/limit.json", "c1")
	b.davit("delete", "--force", "c1")
}
