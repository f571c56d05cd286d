package nsenter

import (
	"io"
	"os/exec"
	"testing"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// A process that a fork step makes may send messages before its maker has sent its pid. They are
// delivered only after the stage has become that process.
func TestForkedSpeaksFirst(t *testing.T) {
	first, second := exec.Command("true"), exec.Command("cat")
	input, err := second.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{first, second} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	defer second.Wait()
	defer input.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(first.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Stage{Pid: first.Process.Pid, PidFD: sys.Own(pidfd), Control: NewConn(pair[0]), fork: 1}
	defer s.Close()
	say := func(kind Kind, step uint32, value int) {
		r := record{Kind: uint32(kind), Step: step, Value: int64(value)}
		if err := unix.Sendto(pair[1], r.bytes(), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	say(Phase, 2, 7)                   // the new process, which is faster
	say(Forked, 1, second.Process.Pid) // the process that made it
	if m, err := s.Receive(); err != nil || m.Kind != Phase || m.Value != 7 {
		t.Fatalf("%+v, %v", m, err)
	}
	if s.Pid != second.Process.Pid {
		t.Errorf("the phase was answered for process %d, not %d", s.Pid, second.Process.Pid)
	}
	say(Forked, 1, 1) // a second one is ignored, so that nobody can make another process the stage
	if m, err := s.Receive(); err != nil || m.Kind != Forked || s.Pid != second.Process.Pid {
		t.Errorf("%+v, %v: the stage is process %d, not %d", m, err, s.Pid, second.Process.Pid)
	}
	say(Ready, 3, 0)
	unix.Close(pair[1])
	if m, err := s.Receive(); err != nil || m.Kind != Ready {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := s.Receive(); err != io.EOF {
		t.Errorf("%+v, %v", m, err)
	}
}
