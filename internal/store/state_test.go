package store

import (
	"os"
	"path/filepath"
	"testing"

	"davit/internal/host"

	"golang.org/x/sys/unix"
)

// TestStickyRoot: a user's default root survives those who clean $XDG_RUNTIME_DIR; another is left as it is.
func TestStickyRoot(t *testing.T) {
	runtime := t.TempDir()
	for root, want := range map[string]os.FileMode{
		filepath.Join(runtime, "davit"):    os.ModeDir | os.ModeSticky | 0o700,
		filepath.Join(t.TempDir(), "root"): os.ModeDir | 0o700,
	} {
		dir, err := Store{Root: root, Sticky: filepath.Dir(root) == runtime}.MakeDir("c1")
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(dir)
		if st, err := os.Stat(root); err != nil || st.Mode() != want {
			t.Errorf("%s: %s, not %s (%v)", root, st.Mode(), want, err)
		}
	}
}

// TestAnotherBoot: after a reboot, another process may have the pid of a container's, and its pidfd the inode. Where the
// state is still there, the start time tells them apart.
func TestAnotherBoot(t *testing.T) {
	pid := os.Getpid()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	c := &Entry{}
	c.Remember(pid, pidfd, host.Host(), "/var/lib/davit/c1")
	if c.Pidfd, err = c.findProcess(); c.Pidfd.Int() < 0 || err != nil {
		t.Errorf("the process is not found: %v", err)
	}
	c.Close()
	c.StartTime--
	if c.Pidfd, err = c.findProcess(); c.Pidfd.Int() >= 0 || err != nil {
		t.Error("another boot's process is taken for the container's")
	}
	c.Close()
	short := &State{}
	short.Remember(pid, pidfd, host.Host(), "/run/davit/c1")
	if short.Inode != 0 && short.StartTime != 0 {
		t.Error("the start time is read for a state that does not outlive the boot")
	}
}
