package sys

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) int {
	t.Helper()
	n, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func isOpen(n int) bool {
	_, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	return err == nil
}

// TestFD: a descriptor is closed once. If it was handed over, it is not closed at all.
func TestFD(t *testing.T) {
	n := open(t)
	f := Own(n)
	if f.Int() != n || f.Close() != nil || isOpen(n) || f.Int() != -1 {
		t.Error("it is not closed")
	}
	again := open(t) // it gets the same number
	if f.Close() != nil || again == n && !isOpen(again) {
		t.Error("another descriptor is closed")
	}
	g := Own(again)
	if g.Disown() != again || g.Close() != nil || !isOpen(again) || g.Disown() != -1 {
		t.Error("what was handed over is closed")
	}
	unix.Close(again)
	var none *FD
	if Own(-1) != nil || none.Int() != -1 || none.Close() != nil || none.Disown() != -1 {
		t.Error("no descriptor is one")
	}
}

// TestCheckLeaks reports each descriptor that was left open, with the function that made it.
func TestCheckLeaks(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	var left *FD
	code := CheckLeaks(func() int {
		left = Own(open(t))
		Own(open(t)).Close()
		unix.Close(Own(open(t)).Disown())
		return 0
	})
	os.Stderr = stderr
	w.Close()
	text := make([]byte, 8192)
	n, _ := r.Read(text)
	r.Close()
	left.Close()
	if said := string(text[:n]); code != 1 || strings.Count(said, "is left open") != 1 || !strings.Contains(said, "TestCheckLeaks") {
		t.Errorf("code %d: %s", code, said)
	}
	if CheckLeaks(func() int { return 0 }) != 0 {
		t.Error("a leak without one")
	}
}
