package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// leaky lets davit inherit descriptors 3 to 20 of a host's directory, as in CVE-2024-21626.
func leaky(b *box, cmd *exec.Cmd) *exec.Cmd {
	for range 18 {
		f, err := os.Open(b.work)
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// descriptors returns what the descriptors of a process are open on, by number.
func descriptors(t *testing.T, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fds := map[int]string{}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		fds[n], _ = os.Readlink(filepath.Join(dir, e.Name()))
	}
	return fds
}

func numbers(fds map[int]string) []int {
	var n []int
	for fd := range fds {
		n = append(n, fd)
	}
	slices.Sort(n)
	return n
}

// Invariant 2: only stdio crosses the exec, whatever davit has inherited. The working directory and
// the root are the container's.
func TestDescriptors(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`, "root.readonly=false")
	check := func(what string, pid int) {
		t.Helper()
		fds := descriptors(t, pid)
		if !slices.Equal(numbers(fds), []int{0, 1, 2}) {
			t.Errorf("%s: descriptors %v", what, fds)
		}
		for _, link := range []string{"cwd", "root"} {
			if to, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)); err != nil || to != "/" {
				t.Errorf("%s: %s is %q: %v", what, link, to, err)
			}
		}
	}
	if out, err := b.runFiles(leaky(b, b.command("create", "c1"))); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	waiting := b.pid()
	for fd, to := range descriptors(t, waiting) {
		if to == b.work {
			t.Errorf("the waiting stage holds %d, %s", fd, to)
		}
	}
	b.davit("start", "c1")
	check("create and start", waiting)

	pidFile := filepath.Join(b.work, "pid")
	if out, err := b.runFiles(leaky(b, b.command("exec", "-d", "--pid-file", pidFile, "c1", "sleep", "1000"))); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check("exec", pidIn(t, pidFile))
	b.davit("delete", "--force", "c1")

	if out, err := b.runFiles(leaky(b, b.command("run", "-d", "c1"))); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check("run", b.pid())
	b.davit("delete", "--force", "c1")

	// The process gets the descriptors that the caller asks for, and no others.
	for _, verb := range []string{"run", "exec"} {
		args := []string{"run", "-d", "--preserve-fds", "2", "--pid-file", pidFile, "c1"}
		if verb == "exec" {
			args = []string{"exec", "-d", "--preserve-fds", "2", "--pid-file", pidFile, "c1", "sleep", "1000"}
		}
		if out, err := b.runFiles(leaky(b, b.command(args...))); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		fds := descriptors(t, pidIn(t, pidFile))
		if !slices.Equal(numbers(fds), []int{0, 1, 2, 3, 4}) || fds[3] != b.work || fds[4] != b.work {
			t.Errorf("%s --preserve-fds 2: %v", verb, fds)
		}
	}
	b.davit("delete", "--force", "c1")
}

// Hooks get stdio and nothing else.
func TestDescriptorsOfHooks(t *testing.T) {
	b := newBox(t, `process.args=["true"]`, "root.readonly=false")
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		out := filepath.Join(b.work, kind)
		if kind == "startContainer" {
			out = "/" + kind
		}
		// sh has the descriptors that it was started with. Those that it opens itself have the
		// numbers 10 and above.
		b.edit(fmt.Sprintf(`hooks.%s=[{"path":"/bin/sh","args":["sh","-c","cat >/dev/null; for f in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$f ] && echo $f; done >%s; true"],"env":["PATH=/bin:/usr/bin"]}]`, kind, out))
	}
	if out, err := b.runFiles(leaky(b, b.command("run", "--preserve-fds", "2", "c1"))); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		file := filepath.Join(b.work, kind)
		if kind == "startContainer" {
			file = b.path(kind)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		} else if have := strings.Join(strings.Fields(string(data)), " "); have != "0 1 2" {
			t.Errorf("%s: descriptors %s", kind, have)
		}
	}
}

// In the middle of an exec, a process's memory already belongs to the container, and close-on-exec
// descriptors are still open. So the stage, and the process that becomes a hook, close them before.
// Only the socket for errors is left.
func TestDescriptorsAtExec(t *testing.T) {
	b := newBox(t, held...)
	for _, kind := range []string{"createContainer", "startContainer"} {
		b.edit(fmt.Sprintf(`hooks.%s=[{"path":"/bin/true"}]`, kind))
	}
	execs, lookups := 0, 0
	out, _ := b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
		call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", thread))
		number, _, _ := strings.Cut(string(call), " ")
		if commOf(thread) != "davit-stage" {
			return true
		}
		allowed := []string{"socket:"}
		switch number {
		case fmt.Sprint(unix.SYS_EXECVE):
			execs++
		case fmt.Sprint(unix.SYS_FACCESSAT2): // the program's name comes from the image, and must not lead to anything of the host either
			lookups++
			allowed = append(allowed, "/memfd:davit-", "/ ", "/bin/")
		default:
			return true
		}
		for fd, to := range descriptors(t, thread) {
			if fd > 2 && !slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(to+" ", p) }) {
				t.Errorf("system call %s: descriptor %d is %s", number, fd, to)
			}
		}
		return true
	}, "run", "c1")
	if execs != 3 || lookups == 0 {
		t.Errorf("%d programs were exec'd, not two hooks and the container's; %d names looked up: %s", execs, lookups, out)
	}
}

func pidIn(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// There are more mounts than the soft limit of davit's caller allows descriptors. The stage copes
// with it, and the process has the caller's limit or the config's.
func TestManyMountsFewDescriptors(t *testing.T) {
	b := newBox(t, `process.args=["cat","/proc/self/limits"]`, "process.rlimits=[]", "root.readonly=false")
	var mounts []string
	for i := range 100 {
		mounts = append(mounts, fmt.Sprintf(`{"destination":"/many/%d","type":"bind","source":%q,"options":["bind","ro"]}`, i, b.work))
	}
	b.edit(`mounts=[{"destination":"/proc","type":"proc","source":"proc"},` + strings.Join(mounts, ",") + "]")
	check := func(limit string) {
		t.Helper()
		cmd := b.command("run", "--bundle", b.bundle, "c1")
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -Sn 64; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(strings.Join(strings.Fields(string(out)), " "), "Max open files "+limit) {
			t.Errorf("not %q: %v\n%s", limit, err, out)
		}
	}
	check("64 ")
	b.edit(`process.rlimits=[{"type":"RLIMIT_NOFILE","soft":100,"hard":200}]`)
	check("100 200 ")
}
