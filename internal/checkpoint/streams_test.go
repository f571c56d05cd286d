package checkpoint

import (
	"path/filepath"
	"testing"

	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A stream is given to the container's user by the rule of the stage: a pipe that was opened to be read if it has no name.
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
	for fd, want := range map[int]uint32{named: 0, pipe[0]: 1000} {
		GiveStream(fd, &p, s)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != want {
			t.Errorf("descriptor %d (%d is the named pipe): owner %d, not %d", fd, named, st.Uid, want)
		}
	}
}
