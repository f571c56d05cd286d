package checkpoint

import (
	"path/filepath"
	"testing"

	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestIsToOwn: the container's user never becomes the owner of a device that the whole host uses,
// or of a file that this user may only read.
func TestIsToOwn(t *testing.T) {
	null, tty, pts, disk := unix.Mkdev(1, 3), unix.Mkdev(5, 0), unix.Mkdev(136, 1), unix.Mkdev(8, 0)
	for _, c := range []struct {
		name                         string
		mode                         uint32
		rdev                         uint64
		writable, terminal, nameless bool
		want                         bool
	}{
		{"the null device", unix.S_IFCHR, null, true, false, false, false},
		{"the null device, only read", unix.S_IFCHR, null, false, false, false, false},
		{"a terminal", unix.S_IFCHR, pts, true, true, false, true},
		{"a terminal, only read", unix.S_IFCHR, pts, false, true, false, false},
		{"/dev/tty", unix.S_IFCHR, tty, true, true, false, false},
		{"a disk", unix.S_IFBLK, disk, true, false, false, false},
		{"a file", unix.S_IFREG, 0, true, false, false, true},
		{"a file, only read", unix.S_IFREG, 0, false, false, false, false},
		{"a named pipe", unix.S_IFIFO, 0, true, false, false, true},
		{"a named pipe, only read", unix.S_IFIFO, 0, false, false, false, false},
		{"a pipe, only read", unix.S_IFIFO, 0, false, false, true, true},
		{"a socket", unix.S_IFSOCK, 0, true, false, false, true},
	} {
		st := unix.Stat_t{Mode: c.mode, Rdev: c.rdev}
		if isToOwn(&st, c.writable, c.terminal, c.nameless) != c.want {
			t.Errorf("%s: not %v", c.name, c.want)
		}
	}
}

// davit gives a stream to the container's user by the rule of the stage. A pipe that was opened for
// reading is given away only if it has no name. The null device of this test is a node of its own.
func TestGiveStream(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("needs root")
	}
	var p plan.Plan
	p.Add("", plan.StdioOwner{UID: 1000})
	s := &specs.Spec{Linux: &specs.Linux{}}
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	named, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(named)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	device := filepath.Join(t.TempDir(), "null")
	if err := unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for fd, want := range map[int]uint32{named: 0, null: 0, pipe[0]: 1000} {
		GiveStream(fd, &p, s)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != want {
			t.Errorf("descriptor %d (%d is the named pipe, %d the null device): owner %d, not %d", fd, named, null, st.Uid, want)
		}
	}
}
