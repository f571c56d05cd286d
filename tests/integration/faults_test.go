//go:build amd64 || arm64

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// faulted is a verb whose system calls fail one by one.
type faulted struct {
	name  string
	args  []string
	setUp [][]string // commands that run before
	// check returns what is wrong with the state that the verb has left, or "".
	check func(b *box, r injected) string
}

// says returns a check that compares the container's status with the expected ones, after success
// and after failure.
func says(success string, failure ...string) func(*box, injected) string {
	return func(b *box, r injected) string {
		status := b.statusNow()
		switch {
		case r.status == 0 && status != success:
			return fmt.Sprintf("success, and the container is %s", status)
		case r.status != 0 && !slices.Contains(failure, status):
			return fmt.Sprintf("failure, and the container is %s", status)
		}
		return ""
	}
}

// statusNow returns the container's status, or "gone" if there is no container.
func (b *box) statusNow() string {
	s, err := stateOf(b.root, "c1")
	if err == nil {
		return s.Status
	}
	if _, err := os.Stat(filepath.Join(b.root, "c1")); err != nil {
		return "gone"
	}
	return "broken"
}

// left checks what a failed create or run has left: nothing, or a container for which it has said
// how to remove it.
func left(b *box, r injected) string {
	status := b.statusNow()
	if status == "gone" || strings.Contains(r.out, "davit delete") {
		return ""
	}
	return "failure, and without a word of it the container is " + status
}

var (
	create = [][]string{{"create", "c1"}}
	run    = [][]string{{"run", "-d", "c1"}}
	paused = [][]string{{"run", "-d", "c1"}, {"pause", "c1"}}
	killed = [][]string{{"run", "-d", "c1"}, {"kill", "c1", "KILL"}}
)

var faultedVerbs = []faulted{
	{"create", []string{"create", "c1"}, nil, func(b *box, r injected) string {
		if r.status != 0 {
			return left(b, r)
		}
		return says("created")(b, r)
	}},
	{"run -d", []string{"run", "-d", "c1"}, nil, func(b *box, r injected) string {
		if r.status != 0 {
			return left(b, r)
		}
		return says("running")(b, r)
	}},
	{"start", []string{"start", "c1"}, create, says("running", "created", "stopped")},
	{"exec", []string{"exec", "c1", "touch", "/tmp/ran"}, run, ran},
	{"exec -d", []string{"exec", "-d", "c1", "sleep", "1001"}, run, func(b *box, r injected) string {
		if n := b.count("sleep\x001001\x00"); r.status != 0 && n > 0 {
			return "failure, and its process runs"
		} else if r.status == 0 && n != 1 {
			return "success, and its process does not run"
		}
		return ""
	}},
	{"kill", []string{"kill", "c1", "KILL"}, run, ended},
	{"kill --all", []string{"kill", "--all", "c1", "KILL"}, run, ended},
	{"delete", []string{"delete", "c1"}, killed, says("gone", "stopped", "broken")},
	{"delete --force", []string{"delete", "--force", "c1"}, run, says("gone", "running", "stopped", "broken")},
	{"update", []string{"update", "-r", "limit.json", "c1"}, run, func(b *box, r injected) string {
		if value := b.limit(); (r.status == 0) != (value == "4194304") {
			return fmt.Sprintf("exit status %d, and the limit is %s", r.status, value)
		}
		if _, err := os.Stat(filepath.Join(b.root, "c1/config.json.new")); err == nil {
			return "config.json.new is left"
		}
		return ""
	}},
	{"pause", []string{"pause", "c1"}, run, says("paused", "running")},
	{"resume", []string{"resume", "c1"}, paused, says("running", "paused")},
	{"state", []string{"state", "c1"}, run, shows(`"status": "running"`)},
	{"list", []string{"list"}, run, shows("c1 ")},
	{"events --stats", []string{"events", "--stats", "c1"}, run, shows(`"type":"stats"`)},
	{"ps", []string{"ps", "--format", "json", "c1"}, run, shows("[")},
}

// ran checks that the program of exec ran to its end, or not at all.
func ran(b *box, r injected) string {
	_, err := os.Stat(b.path("tmp/ran"))
	os.Remove(b.path("tmp/ran"))
	if r.status == 0 && err != nil {
		return "success, and the program has not run"
	}
	if r.status != 0 && err == nil {
		return "failure, and the program has run"
	}
	return ""
}

