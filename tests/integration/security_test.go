package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Each test tries the attack of a published vulnerability. docs/security.md says which one, and why
// it fails.

// A container prints escaped if it got access to something of the host.
const escaped = "ESCAPED"

// hostDirectory makes a directory with a program and a file. No container of b is given this
// directory.
func (b *box) hostDirectory() string {
	b.t.Helper()
	dir := filepath.Join(b.work, "host")
	mustWrite(b.t, dir+"/secret", escaped+"\n")
	if err := os.Link(filepath.Join(rootfs, "bin/busybox"), dir+"/busybox"); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// leaking runs davit as a caller that leaves descriptors of the directory host open, and returns
// the output and the exit status.
func (b *box) leaking(host string, args ...string) (string, int) {
	b.t.Helper()
	dir, err := os.Open(host)
	if err != nil {
		b.t.Fatal(err)
	}
	defer dir.Close()
	out, err := os.Create(filepath.Join(b.work, "out"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{dir, dir, dir, dir, dir, dir, dir, dir, dir, dir} // 3 to 12
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	return string(text), exitCode(err)
}

// held is a config for which davit has to open files of the host.
var held = []string{
	`process.args=["true"]`, "root.readonly=false", `linux.sysctl={"net.ipv4.ip_default_ttl":"64"}`,
	`mounts+={"destination":"/vol","type":"bind","source":"/usr","options":["rbind","ro"]}`,
}

const mostDescriptors = 24

// CVE-2024-21626: the working directory is one to which a descriptor of davit, or of davit's
// caller, leads.
func TestLeakedWorkingDirectory(t *testing.T) {
	b := newBox(t, held...)
	host := b.hostDirectory()
	b.edit(`process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1")
	// The file secret is the caller's. If the directory of a host process exists, the working
	// directory is davit's procfs.
	look := fmt.Sprintf("cat secret ../secret; test -e %d && echo ESCAPED; true", os.Getpid())
	b.edit(`process.args=["sh","-c","`+look+`"]`, "linux.cgroupsPath="+subtree+"/c2")
	for n := range mostDescriptors {
		for i, form := range []string{"/proc/self/fd/%d", "/proc/self/fd/%d/../", "/proc/thread-self/fd/%d"} {
			if testing.Short() && i != n%3 {
				continue
			}
			cwd := fmt.Sprintf(form, n)
			b.edit("process.cwd=" + cwd)
			if out, _ := b.leaking(host, "run", "c2"); strings.Contains(out, escaped) {
				t.Fatalf("run with cwd %s: %s", cwd, out)
			}
			if out, _ := b.leaking(host, "exec", "--cwd", cwd, "c1", "sh", "-c", look); strings.Contains(out, escaped) {
				t.Fatalf("exec with cwd %s: %s", cwd, out)
			}
		}
	}
	b.davit("delete", "--force", "c1")
}

// CVE-2024-21626, "attack 3": a descriptor leads to the program, or to the interpreter in its first
// line. The kernel looks both up before it closes the close-on-exec descriptors.
func TestLeakedProgram(t *testing.T) {
	b := newBox(t, held...)
	host := b.hostDirectory()
	b.edit(`process.args=["sleep","1000"]`)
	b.davit("run", "-d", "c1") // its root is another way, for a procfs of the host
	other := b.pid()
	if err := os.Link(filepath.Join(rootfs, "bin/busybox"), b.path("tmp/busybox")); err != nil {
		t.Fatal(err)
	}
	b.edit("linux.cgroupsPath=" + subtree + "/c2")
	for n := 3; n < mostDescriptors; n++ {
		for i, form := range []string{"/proc/self/fd/%d/busybox", "/proc/self/fd/%d/../host/busybox", fmt.Sprintf("/proc/self/fd/%%d/%d/root/tmp/busybox", other)} {
			if testing.Short() && i != n%3 {
				continue
			}
			program := fmt.Sprintf(form, n)
			mustWrite(t, b.path("script"), "#!"+program+" sh\necho "+escaped+"\n")
			for _, edit := range []string{`process.args=["` + program + `","echo","` + escaped + `"]`, `process.args=["/script"]`} {
				b.edit(edit)
				if out, _ := b.leaking(host, "run", "c2"); strings.Contains(out, escaped) {
					t.Fatalf("run %s: %s", edit, out)
				}
			}
			if out, _ := b.leaking(host, "exec", "c1", program, "echo", escaped); strings.Contains(out, escaped) {
				t.Fatalf("exec %s: %s", program, out)
			}
			if out, _ := b.leaking(host, "exec", "c1", "/script"); strings.Contains(out, escaped) {
				t.Fatalf("exec of a script for %s: %s", program, out)
			}
		}
	}
	b.davit("delete", "--force", "c1")
}

// Invariant 2: a container has stdio and nothing else, and a process that waits for start holds
// nothing of the host.
func TestHeldDescriptors(t *testing.T) {
	b := newBox(t, held...)
	host := b.hostDirectory()
	b.edit(`process.args=["sh","-c","ls /proc/self/fd | tr '\n' ' '; ls -l /proc/1/fd"]`)
	out, _ := b.leaking(host, "run", "c1")
	if !strings.HasPrefix(out, "0 1 2 3 ") || strings.Contains(out, "host") { // 3 is the directory that ls reads
		t.Errorf("in the container: %s", out)
	}
	if out, status := b.leaking(host, "create", "c1"); status != 0 {
		t.Fatal(out)
	}
	dir := fmt.Sprintf("/proc/%d/fd/", b.pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		to, _ := os.Readlink(dir + e.Name())
		if n, _ := strconv.Atoi(e.Name()); n < 3 {
			continue
		}
		if st, err := os.Stat(dir + e.Name()); err == nil && st.IsDir() && to != "/" {
			t.Errorf("the waiting stage holds a directory: %s -> %s", e.Name(), to)
		}
	}
	b.davit("delete", "c1")
}

// CVE-2016-9962: somebody inside looks at and traces a process that joins a container, or waits in
// it.
func TestProbedStage(t *testing.T) {
	b := newBox(t, `process.args=["/prober"]`, "root.readonly=false")
	if built := os.Getenv("DAVIT_PROBER"); built != "" { // for a machine without Go: tests/vm/suite
		if out, err := exec.Command("cp", built, b.path("prober")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	} else {
		build := exec.Command("go", "build", "-o", b.path("prober"), "./testdata/prober")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cmd := b.command("run", "c1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, b, "c1")
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		// After the exec the process is the container's, and the prober may stop it. So the test
		// ignores how it ends.
		for _, args := range [][]string{{"exec", "c1", "true"}, {"exec", "--user", "1000", "c1", "true"}} {
			e := b.command(args...)
			if err := e.Start(); err != nil {
				t.Fatal(err)
			}
			end := time.AfterFunc(2*time.Second, func() { e.Process.Kill() })
			e.Wait()
			end.Stop()
		}
	}
	stdin.Close()
	cmd.Wait()
	var seen int
	if _, err := fmt.Sscanf(out.String(), "saw %d, got", &seen); err != nil {
		t.Fatal(out.String())
	}
	if seen == 0 {
		t.Error("the prober saw no stage: the test shows nothing")
	}
	if !strings.HasSuffix(out.String(), "got []\n") {
		t.Error(out.String())
	}
	t.Log(out.String())
}

func awaitRunning(t *testing.T, b *box, id string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s, err := stateOf(b.root, id); err == nil && s.Status == "running" {
			return
		}
	}
	t.Fatalf("%s does not run", id)
}

// CVE-2016-9962, with much time: the stage of a created container is the container's process 1, and
// attackers may look at it for hours.
func TestProbedWaitingStage(t *testing.T) {
	for _, user := range []string{"0", "1000"} {
		b := newBox(t, `process.args=["true"]`, "process.user.uid="+user)
		b.davit("create", "c1")
		for _, look := range []string{"readlink /proc/1/fd/0", ": </proc/1/fd/3", "ls /proc/1/root/", "ls /proc/1/cwd/", "cat /proc/1/environ", "cat /proc/1/maps", ": >>/proc/1/mem", "readlink /proc/1/exe"} {
			if out, status := b.try("exec", "--user", user, "c1", "sh", "-c", look); status == 0 {
				t.Errorf("user %s: %s: %s", user, look, out)
			}
		}
		b.davit("delete", "--force", "c1")
	}
}

// CVE-2019-5736: the container tries to reach davit's binary through /proc/PID/exe, with the link
// as its program and as its interpreter.
func TestOwnBinary(t *testing.T) {
	needRoot(t)
	before := sum(t, davit)
	b := newBox(t, `process.args=["/proc/self/exe","--version"]`, "root.readonly=false")
	mustWrite(t, b.path("script"), "#!/proc/self/exe --version\n")
	for _, edit := range []string{`process.args=["/proc/self/exe","--version"]`, `process.args=["/script"]`} {
		b.edit(edit)
		if out, status := b.try("run", "c1"); status == 0 || strings.Contains(out, "davit version") {
			t.Errorf("%s: exit status %d, %s", edit, status, out)
		}
	}
	// The program that runs in the end is a memfd that nobody can write to.
	b.edit(`process.args=["sleep","1000"]`)
	b.davit("create", "c1")
	exe := fmt.Sprintf("/proc/%d/exe", b.pid())
	if to, _ := os.Readlink(exe); !strings.HasPrefix(to, "/memfd:davit-stage") {
		t.Errorf("the stage is %s", to)
	}
	f, err := os.Open(exe) // as root of the host, which is more than an attacker has
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.davit("start", "c1")
	try := func() {
		if w, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY, 0); err == nil {
			if n, err := w.Write([]byte("x")); err == nil {
				t.Errorf("%d bytes written to the stage", n)
			}
			w.Close()
		}
	}
	try() // while it runs
	b.davit("delete", "--force", "c1")
	try() // and after it has ended
	if sum(t, davit) != before {
		t.Error("the binary was changed")
	}
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// CVE-2016-3697, CVE-2026-30892, CVE-2026-46680: davit never looks up a number as a name, and 1 is
// not 0.
func TestNumericUser(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	mustWrite(t, b.path("etc/passwd"), "1:x:0:0::/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\n4294967296:x:0:0::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\n")
	b.davit("run", "-d", "c1")
	for _, id := range []string{"1", "1000"} {
		if out := b.davit("exec", "--user", id, "c1", "sh", "-c", "id -u"); strings.TrimSpace(out) != id {
			t.Errorf("exec --user %s: uid %s", id, out)
		}
	}
	for _, id := range []string{"4294967296", "4294967295", "-1", "1000x", "root", "18446744073709551616", "0x0", ""} {
		if out, status := b.try("exec", "--user", id, "c1", "id", "-u"); status == 0 && id != "" {
			t.Errorf("exec --user %s: %s", id, out)
		}
	}
	b.davit("delete", "--force", "c1")
}

// CVE-2022-29162, CVE-2022-24769, CVE-2022-27650: a process gets no inheritable or ambient
// capabilities that nobody asked for.
func TestInheritableCapabilities(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`, "process.capabilities.inheritable-", "process.capabilities.ambient-")
	b.davit("run", "-d", "c1")
	for _, args := range [][]string{nil, {"--cap", "CAP_NET_ADMIN"}, {"--user", "1000"}, {"--user", "1000", "--cap", "CAP_NET_ADMIN"}} {
		out := b.davit(append(append([]string{"exec"}, args...), "c1", "cat", "/proc/self/status", "/proc/1/status")...)
		for _, line := range strings.Split(out, "\n") {
			if name, value, _ := strings.Cut(line, ":"); name == "CapInh" && strings.Trim(value, "\t0") != "" {
				t.Errorf("exec %v: %s", args, line)
			}
		}
	}
	b.davit("delete", "--force", "c1")
}

// CVE-2021-43784: lengths that are too large for their field, so that an attacker's data would
// begin elsewhere.
func TestLengths(t *testing.T) {
	for _, n := range []int{65535, 65536, 65537, 100_000} {
		b := newBox(t, `process.args=["sh","-c","echo ${#BIG} $AFTER"]`)
		b.edit(`process.env=["PATH=/bin","BIG=` + strings.Repeat("x", n) + `","AFTER=after"]`)
		if out := b.davit("run", "c1"); out != fmt.Sprintf("%d after\n", n) {
			t.Errorf("%d bytes: %.40q", n, out)
		}
	}
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf(`"/m%d"`, i)
	}
	b := newBox(t, `process.args=["true"]`, "linux.maskedPaths=["+strings.Join(many, ",")+"]")
	if out, status := b.try("run", "c1"); status != 0 { // only the plan's size is limited
		t.Errorf("5000 steps: exit status %d, %s", status, out)
	}
	b = newBox(t, `process.args=["true"]`, `process.env=["PATH=/bin","BIG=`+strings.Repeat("x", 65<<20)+`"]`)
	if out, status := b.try("run", "c1"); status == 0 || !strings.Contains(out, "more than the 16777216 that it may have") {
		t.Errorf("65 MiB: exit status %d, %.300s", status, out)
	}
}

// CVE-2022-0811 and similar ones: names that lead out of the directory in which they are looked up.
func TestClimbingNames(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	for _, edit := range []string{
		`linux.sysctl={"net/../kernel/core_pattern":"x"}`, `linux.sysctl={"kernel.core_pattern":"x"}`, `linux.sysctl={"net/":"x"}`,
		`linux.sysctl={"/net/../kernel/core_pattern":"x"}`, `linux.sysctl={"net.ipv4/../../kernel/core_pattern":"x"}`,
		`linux.sysctl={"net//ipv4/ip_forward":"1"}`, `linux.sysctl={"net.ipv4.ip_forward+kernel.core_pattern":"1"}`,
		"linux.cgroupsPath=/a/../../x", "linux.cgroupsPath=../x", `linux.resources.unified={"../x":"1"}`, `linux.resources.unified={"a/b":"1"}`,
		`linux.namespaces=[{"type":"mount"},{"type":"pid","path":"/etc/passwd"}]`, `hostname=` + strings.Repeat("x", 100),
	} {
		c := newBox(t, `process.args=["true"]`, edit)
		if out, status := c.try("run", "c1"); status == 0 {
			t.Errorf("%.80s is accepted: %s", edit, out)
		}
	}
	for _, id := range []string{"../x", "..", ".", "a/b", "", ".x", "x\ny", strings.Repeat("x", 256)} {
		if out, status := b.try("run", id); status == 0 {
			t.Errorf("id %q is accepted: %s", id, out)
		}
	}
}

// davit reads a container's /etc/passwd. It must not wait for a fifo, open a device (which may have
// effects), read without a limit, or leave the root.
func TestHostilePasswd(t *testing.T) {
	plant := map[string]func(b *box, path string) error{
		"fifo":      func(_ *box, path string) error { return unix.Mkfifo(path, 0o644) },
		"device":    func(_ *box, path string) error { return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))) },
		"directory": func(_ *box, path string) error { return os.Mkdir(path, 0o755) },
		"huge": func(_ *box, path string) error {
			return errorsOf(os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<40))
		},
		"link out": func(b *box, path string) error { return os.Symlink(b.work+"/passwd", path) },
		"magic":    func(b *box, path string) error { return os.Symlink("/proc/self/root/"+b.work+"/passwd", path) },
		"loop":     func(_ *box, path string) error { return os.Symlink("passwd", path) },
	}
	for name, f := range plant {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, `process.args=["sh","-c","echo home=$HOME; exec sleep 1000"]`, `process.env=["PATH=/bin"]`)
			mustWrite(t, b.work+"/passwd", "root:x:0:0::/"+escaped+":/bin/sh\n")
			os.Remove(b.path("etc/passwd"))
			if err := f(b, b.path("etc/passwd")); err != nil {
				t.Fatal(err)
			}
			opened := make(chan bool, 1)
			if name == "fifo" { // a writer can open it only when there is a reader
				go func() {
					fd, err := unix.Open(b.path("etc/passwd"), unix.O_WRONLY, 0)
					unix.Close(fd)
					opened <- err == nil
				}()
			}
			out := b.davit("run", "-d", "c1") + b.davit("exec", "c1", "sh", "-c", "echo home=$HOME")
			if strings.Contains(out, escaped) || strings.Contains(out, "home=/root") {
				t.Error(out)
			}
			b.davit("delete", "--force", "c1")
			if name == "fifo" {
				select {
				case <-opened:
					t.Error("davit opened the fifo")
				default:
					fd, _ := unix.Open(b.path("etc/passwd"), unix.O_RDONLY|unix.O_NONBLOCK, 0)
					<-opened
					unix.Close(fd)
				}
			}
		})
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// davit writes the pid file to a temporary file first. A link in its place does not lead davit
// elsewhere.
func TestPlantedPidFile(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	mustWrite(t, b.work+"/precious", "precious")
	if err := os.Symlink(b.work+"/precious", b.work+"/.pid"); err != nil {
		t.Fatal(err)
	}
	b.davit("run", "--pid-file", b.work+"/pid", "c1")
	if data, _ := os.ReadFile(b.work + "/precious"); string(data) != "precious" {
		t.Errorf("overwritten with %q", data)
	}
	if data, _ := os.ReadFile(b.work + "/pid"); len(data) == 0 {
		t.Error("no pid file")
	}
}

