//go:build amd64 || arm64

package integration

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// errno returns a fault in which a call fails with this errno, found in the call's list.
func errno(name string, errno unix.Errno) fault {
	for _, f := range failures {
		for kind, e := range f.errnos {
			if f.name == name && e == errno {
				return fault{call: call{name, 0}, kind: kind}
			}
		}
	}
	panic("no such failure: " + name)
}

// TestTrueWords makes one call fail for which davit's message used to be wrong, and compares the
// message.
func TestTrueWords(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  fault
		on     string // the path for which the call is made ends with this
		setUp  [][]string
		args   []string
		status int
		says   string // must be in the output
		never  string // must not be
	}{
		{"the directory of the container cannot be looked at", errno("fstat", unix.EIO), "/c1", run, []string{"state", "c1"}, 1, "input/output error", "does not exist"},
		{"and is not deleted", errno("fstat", unix.EIO), "/c1", run, []string{"delete", "c1"}, 1, "input/output error", "does not exist"},
		{"the directory of the container cannot be opened", errno("openat", unix.EIO), "c1", run, []string{"kill", "c1", "TERM"}, 1, "input/output error", "does not exist"},
		{"list shows what it cannot open", errno("openat", unix.EIO), "c1", run, []string{"list"}, 0, "\nc1 ", ""},
		{"and why", errno("openat", unix.EMFILE), "c1", run, []string{"list", "--format", "json"}, 0, "too many open files", ""},
		{"HOME when passwd cannot be opened", errno("openat2", unix.EMFILE), "etc/passwd", nil, []string{"create", "c1"}, 1, "HOME", ""},
		{"HOME of exec", errno("openat2", unix.EMFILE), "etc/passwd", run, []string{"exec", "c1", "true"}, 255, "HOME", ""},
		{"uname", errno("uname", unix.EPERM), "", nil, []string{"create", "c1"}, 1, "uname: operation not permitted", "0.0"},
		{"EBUSY of dup3", errno("dup3", unix.EBUSY), "", nil, []string{"create", "c1"}, 1, "device or resource busy", "hands controllers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, `process.args=["sleep","1000"]`, `process.env=["PATH=/bin"]`)
			for _, args := range c.setUp {
				b.davit(args...)
			}
			c.fault.on = c.on
			r := b.inject(c.fault, c.args...)
			if r.name == "" {
				t.Errorf("nothing has failed: %s", r.out)
			}
			if r.status != c.status || !strings.Contains(r.out, c.says) || c.never != "" && strings.Contains(r.out, c.never) {
				t.Errorf("%s: exit status %d: %s", r.name, r.status, r.out)
			}
			b.davit("delete", "--force", "c1")
		})
	}
}

// TestThawsAgain makes each write to a freezer fail once, where processes must continue or end.
// davit tries again, and what it says is true.
func TestThawsAgain(t *testing.T) {
	faults := 0
	b := newBox(t, `process.args=["sleep","1000"]`)
	for _, c := range []struct {
		args   []string
		setUp  [][]string
		status string
	}{
		{[]string{"resume", "c1"}, paused, "running"},
		{[]string{"kill", "c1", "KILL"}, paused, "stopped"},
		{[]string{"kill", "--all", "c1", "KILL"}, paused, "stopped"},
		{[]string{"kill", "--all", "c1", "CONT"}, run, "running"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			once := func(f fault) bool {
				for _, args := range c.setUp {
					b.davit(args...)
				}
				r := b.inject(f, c.args...)
				if r.status != 0 {
					t.Errorf("%s %d of %s: exit status %d: %s", r.name, f.before, f.on, r.status, r.out)
				}
				if c.status == "stopped" && r.status == 0 {
					awaitStatus(b.root, "c1", c.status)
				}
				if status := b.statusNow(); status != c.status {
					t.Errorf("%s %d of %s: the container is %s", r.name, f.before, f.on, status)
				}
				b.davit("delete", "--force", "c1")
				return r.name != ""
			}
			for _, file := range []string{"/cgroup.freeze", "/freezer.state"} { // one of them exists, or both
				for f := errno("write", unix.EIO); ; f.before++ {
					if f.on = file; !once(f) {
						break
					}
					faults++
				}
			}
		})
	}
	if faults < 4 {
		t.Errorf("only %d writes have failed", faults)
	}
}
