package integration

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

	"golang.org/x/sys/unix"
)

const (
	userID    = 54321 // a user without privileges
	userName  = "davit-tester"
	userRange = 700_000 // the first id of the ranges in /etc/subuid and /etc/subgid
)

// unprivileged is a user's bundle, and the davit that this user runs.
type unprivileged struct {
	*box
	runtime string // $XDG_RUNTIME_DIR
	davit   string // a copy that the user can read, because the tree may be in root's home
}

// newUnprivileged makes a user in this mount namespace, with ranges in /etc/subuid and /etc/subgid
// if ranges is true, and a bundle that the user has made with davit spec --rootless.
func newUnprivileged(t *testing.T, ranges bool, edits ...string) *unprivileged {
	t.Helper()
	b := newBox(t)
	entry := fmt.Sprintf("%s:%d:65536\n", userName, userRange)
	if !ranges {
		entry = "\n"
	}
	for name, text := range map[string]string{"subuid": entry, "subgid": entry,
		"passwd": fmt.Sprintf("root:x:0:0::/root:/bin/sh\n%s:x:%d:%d::/:/bin/sh\n", userName, userID, userID),
		"group":  fmt.Sprintf("root:x:0:\n%s:x:%d:\n", userName, userID)} {
		b.overmount(filepath.Join("/etc", name), text)
	}
	u := &unprivileged{b, filepath.Join(b.work, "runtime"), filepath.Join(b.work, "davit")}
	program, err := os.ReadFile(davit)
	if err != nil {
		t.Fatal(err)
	}
	u.root = filepath.Join(u.runtime, "davit")
	if err := errorsOf(os.WriteFile(u.davit, program, 0o755), os.Chmod(filepath.Dir(b.work), 0o755), os.Mkdir(u.runtime, 0o700), os.Chown(u.runtime, userID, userID), os.Remove(b.bundle+"/config.json"), giveDirectories(b.bundle)); err != nil {
		t.Fatal(err)
	}
	if out, status := u.as("spec", "--rootless"); status != 0 {
		t.Fatalf("spec --rootless: %s", out)
	}
	b.edit("process.terminal=false", "root.readonly=false")
	b.edit(edits...)
	return u
}

// overmount mounts a file over one of the host's, until the test has ended.
func (b *box) overmount(path, text string) {
	b.t.Helper()
	file := filepath.Join(b.work, "etc", filepath.Base(path))
	mustWrite(b.t, file, text)
	if err := errorsOf(os.Chmod(file, 0o644), unix.Mount(file, path, "", unix.MS_BIND, "")); err != nil {
		b.t.Fatal(path, ": ", err)
	}
	b.t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

// giveDirectories gives the directories below dir to the user. The files are links to those of
// other tests.
func giveDirectories(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return os.Lchown(path, userID, userID)
	})
}

// as runs davit as the user, without --root.
func (u *unprivileged) as(args ...string) (string, int) {
	u.t.Helper()
	out, err := os.Create(filepath.Join(u.work, "out"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(u.t.Context(), u.davit, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = u.bundle, out, out
	cmd.Env = passSwitch([]string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "XDG_RUNTIME_DIR=" + u.runtime})
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userID, Gid: userID}}
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	if exitCode(err) == 126 {
		u.t.Fatal(err)
	}
	return string(text), exitCode(err)
}

