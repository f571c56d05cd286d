package integration

import (
	"encoding/binary"
	"runtime"
	"testing"

	"davit/internal/plan"

	"golang.org/x/sys/unix"
)

// A stage always ends, whatever the filter forbids: as pid 1 of a pid namespace, without
// exit_group(2), and without the second thread that reports errors (a limit on processes may keep
// davit from making that thread).
func TestStageEnds(t *testing.T) {
	needRoot(t)
	checkLeaks(t, t.TempDir())
	trap := unix.SIGILL
	if runtime.GOARCH == "arm64" {
		trap = unix.SIGTRAP
	}
	returns := func(value uint32) string { // BPF_RET | BPF_K of linux/bpf_common.h
		return string(binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, 0x06), value))
	}
	for _, c := range []struct {
		name     string
		filter   string
		reporter bool
		call     string // the call that is reported, if there is a report
		signal   unix.Signal
	}{
		{"every call fails", returns(0x00050001), false, "", trap},
		{"every call fails, and a thread reports", returns(0x00050001), true, "execve", 0},
		{"every call kills the thread", returns(0x00000000), false, "", unix.SIGSYS},
		{"every call kills the thread, and another one reports", returns(0x00000000), true, "killed by the filter", 0},
		{"every call kills the process", returns(0x80000000), true, "", unix.SIGSYS},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &plan.Plan{}
			p.Add("", plan.Program{Name: "true", Paths: []string{"/bin/true"}})
			p.Add("", plan.NoNewPrivileges{})
			p.Add("linux.seccomp", plan.Seccomp{Program: c.filter, Reporter: c.reporter})
			p.Add("process.args", plan.Exec{Args: []string{"true"}, Env: []string{}})
			encoded, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			run := tryPlan(t, encoded, nil)
			switch {
			case c.call == "" && len(run.said) != 0, c.call != "" && (len(run.said) != 1 || run.said[0].Call != c.call):
				t.Errorf("it said %+v", run.said)
			case c.signal == 0 && run.status.ExitStatus() != 1:
				t.Errorf("it ended with %v", run.status)
			case c.signal != 0 && (!run.status.Signaled() || run.status.Signal() != c.signal):
				t.Errorf("it ended with %v", run.status)
			}
		})
	}
}
