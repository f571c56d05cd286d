package integration

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// While openat2(2) goes up a "..", it fails with EAGAIN if anything anywhere is renamed. On a busy
// host something is always renamed. The stage tries again, and no create may fail because of
// renames.
func TestResolvedWhileOthersRename(t *testing.T) {
	b := newBox(t, `process.args=["true"]`)
	up := strings.Repeat("d/../", 300)
	if err := os.MkdirAll(b.path("d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(up+"target", b.path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(b.path("target"), 0o755); err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for i := range 50 {
		mounts = append(mounts, fmt.Sprintf(`mounts+={"destination":"/link/m%d","type":"tmpfs","source":"tmpfs"}`, i))
	}
	b.edit(mounts...)

	var over atomic.Bool
	var renames atomic.Int64
	done := make(chan struct{})
	busy := t.TempDir()
	mustWrite(t, busy+"/a", "")
	go func() {
		defer close(done)
		for !over.Load() {
			unix.Rename(busy+"/a", busy+"/b")
			unix.Rename(busy+"/b", busy+"/a")
			renames.Add(2)
		}
	}()
	defer func() { over.Store(true); <-done }()
	for range 10 {
		if out, status := b.try("run", "c1"); status != 0 {
			t.Fatalf("exit status %d after %d renames\n%s", status, renames.Load(), out)
		}
	}
}
