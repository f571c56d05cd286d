package integration

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// openat2(2) gives up with EAGAIN when something is renamed anywhere while it goes up a "..". Renames are always
// going on on a busy host, and the stage tries again: no create may fail for them.
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
