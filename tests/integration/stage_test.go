package integration

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/internal/plan"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

const ownUserNamespace = `linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`

// userNamespace gives a bundle a user namespace.
func (b *box) userNamespace() {
	b.edit(`linux.namespaces+={"type":"user"}`, ownUserNamespace, strings.Replace(ownUserNamespace, "uid", "gid", 1))
	for dir := b.path("."); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := os.Chown(b.path("."), 100000, 100000); err != nil {
		b.t.Fatal(err)
	}
}

// Invariants 1 and 5: a container's process cannot trace, open or read processes of davit that join
// the container. It cannot write to their executable either (CVE-2016-9962, CVE-2019-5736,
// CVE-2024-21626).
func TestAttackOnExec(t *testing.T) {
	for _, user := range []bool{false, true} {
		t.Run(map[bool]string{false: "root", true: "user_namespace_and_all_capabilities"}[user], func(t *testing.T) {
			b := newBox(t)
			b.plantAttacker()
			if user {
				b.userNamespace()
				b.edit(allCapabilities)
			}
			sum := checksum(t, davit)
			b.davit("run", "-d", "c1")
			if err := awaitFile(b.path("up")); err != nil {
				t.Fatal(err)
			}
			for range 60 {
				b.davit("exec", "c1", "/bin/true")
			}
			breaches, met := b.stopAttack()
			if breaches != "" {
				t.Errorf("the container got hold of davit:\n%s", breaches)
			}
			t.Logf("met %d processes of davit", met)
			if met == 0 {
				t.Error("the attacker met no process of davit: this proves nothing")
			}
			if checksum(t, davit) != sum {
				t.Error("davit's binary was changed")
			}
			b.davit("delete", "--force", "c1")
		})
	}
}

const allCapabilities = `process.capabilities={"bounding":["CAP_SYS_PTRACE","CAP_SYS_ADMIN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_KILL","CAP_SETUID"],"effective":["CAP_SYS_PTRACE","CAP_SYS_ADMIN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_KILL","CAP_SETUID"],"permitted":["CAP_SYS_PTRACE","CAP_SYS_ADMIN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_KILL","CAP_SETUID"]}`

// The same holds for a stage that waits for start in the pid namespace of another container.
func TestAttackOnWaitingStage(t *testing.T) {
	b := newBox(t)
	b.plantAttacker()
	b.davit("run", "-d", "c1")
	if err := awaitFile(b.path("up")); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(b.work, "victim")
	if err := makeBundle(victim); err != nil {
		t.Fatal(err)
	}
	if err := editConfig(victim, []string{fmt.Sprintf("linux.namespaces[0].path=/proc/%d/ns/pid", b.pid()), `process.args=["true"]`}); err != nil {
		t.Fatal(err)
	}
	b.davit("create", "--bundle", victim, "victim")
	s, err := stateOf(b.root, "victim")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd", s.Pid), &st); err != nil || st.Mode&0o077 != 0 {
		t.Errorf("/proc/PID/fd: mode %o, %v", st.Mode, err)
	}
	time.Sleep(50 * time.Millisecond) // the attacker needs time to look at it, and does not announce that
	breaches, met := b.stopAttack()
	if breaches != "" {
		t.Errorf("the container got hold of the waiting stage:\n%s", breaches)
	}
	if met == 0 {
		t.Error("the attacker did not meet the stage")
	}
	b.davit("delete", "--force", "victim")
	b.davit("delete", "--force", "c1")
}

// If a program is a link to /proc/self/exe, the exec runs the stage again and never davit. The
// stage then has only the container's privileges, and its memory is sealed.
func TestProgramIsOwnExecutable(t *testing.T) {
	b := newBox(t, "root.readonly=false")
	sum := checksum(t, davit)
	for _, link := range []string{"/proc/self/exe", "/proc/thread-self/exe", "/proc/1/exe"} {
		os.Remove(b.path("evil"))
		if err := os.Symlink(link, b.path("evil")); err != nil {
			t.Fatal(err)
		}
		b.edit(`process.args=["/evil","3","100","0"]`)
		out, status := b.try("run", "c1")
		t.Logf("%s: exit status %d %s", link, status, out)
		if status == 0 {
			t.Errorf("%s: succeeded", link)
		}
		// The same with exec, and a script whose interpreter is the link (as in CVE-2019-5736).
		mustWrite(t, b.path("script"), "#!"+link+"\n")
		b.edit(`process.args=["sleep","1000"]`)
		b.davit("run", "-d", "c1")
		out, status = b.try("exec", "c1", "/script")
		t.Logf("script of %s: exit status %d %s", link, status, out)
		if status == 0 {
			t.Errorf("exec of a script of %s: succeeded", link)
		}
		b.davit("delete", "--force", "c1")
	}
	if checksum(t, davit) != sum {
		t.Error("davit's binary was changed")
	}
}

