package process

import (
	"errors"
	"runtime"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestSchedulerFlags asks the kernel whether it understands every flag of the runtime-spec. A
// kernel may be built without some of them, but no call may be malformed.
func TestSchedulerFlags(t *testing.T) {
	// Without privilege, a nice process cannot get the usual priority back.
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // the system call itself returns 20 less the nice value
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []specs.LinuxSchedulerFlag{
		specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
	} {
		attr, err := schedAttr(&specs.Scheduler{Policy: specs.SchedOther, Nice: int32(20 - priority), Flags: []specs.LinuxSchedulerFlag{flag}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan unix.Errno)
		go func() {
			runtime.LockOSThread() // it is never unlocked: the thread ends with its attributes
			b := []byte(attr)
			_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETATTR, 0, uintptr(unsafe.Pointer(&b[0])), 0)
			done <- errno
		}()
		if errno := <-done; errno != 0 && !errors.Is(errno, unix.EOPNOTSUPP) {
			t.Errorf("%s: %v", flag, errno)
		}
	}
}

// TestSchedulerAttributes compares what davit passes to the kernel with how another library sees
// it.
func TestSchedulerAttributes(t *testing.T) {
	attr, err := schedAttr(&specs.Scheduler{
		Policy: specs.SchedDeadline, Nice: -3, Priority: 9, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, specs.SchedFlagDLOverrun},
		Runtime: 1000001, Deadline: 50000002, Period: 100000003,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_DEADLINE, Flags: unix.SCHED_FLAG_RECLAIM | unix.SCHED_FLAG_DL_OVERRUN,
		Nice: -3, Priority: 9, Runtime: 1000001, Deadline: 50000002, Period: 100000003,
	}
	if len(attr) != unix.SizeofSchedAttr {
		t.Fatalf("%d bytes, not %d", len(attr), unix.SizeofSchedAttr)
	}
	if got := *(*unix.SchedAttr)(unsafe.Pointer(unsafe.StringData(attr))); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