// A config cannot forge a line of the log.
func TestForgedLog(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		b := newBox(t, `process.args=["/no\nlevel=error msg=\"forged\"\n{\"level\":\"error\",\"msg\":\"forged\"}"]`)
		log := filepath.Join(b.work, "log")
		b.try("--log", log, "--log-format", format, "run", "c1")
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte("\n")); n != 1 {
			t.Errorf("%s: %d lines:\n%s", format, n, data)
		}
	}
}

// It cannot send escape sequences to the terminal of the reader of an error either: names of an
// image may contain them.
func TestEscapesInErrors(t *testing.T) {
	for _, escape := range []string{`\u001b]0;x\u0007`, `\u009b2J`, `\u007f`, `\r`, `\b`} {
		b := newBox(t, `process.args=["/no`+escape+`"]`)
		out, status := b.try("run", "c1")
		if status == 0 || strings.ContainsFunc(strings.TrimSuffix(out, "\n"), unicode.IsControl) {
			t.Errorf("exit status %d: %q", status, out)
		}
	}
}

// All containers of a user share the names of session keyrings. An attacker has made one beforehand
// that everybody may search. davit must not join it, because the attacker and the container would
// share its keys.
func TestPlantedKeyring(t *testing.T) {
	id := fmt.Sprintf("planted-%d", os.Getpid())
	b := newBox(t, "linux.maskedPaths=[]", `process.args=["grep","-c","`+id+`-key","/proc/keys"]`)
	ready, stop := make(chan error), make(chan struct{})
	defer close(stop)
	go func() {
		runtime.LockOSThread() // it is never unlocked, because the keyring belongs to this thread
		ring, err := unix.KeyctlJoinSessionKeyring("_ses." + id)
		if err == nil {
			const all = 0x3f3f3f3f // all rights for everybody: keyctl_setperm(3)
			err = unix.KeyctlSetperm(ring, all)
		}
		var key int
		if err == nil {
			key, err = unix.AddKey("user", id+"-key", []byte("x"), ring)
		}
		if err == nil {
			const possessor = 0x3f000000 // only for a process that has the key in its session keyring; others do not see it
			err = unix.KeyctlSetperm(key, possessor)
		}
		ready <- err
		<-stop
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	if out, _ := b.try("run", id); out != "0\n" {
		t.Errorf("the container has keys of another's: %q", out)
	}
}

// exec does not open what a container has put in place of its /dev/null: to open a device can be
// enough to start it.
func TestPlantedNullIsNotOpened(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`, "root.readonly=false")
	b.davit("run", "-d", "c1")
	b.davit("exec", "c1", "sh", "-c", "rm /dev/null && mkfifo /dev/null")
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, fmt.Sprintf("/proc/%d/root/dev/null", b.pid()), unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := b.command("exec", "c1", "true")
	cmd.Stdin = null
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if pollIn(fd, 0) {
		t.Error("the fifo was opened")
	}
	b.davit("delete", "--force", "c1")
}