// must is like as, but the command must succeed.
func (u *unprivileged) must(args ...string) string {
	u.t.Helper()
	out, status := u.as(args...)
	if status != 0 {
		u.t.Fatalf("davit %s, as a user: exit status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

const ownRange = `[{"containerID":0,"hostID":54321,"size":1},{"containerID":1,"hostID":700000,"size":65536}]`

// This is the life of a container of a user without privileges, with only the user's own id and
// with a range of ids.
func TestRootless(t *testing.T) {
	for _, ranges := range []bool{false, true} {
		t.Run(fmt.Sprintf("range=%t", ranges), func(t *testing.T) {
			u := newUnprivileged(t, ranges, `process.args=["sh","-c","id -u; cat /proc/self/uid_map; hostname; touch /made; mkdir /sys/fs/cgroup/x || echo denied"]`)
			if ranges {
				if _, err := exec.LookPath("newuidmap"); err != nil {
					t.Skip("needs newuidmap (Debian's package uidmap)")
				}
				u.edit("linux.uidMappings="+ownRange, "linux.gidMappings="+ownRange)
			}
			out := u.must("run", "c1")
			if !strings.HasPrefix(out, "0\n") || !strings.Contains(out, fmt.Sprint(userID)) || !strings.HasSuffix(out, "denied\n") {
				t.Errorf("run: %s", out)
			}
			var st unix.Stat_t
			if err := unix.Stat(u.path("made"), &st); err != nil || st.Uid != userID {
				t.Errorf("a file made by the container's root belongs to %d: %v", st.Uid, err)
			}

			u.edit(`process.args=["sleep","1000"]`)
			u.must("run", "--detach", "c1")
			if out := u.must("exec", "c1", "sh", "-c", "id -u; echo $HOME; cat /proc/1/comm"); out != "0\n/root\nsleep\n" {
				t.Errorf("exec: %q", out)
			}
			if out := u.must("list", "-q"); out != "c1\n" {
				t.Errorf("list: %q", out)
			}
			if out := u.must("list"); !strings.Contains(out, userName) || !strings.Contains(out, "running") {
				t.Errorf("list: %s", out)
			}
			if ranges {
				if out := u.must("exec", "--user", "1000:1000", "c1", "id", "-u"); out != "1000\n" {
					t.Errorf("exec --user 1000: %q", out)
				}
			} else if out, status := u.as("exec", "--user", "1000:1000", "c1", "id", "-u"); status == 0 {
				t.Errorf("exec as a user that is not mapped: %q", out)
			}
			if out, status := u.as("events", "--stats", "c1"); status != 0 && !strings.Contains(out, "and so no figures") {
				t.Errorf("events: %s", out)
			}
			u.must("kill", "--all", "c1", "KILL")
			if err := u.awaitStopped("c1"); err != nil {
				t.Fatal(err)
			}
			u.must("delete", "c1")

			u.must("create", "c1")
			u.must("start", "c1")
			u.must("delete", "--force", "c1")
			if out := u.must("list", "-q"); out != "" {
				t.Errorf("left: %q", out)
			}
		})
	}
}

// If a stage is not dumpable, its files in /proc/PID belong to root. So davit's user cannot write
// to them.
func TestRootlessProc(t *testing.T) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	have, _ := strconv.Atoi(strings.TrimSpace(string(own)))
	const show = "cat /proc/self/oom_score_adj; cut -c1-2 /proc/uptime"
	for _, score := range []int{have, have + 300} {
		u := newUnprivileged(t, false, `process.args=["sh","-c","`+show+`"]`, fmt.Sprint("process.oomScoreAdj=", score),
			`linux.namespaces+={"type":"time"}`, `linux.timeOffsets={"boottime":{"secs":4200000000}}`)
		want := fmt.Sprintf("%d\n42\n", score)
		if out := u.must("run", "c1"); out != want {
			t.Errorf("run: %q, want %q", out, want)
		}
		u.edit(`process.args=["sleep","1000"]`)
		u.must("run", "--detach", "c1")
		if out := u.must("exec", "c1", "sh", "-c", show); out != want {
			t.Errorf("exec: %q, want %q", out, want)
		}
		u.must("delete", "--force", "c1")
	}
	u := newUnprivileged(t, false, `process.args=["true"]`, fmt.Sprint("process.oomScoreAdj=", have-1))
	if out, status := u.as("run", "c1"); status != 1 || !strings.Contains(out, fmt.Sprintf("lowering the score (it is %d) needs CAP_SYS_RESOURCE", have)) {
		t.Errorf("lowered: exit status %d: %s", status, out)
	}
}

// With a network namespace, too, /sys may be the host's. Then it shows the same cgroup2 that is to
// be mounted there.
func TestRootlessNetwork(t *testing.T) {
	u := newUnprivileged(t, false, `process.args=["sh","-c","ls -d /sys/fs/cgroup/*; mkdir /sys/fs/cgroup/x || echo denied"]`, `linux.namespaces+={"type":"network"}`)
	if out := u.must("run", "c1"); isUnified() && !strings.Contains(out, "/cgroup.procs") || !strings.HasSuffix(out, "denied\n") {
		t.Errorf("run: %s", out)
	}
}

func (u *unprivileged) awaitStopped(id string) error {
	return awaitStatusBy(func() (s containerState, err error) {
		out, status := u.as("state", id)
		if status != 0 {
			return s, errors.New(out)
		}
		return s, json.Unmarshal([]byte(out), &s)
	}, id, "stopped")
}

// davit refuses what a user may not have, and names the field.
func TestRootlessRefused(t *testing.T) {
	for name, c := range map[string]struct{ edit, want string }{
		"limit":          {`linux.resources={"pids":{"limit":10}}`, "linux.resources"},
		"foreign ids":    {`linux.uidMappings=[{"containerID":0,"hostID":0,"size":1}]`, "linux.uidMappings"},
		"outside ranges": {`linux.uidMappings=[{"containerID":0,"hostID":54321,"size":1},{"containerID":1,"hostID":1,"size":1000}]`, "linux.uidMappings"},
		"no user ns":     {`linux.namespaces=[{"type":"mount"},{"type":"pid"}]`, "user namespace"},
		"groups":         {`process.user.additionalGids=[10]`, "additionalGids"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnprivileged(t, false, `process.args=["true"]`, c.edit)
			out, status := u.as("run", "c1")
			if status != 1 || !strings.Contains(out, c.want) || !strings.HasPrefix(out, "davit: ") {
				t.Errorf("exit status %d: %s", status, out)
			}
			t.Log(out)
			if out := u.must("list", "-q"); out != "" {
				t.Errorf("left: %q", out)
			}
		})
	}
}

// CVE-2023-25809: a container's root must not write to the user's cgroups. This holds without a
// cgroup namespace, and also if /sys is the host's because there is no network namespace.
func TestRootlessCgroups(t *testing.T) {
	for _, own := range []string{"", `,{"type":"cgroup"}`} {
		u := newUnprivileged(t, false, `linux.namespaces=[{"type":"user"},{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"uts"}`+own+`]`,
			`mounts[5]={"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}`,
			`process.args=["sh","-c","for f in $(find /sys/fs/cgroup -maxdepth 3 -name cgroup.procs); do [ -w $f ] && echo 0 >$f && echo ESCAPED; done; mkdir /sys/fs/cgroup/x && echo ESCAPED; cut -d' ' -f5,6 /proc/self/mountinfo | grep '^/sys.* rw' && echo ESCAPED; true"]`)
		if out := u.must("run", "c1"); strings.Contains(out, escaped) {
			t.Errorf("namespaces %q: %s", own, out)
		}
	}
}

// If a user has no runtime directory, davit says how to get one, in verbs that make something and
// in verbs that only read.
func TestRootlessWithoutRuntimeDirectory(t *testing.T) {
	u := newUnprivileged(t, false, `process.args=["true"]`)
	for _, args := range [][]string{{"run", "c1"}, {"create", "c1"}} {
		cmd := exec.CommandContext(t.Context(), u.davit, append([]string{"--root", "/etc/davit-states"}, args...)...)
		cmd.Dir, cmd.Env = u.bundle, passSwitch([]string{"PATH=/usr/bin:/bin"})
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userID, Gid: userID}}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "permission denied\n  hint: without root the states are below $XDG_RUNTIME_DIR, which a login sets: export XDG_RUNTIME_DIR=/run/user/") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
}
