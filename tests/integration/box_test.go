package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// box is a bundle, and the davit that runs it, for tests in Go.
type box struct {
	t      *testing.T
	work   string // a directory that counts as the host's for the container
	root   string // davit's --root
	bundle string // work/c1
}

// newBox makes a bundle work/c1 of the default config with edits.
func newBox(t *testing.T, edits ...string) *box {
	t.Helper()
	needRoot(t)
	work := t.TempDir()
	b := &box{t: t, work: work, root: filepath.Join(work, "root"), bundle: filepath.Join(work, "c1")}
	checkLeaks(t, b.root)
	t.Cleanup(func() {
		if t.Failed() {
			exec.Command(davit, "--root", b.root, "delete", "--force", "c1").Run()
		}
	})
	if err := makeBundle(b.bundle); err != nil {
		t.Fatal(err)
	}
	b.edit(edits...)
	return b
}

func (b *box) edit(edits ...string) {
	b.t.Helper()
	if err := editConfig(b.bundle, edits); err != nil {
		b.t.Fatal(err)
	}
}

// path returns the path, on the host, of a file in the root filesystem.
func (b *box) path(name string) string { return filepath.Join(b.bundle, "rootfs", name) }

func (b *box) command(args ...string) *exec.Cmd {
	cmd := exec.Command(davit, append([]string{"--root", b.root}, args...)...)
	cmd.Dir = b.bundle
	return cmd
}

// try runs davit and returns stdout and stderr together, and the exit status.
func (b *box) try(args ...string) (string, int) {
	b.t.Helper()
	out, err := b.runFiles(b.command(args...))
	return out, exitCode(err)
}

// runFiles runs a command whose output goes to a file, which a container's process may keep open.
func (b *box) runFiles(cmd *exec.Cmd) (string, error) {
	b.t.Helper()
	out, err := os.Create(filepath.Join(b.work, "out"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = runSoon(cmd)
	text, _ := os.ReadFile(out.Name())
	return string(text), err
}

// runSoon is Run for a command that must end soon; it kills a command that takes too long.
func runSoon(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(60*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	return cmd.Wait()
}

// davit runs davit, which must succeed.
func (b *box) davit(args ...string) string {
	b.t.Helper()
	out, status := b.try(args...)
	if status != 0 {
		b.t.Fatalf("davit %s: exit status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// pid returns the number of the container's process.
func (b *box) pid() int {
	b.t.Helper()
	s, err := stateOf(b.root, "c1")
	if err != nil {
		b.t.Fatal(err)
	}
	return s.Pid
}

// newLimit returns the limit that tests set with update --resources: for huge pages of 2 MiB, or
// for processes if there is no such controller.
func newLimit() string {
	if hasController("hugetlb") {
		return `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`
	}
	return `{"pids":{"limit":4194304}}`
}

// limit returns the container's value of the limit that newLimit sets.
func (b *box) limit() string {
	files := []string{"hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"}
	if !hasController("hugetlb") {
		files = []string{"pids.max"}
	}
	for _, dir := range cgroupsLeft() {
		for _, name := range files {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				return strings.TrimSpace(string(text))
			}
		}
	}
	return "none"
}

// listing returns a listing of a directory tree, which shows whether anything in it has changed.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// sampled returns every step-th item of a list with -short, as on emulated machines, and otherwise
// all items.
func sampled[T any](list []T, step int) (few []T) {
	if !testing.Short() {
		return list
	}
	for i := step / 2; i < len(list); i += step {
		few = append(few, list[i])
	}
	return few
}