// ended checks that a kill which failed has not killed.
func ended(b *box, r injected) string {
	if r.status == 0 {
		awaitStatus(b.root, "c1", "stopped")
	}
	return says("stopped", "running", "paused")(b, r)
}

func shows(text string) func(*box, injected) string {
	return func(b *box, r injected) string {
		if r.status == 0 && !strings.Contains(r.out, text) {
			return "success, and it does not show " + text
		}
		return says("running", "running")(b, r)
	}
}

// count returns how many of the processes that tests have left have this command line.
func (b *box) count(cmdline string) int {
	n := 0
	for _, pid := range strangers() {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); string(text) == cmdline {
			n++
		}
	}
	return n
}

// TestFaults makes each system call of davit and of the stage fail once, with each errno that it
// may have. Whatever fails: no verb hangs or crashes, what it says is true, hooks run as often as
// they should, and delete --force then removes everything. The everyday tests run a sample of this.
func TestFaults(t *testing.T) {
	stride := 61
	if testing.Short() {
		stride = 600
	}
	if exhaustive() {
		stride = 1
	}
	if s, err := strconv.Atoi(os.Getenv("DAVIT_FAULTS")); err == nil {
		stride = s
	}
	for _, v := range faultedVerbs {
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			hooks := filepath.Join(t.TempDir(), "hooks")
			b := newBox(t, `process.args=["sleep","1000"]`, `root.readonly=false`, hookEdit("createRuntime", hooks), hookEdit("poststart", hooks), hookEdit("poststop", hooks))
			mustWrite(t, filepath.Join(b.bundle, "limit.json"), newLimit())
			sweepFaults(t, b, v, hooks, stride)
		})
	}
}

// TestNothingIsClosedTwice: whatever fails, no close(2) of davit's finds its descriptor closed
// already. Between two closes of a descriptor, another thread may have opened one with the same
// number.
func TestNothingIsClosedTwice(t *testing.T) {
	hooks, begun := `hooks.poststart=[{"path":"/bin/false"}]`, `hooks.startContainer=[{"path":"/bin/false"}]`
	for _, v := range []struct {
		name  string
		edits []string
		setUp [][]string
		args  []string
	}{
		{"create", nil, nil, []string{"create", "c1"}},
		{"create: no source", []string{`mounts=[{"destination":"/x","source":"/nothing","options":["bind"]}]`}, nil, []string{"create", "c1"}},
		{"create: a hook fails", []string{`hooks.createRuntime=[{"path":"/bin/false"}]`}, nil, []string{"create", "c1"}},
		{"create: no place for the pid file", nil, nil, []string{"create", "--pid-file", "/nothing/pid", "c1"}},
		{"create: in user namespace", []string{`linux.uidMappings=[{"containerID":0,"hostID":100000,"size":1000}]`, `linux.gidMappings=[{"containerID":0,"hostID":100000,"size":1000}]`,
			`linux.namespaces=[{"type":"user"},{"type":"mount"},{"type":"pid"},{"type":"ipc"},{"type":"uts"}]`}, nil, []string{"create", "c1"}},
		{"run: no program", []string{`process.args=["/nothing"]`}, nil, []string{"run", "c1"}},
		{"run -d: no program", []string{`process.args=["/nothing"]`}, nil, []string{"run", "-d", "c1"}},
		{"run: poststart fails", []string{hooks}, nil, []string{"run", "c1"}},
		{"run", []string{`process.args=["true"]`}, nil, []string{"run", "c1"}},
		{"start: poststart fails", []string{hooks}, create, []string{"start", "c1"}},
		{"run: startContainer fails", []string{begun}, nil, []string{"run", "c1"}},
		{"run -d: startContainer fails", []string{begun}, nil, []string{"run", "-d", "c1"}},
		{"start: startContainer fails", []string{begun}, create, []string{"start", "c1"}},
		{"exec: no program", nil, run, []string{"exec", "c1", "/nothing"}},
		{"exec", nil, run, []string{"exec", "c1", "true"}},
		{"delete --force", nil, run, []string{"delete", "--force", "c1"}},
		{"delete: running", nil, run, []string{"delete", "c1"}},
	} {
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			b := newBox(t, append([]string{`process.args=["sleep","1000"]`, `process.terminal=false`}, v.edits...)...)
			for _, args := range v.setUp {
				b.davit(args...)
			}
			if r := b.inject(fault{}, v.args...); len(r.vain) > 0 {
				t.Errorf("%s: exit status %d: %s", r.vain, r.status, r.out)
			}
			b.try("delete", "--force", "c1")
		})
	}
}