func checksum(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// The stage's executable is sealed: a process that gets a descriptor of it cannot write to it.
func TestStageIsSealed(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	b.davit("create", "c1")
	exe := fmt.Sprintf("/proc/%d/exe", b.pid())
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if want := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; err != nil || seals&want != want {
		t.Errorf("seals %#x: %v", seals, err)
	}
	b.davit("kill", "c1", "KILL")
	if err := awaitStatus(b.root, "c1", "stopped"); err != nil {
		t.Fatal(err)
	}
	if w, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY, 0); err == nil {
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("wrote to the stage")
		}
		w.Close()
	}
	b.davit("delete", "c1")
}

// davit is static. The process that waits for start is the stage: it has one thread, no Go runtime,
// and little memory.
func TestWaitingProcessIsSmall(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	if out, err := exec.Command("ldd", davit).CombinedOutput(); err == nil || !strings.Contains(string(out), "not a dynamic executable") {
		if f, err := elf.Open(davit); err != nil || f.Section(".interp") != nil {
			t.Errorf("ldd: %s", out)
		}
	}
	b.davit("create", "c1")
	dir := fmt.Sprintf("/proc/%d/", b.pid())
	if tasks, err := os.ReadDir(dir + "task"); err != nil || len(tasks) != 1 {
		t.Errorf("%d threads: %v", len(tasks), err)
	}
	if exe, _ := os.Readlink(dir + "exe"); exe != "/memfd:davit-stage (deleted)" {
		t.Errorf("its executable is %s", exe)
	}
	image, err := os.ReadFile(dir + "exe")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(image, []byte("Go build")) || bytes.Contains(image, []byte("runtime.main")) {
		t.Error("there is a Go runtime in it")
	}
	rollup, err := os.ReadFile(dir + "smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	private := 0
	for _, m := range regexp.MustCompile(`(?m)^Private_\w+:\s+(\d+) kB`).FindAllStringSubmatch(string(rollup), -1) {
		kb := 0
		fmt.Sscan(m[1], &kb)
		private += kb
	}
	lines, generated := 0, 0
	sources, _ := filepath.Glob("../../nsenter/stage/*.[ch]")
	for _, name := range sources {
		data, _ := os.ReadFile(name)
		if filepath.Base(name) == "plan.h" {
			generated = bytes.Count(data, []byte("\n"))
		} else {
			lines += bytes.Count(data, []byte("\n"))
		}
	}
	t.Logf("private memory of the waiting process: %d kB; the stage: %d lines of C (and %d generated), %d bytes", private, lines, generated, len(image))
	fmt.Printf("waiting process: %d kB private memory; the stage: %d lines of C, %d bytes\n", private, lines, len(image))
	if private > 100 {
		t.Errorf("%d kB private memory", private)
	}
	b.davit("delete", "c1")
}

// stageRun is the result of a stage that has run a plan.
type stageRun struct {
	status unix.WaitStatus
	said   []nsenter.Message
}

// tryPlan runs a stage with a plan in namespaces of its own, and does not answer its messages.
func tryPlan(t *testing.T, encoded []byte, fds []int) stageRun {
	t.Helper()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	n := int(null.Fd())
	stage, err := nsenter.Spawn(nsenter.Options{
		Plan: encoded, Descriptors: fds, Stdio: [3]int{n, n, n}, Cgroup: -1, Fork: -1,
		Clone: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	var run stageRun
	for pollIn(stage.Control.FD(), 5*time.Second) {
		m, err := stage.Control.Receive()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		run.said = append(run.said, m)
		if m.Kind == nsenter.Phase || m.Kind == nsenter.Ready {
			break // it waits now, or will become the program next
		}
	}
	stage.Control.Close() // this ends a stage that waits for an answer
	if !pollIn(stage.PidFD.Int(), 5*time.Second) {
		stage.Kill()
		t.Error("the stage does not end")
		return run
	}
	run.status = stage.Reap()
	return run
}

// samplePlan has strings, lists, numbers and descriptors.
func samplePlan() *plan.Plan {
	p := &plan.Plan{}
	fd := p.Open(plan.Descriptor{Kind: plan.Path, Path: "/"})
	p.Add("", plan.Umask{Mask: 0o22})
	p.Add("process.rlimits[0]", plan.Rlimit{Name: "RLIMIT_CORE", Resource: unix.RLIMIT_CORE})
	p.Add("process.args[0]", plan.Program{Name: "true", Paths: []string{"/bin/nope", "/bin/true"}})
	p.Add("linux.sysctl", plan.Sysctl{Proc: fd, Key: "kernel/nope", Value: "1"}) // this step fails, so that no program is executed
	p.Add("process.args", plan.Exec{Args: []string{"true", "x"}, Env: []string{"A=b"}})
	return p
}

const planHeader = 32

// planLayout returns the offsets of the numbers and of the references in a step's record, and the
// record's size, in bytes. internal/plan/gen has chosen them.
func planLayout(t *testing.T) (nums, refs, size int) {
	t.Helper()
	header, err := os.ReadFile("../../nsenter/stage/plan.h")
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) (n int) {
		if m := regexp.MustCompile(`#define ` + name + ` (\d+)`).FindSubmatch(header); m != nil {
			n, _ = strconv.Atoi(string(m[1]))
		}
		return n
	}
	nums = 4 + 4*value("PLAN_FDS")
	refs = nums + 8*value("PLAN_NUMS")
	return nums, refs, refs + 8*value("PLAN_REFS")
}

// Invariant 7: the stage refuses a malformed plan with an error that says so, and never crashes
// (CVE-2021-43784).
func TestMalformedPlan(t *testing.T) {
	needRoot(t)
	checkLeaks(t, t.TempDir())
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	good, err := samplePlan().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if run := tryPlan(t, good, []int{root}); len(run.said) != 1 || run.said[0].Call != "openat" {
		t.Fatalf("the plan itself: %+v", run)
	}
	put := func(offset int, value uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.NativeEndian.PutUint32(b[offset:], value)
			return b
		}
	}
	_, refs, planRecord := planLayout(t)
	record := func(step, offset int) int { return planHeader + step*planRecord + offset }
	const list = 2 // the number of the step with a list
	listAt := int(binary.NativeEndian.Uint32(good[record(list, refs+8):])) + int(binary.NativeEndian.Uint32(good[16:]))
	for name, mutate := range map[string]func([]byte) []byte{
		"another magic":                     put(0, 0x12345678),
		"of another build":                  put(4, 1),
		"a size that is too great":          put(8, uint32(len(good)+1)),
		"a size that is too small":          put(8, uint32(len(good)-1)),
		"a size beyond all":                 put(8, 0xffffffff),
		"no steps":                          put(12, 0),
		"one step more":                     put(12, 6),
		"too many steps":                    put(12, 4097),
		"steps that overflow":               put(12, 0xffffffff),
		"data elsewhere":                    put(16, 48),
		"data beyond the end":               put(16, 0xfffffff0),
		"a descriptor more":                 put(20, 2),
		"no descriptors":                    put(20, 0),
		"an unknown step":                   put(record(0, 0), 1000),
		"a negative step":                   put(record(0, 0), 0xffffffff),
		"a descriptor that was not given":   put(record(3, 4), 2),
		"a negative descriptor":             put(record(3, 4), 0xffffffff),
		"a string beyond the end":           put(record(1, refs), uint32(len(good))),
		"a string at the end of the world":  put(record(1, refs), 0xffffffff),
		"a string that is too long":         put(record(1, refs+4), uint32(len(good))),
		"a length that overflows":           put(record(1, refs+4), 0xffffffff),
		"a string without an end":           put(record(1, refs+4), 2),
		"a list that is not aligned":        put(record(list, refs+8), uint32(listAt)-binary.NativeEndian.Uint32(good[16:])+1),
		"a list without an end":             put(record(list, refs+4+8), 16),
		"an empty list":                     put(record(list, refs+4+8), 0),
		"a list with a string far away":     put(listAt, 0x7fffffff),
		"a list with a string at 2^63":      put(listAt+4, 0x80000000),
		"cut in the middle":                 func(b []byte) []byte { return b[:len(b)/2] },
		"cut after the header":              func(b []byte) []byte { return b[:planHeader] },
		"cut in the header":                 func(b []byte) []byte { return b[:7] },
		"a last byte that is not the end's": func(b []byte) []byte { b[len(b)-1] = 'x'; return b },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			run := tryPlan(t, mutate(bytes.Clone(good)), []int{root})
			if run.status.Signaled() || run.status.ExitStatus() != 1 {
				t.Errorf("the stage ended with %v", run.status)
			}
			if len(run.said) == 0 || run.said[len(run.said)-1].Kind != nsenter.Error || run.said[len(run.said)-1].Call != "plan" {
				t.Errorf("the stage said %+v", run.said)
			}
		})
	}
}

// Any byte of the header, of the steps' codes, descriptors and references, and of the data may be
// wrong. The stage refuses such a plan or fails, and does not crash.
func TestRandomPlans(t *testing.T) {
	needRoot(t)
	checkLeaks(t, t.TempDir())
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	p := samplePlan()
	good, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	nums, refs, planRecord := planLayout(t)
	random := rand.New(rand.NewSource(1))
	for i := range 200 {
		b := bytes.Clone(good)
		var changed []int
		for range 1 + random.Intn(3) {
			at := random.Intn(len(b))
			if in := (at - planHeader) % planRecord; at >= planHeader && at < planHeader+planRecord*len(p.Steps) && in >= nums && in < refs {
				continue // any value of a number is valid
			}
			b[at] = byte(random.Intn(256))
			changed = append(changed, at)
		}
		if run := tryPlan(t, b, []int{root}); run.status.Signaled() {
			t.Errorf("plan %d with changes at %v: the stage was killed by %v", i, changed, run.status.Signal())
		}
	}
}
