package libcontainer

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStickyRoot: a user's default root survives those who clean $XDG_RUNTIME_DIR; another is left as it is.
func TestStickyRoot(t *testing.T) {
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	for root, want := range map[string]os.FileMode{
		filepath.Join(runtime, "davit"):    os.ModeDir | os.ModeSticky | 0o700,
		filepath.Join(t.TempDir(), "root"): os.ModeDir | 0o700,
	} {
		dir, err := Store{root}.makeDir("c1")
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(dir)
		if st, err := os.Stat(root); err != nil || st.Mode() != want {
			t.Errorf("%s: %s, not %s (%v)", root, st.Mode(), want, err)
		}
	}
}