// TestNoThreads refuses davit every thread, as a limit on processes does. davit says so in one line,
// before it has made anything.
func TestNoThreads(t *testing.T) {
	b := newBox(t)
	if version := b.davit("--version"); strings.Contains(version, "without davit's overlay") {
		t.Skip("needs davit's overlay of Go's runtime")
	}
	r := b.inject(fault{always: "clone"}, "run", "c1")
	if crashed(r.out, r.status) != "" || r.status != 1 || !strings.HasPrefix(r.out, "davit: make a thread: ") {
		t.Errorf("exit status %d: %s", r.status, r.out)
	}
	if left := b.davit("list", "-q"); left != "" {
		t.Errorf("run left %s", left)
	}
}

// hookEdit makes a hook that writes its kind to a file.
func hookEdit(kind, file string) string {
	return fmt.Sprintf(`hooks.%s=[{"path":"/bin/sh","args":["sh","-c","echo %s >>%s"]}]`, kind, kind, file)
}

func sweepFaults(t *testing.T, b *box, v faulted, hooks string, stride int) {
	calls, bad := b.oneFault(v, hooks, fault{}) // a run without a fault
	if bad != "" {
		t.Fatal(bad)
	}
	var faults, errors, wrong int
	for n := stride / 2; n < len(calls.calls); n += stride {
		for kind := 0; ; kind++ {
			r, bad := b.oneFault(v, hooks, fault{call: calls.calls[n], kind: kind})
			if r.name == "" { // there are no more errnos, or the call was not made this time
				break
			}
			faults++
			if r.status != 0 {
				errors++
			}
			if bad != "" {
				wrong++
				t.Errorf("%s (the %d. of these): %s\nexit status %d: %s", r.name, 1+calls.calls[n].before, bad, r.status, r.out)
			}
		}
	}
	recordLine(t, "faults", "%s | %d | %d | %d | %d |", v.name, len(calls.calls), faults, errors, wrong)
}

// oneFault runs a verb with a fault, and returns what is wrong with the result.
func (b *box) oneFault(v faulted, hooks string, f fault) (r injected, bad string) {
	b.t.Helper()
	for _, args := range v.setUp {
		b.davit(args...)
		if args[0] == "kill" {
			awaitStatus(b.root, "c1", "stopped")
		}
	}
	r = b.inject(f, v.args...)
	bad = crashed(r.out, r.status)
	switch {
	case r.hung:
		bad = "hangs"
	case bad == "" && r.name == "" && r.status != 0:
		bad = "fails without a fault: " + r.out
	case bad == "":
		bad = v.check(b, r)
	}
	if len(r.vain) > 0 && bad == "" {
		bad = fmt.Sprintf("closes what is not open: %s", r.vain)
	}
	if out, status := b.try("delete", "--force", "c1"); status != 0 && bad == "" {
		bad = fmt.Sprintf("delete --force: exit status %d: %s", status, out)
	}
	if left := whatIsLeft(b.root); left != "" {
		b.t.Fatalf("%s: exit status %d: %s\nleft: %s", r.name, r.status, r.out, left)
	}
	if bad == "" {
		bad = wrongHooks(hooks)
	}
	os.Remove(hooks)
	return r, bad
}

// wrongHooks returns what is wrong with how often hooks have run, according to the file to which
// they write their kinds. No hook may run twice, and if any has run, the poststop hooks must run
// once.
func wrongHooks(file string) string {
	text, _ := os.ReadFile(file)
	count := func(kind string) int { return strings.Count(string(text), kind+"\n") }
	switch runtime, start, stop := count("createRuntime"), count("poststart"), count("poststop"); {
	case runtime > 1 || start > 1 || stop > 1, start > runtime, runtime > stop:
		return fmt.Sprintf("hooks have run: %q", text)
	}
	return ""
}

// A process in the container, or in its pid namespace, that has the stage's user ID can lower the
// stage's limit of descriptors. Then the stage cannot open the container's /dev/null, and stdio
// still is not the host's.
func TestHostsNullIsNeverStdioUnopened(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	defer b.davit("delete", "--force", "c1")
	r := b.inject(fault{always: "openat2", on: "dev/null"}, "exec", "c1", "sh", "-c", showStdin)
	if len(r.calls) == 0 {
		t.Fatal("nothing failed")
	}
	othersNull(t)(b, r.out, r.status)
}
