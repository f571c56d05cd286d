package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newEntry claims c1 in a new store, and writes a state. The descriptor of the directory holds the
// lock.
func newEntry(t *testing.T, s State) (Store, int) {
	t.Helper()
	store := Store{Root: filepath.Join(t.TempDir(), "root")}
	dir, err := store.MakeDir("c1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(dir) })
	s.ID = "c1"
	if err := s.Write(dir, true); err != nil {
		t.Fatal(err)
	}
	return store, dir
}

// TestLockOfContainerBeingMade: davit does not wait for the lock of a container that is being made,
// because the caller may be its own hook. To look at the container needs no lock.
func TestLockOfContainerBeingMade(t *testing.T) {
	store, _ := newEntry(t, State{})
	if _, err := store.OpenLocked("c1"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("the lock of a container that is being made: %v", err)
	}
	c, err := store.Open("c1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Status() != "creating" || c.Locked() {
		t.Errorf("%s, locked %v", c.Status(), c.Locked())
	}
	if _, err := store.MakeDir("c1"); !errors.Is(err, ErrExists) {
		t.Errorf("the id is claimed twice: %v", err)
	}
	if _, err := store.Open("c2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another id: %v", err)
	}
}

// TestLockIsWaitedFor: davit waits for the lock of a running container, and then reads the state
// again, because the holder has changed it.
func TestLockIsWaitedFor(t *testing.T) {
	pid := os.Getpid()
	s := State{Pid: pid, StartTime: startTime(pid)}
	store, dir := newEntry(t, s)
	c, err := store.Open("c1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make(chan error)
	go func() { got <- c.Lock(nil) }()
	select {
	case err := <-got:
		t.Fatalf("two have the lock: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.ID, s.Bundle = "c1", "/changed"
	if err := s.Write(dir, false); err != nil {
		t.Fatal(err)
	}
	flock(dir, unix.LOCK_UN)
	if err := <-got; err != nil || !c.Locked() || c.Bundle != "/changed" {
		t.Errorf("%v, locked %v, bundle %q", err, c.Locked(), c.Bundle)
	}
	if flock(dir, unix.LOCK_EX|unix.LOCK_NB) == nil {
		t.Error("the lock is not held")
	}
	c.Unlock()
	if c.Locked() || flock(dir, unix.LOCK_EX|unix.LOCK_NB) != nil {
		t.Error("the lock is not given back")
	}
}

// TestLockOfRemoved: davit waits for the lock of a container that is removed in the meantime. Then
// it finds no container.
func TestLockOfRemoved(t *testing.T) {
	store, dir := newEntry(t, State{Pid: os.Getpid(), StartTime: startTime(os.Getpid())})
	c, err := store.Open("c1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := RemoveDir(c.Path, dir); err != nil {
		t.Fatal(err)
	}
	flock(dir, unix.LOCK_UN)
	if err := c.Lock(nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("a removed container: %v", err)
	}
	if c.Relock() {
		t.Error("a removed container is there")
	}
}

// TestForcedLock: while another davit has the lock, the container's processes are killed once.
func TestForcedLock(t *testing.T) {
	store, dir := newEntry(t, State{Pid: os.Getpid(), StartTime: startTime(os.Getpid())})
	killed := 0
	c, err := store.OpenForced("c1", func(e *Entry) error {
		if killed++; e.Pid != os.Getpid() {
			t.Errorf("kill process %d", e.Pid)
		}
		time.AfterFunc(30*time.Millisecond, func() { flock(dir, unix.LOCK_UN) }) // the holder waited for these processes
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if killed != 1 || !c.Locked() {
		t.Errorf("killed %d times, locked %v", killed, c.Locked())
	}
}

// TestBrokenStates: a state that cannot be davit's is refused as another runtime's, or is broken
// and can be deleted. davit reads only regular files.
func TestBrokenStates(t *testing.T) {
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	for name, c := range map[string]struct {
		file    string
		make    func(path string) error
		foreign bool // it belongs to another runtime
		fine    bool
	}{
		"of this format":      {"davit.json", text(`{"format":1,"id":"c1","new":{"a":[1]}}`), false, true},
		"format 0":            {"state.json", text(`{"id":"c1","ownPid":true}`), false, true},
		"a newer format":      {"davit.json", text(`{"format":2,"id":7}`), true, false},
		"runc's":              {"state.json", text(`{"id":"c1","init_process_pid":1}`), true, false},
		"youki's":             {"state.json", text(`{"id":"c1","creator":0}`), true, false},
		"crun's":              {"status", text(`{}`), true, false},
		"empty":               {"davit.json", text(""), false, false},
		"cut":                 {"davit.json", text(`{"format":1,"id":"c1"`), false, false},
		"of another id":       {"davit.json", text(`{"format":1,"id":"c2"}`), false, false},
		"a number for a name": {"davit.json", text(`{"format":1,"id":1}`), false, false},
		"a link":              {"davit.json", func(p string) error { return os.Symlink("/dev/zero", p) }, false, false},
		"a fifo":              {"davit.json", func(p string) error { return unix.Mkfifo(p, 0o600) }, false, false},
		"a directory":         {"davit.json", func(p string) error { return os.Mkdir(p, 0o700) }, false, false},
		"nothing":             {"other", text(""), false, false},
	} {
		store := Store{Root: t.TempDir()}
		if err := os.Chmod(store.Root, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(store.Root, "c1"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := c.make(filepath.Join(store.Root, "c1", c.file)); err != nil {
			t.Fatal(err)
		}
		e, err := store.Open("c1")
		var foreign *ForeignError
		switch {
		case errors.As(err, &foreign) != c.foreign, err != nil && !c.foreign:
			t.Errorf("%s: %v", name, err)
		case err == nil && (e.Broken == nil) != c.fine:
			t.Errorf("%s: broken: %v", name, e.Broken)
		}
		if err == nil {
			e.Close()
		}
	}
}
