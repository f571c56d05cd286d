package netdev

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLinks compares with what package net finds, several times on the same socket. If an answer
// were left over, it would be taken for the answer to the next question.
func TestLinks(t *testing.T) {
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	want, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := links(c)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
		for _, w := range want {
			if got[int32(w.Index)] != w.Name {
				t.Errorf("link %d is %q, want %q", w.Index, got[int32(w.Index)], w.Name)
			}
			l, err := find(c, w.Name)
			if err != nil || l.name != w.Name || int(l.index) != w.Index || l.up != (w.Flags&net.FlagUp != 0) {
				t.Errorf("find %s: %+v, %v; want %+v", w.Name, l, err, w)
			}
			if _, err := find(c, "no-such-device"); !errors.Is(err, unix.ENODEV) {
				t.Errorf("find a device that is not there: %v", err)
			}
		}
	}
}
