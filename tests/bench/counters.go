package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counter counts a kernel event in all programs that this thread starts, and in their children. It
// takes the count of the thread and its children, and subtracts the thread's own. (An event that
// begins with a child's exec would be simpler. But the kernel swaps the contexts of parent and
// child, and then loses some events.)
type counter struct {
	all, own int   // descriptors
	start    int64 // what this program's child adds to it before the exec
}

const faultsEvent = 2 // PERF_COUNT_SW_PAGE_FAULTS of linux/perf_event.h, minor and major

// newFaultCounter counts page faults.
func newFaultCounter() (*counter, error) {
	return newCounter(unix.PERF_TYPE_SOFTWARE, faultsEvent)
}

// newCallCounter counts system calls. Open it only for the runs that count: while it is open, every
// system call of the machine takes a slow path in the kernel.
func newCallCounter(id uint64) (*counter, error) {
	return newCounter(unix.PERF_TYPE_TRACEPOINT, id)
}

// callEvent returns the number of the tracepoint that every system call passes.
func callEvent() (uint64, error) {
	const path = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) { // not every host has tracefs mounted
		if err := unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, ""); err != nil {
			return 0, fmt.Errorf("mount tracefs: %w", err)
		}
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

func newCounter(kind uint32, config uint64) (*counter, error) {
	open := func(inherit uint64) (int, error) {
		fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
			Type:   kind,
			Config: config,
			Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Bits:   inherit,
		}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return 0, fmt.Errorf("perf_event_open: %w", err)
		}
		return fd, nil
	}
	all, err := open(unix.PerfBitInherit)
	if err != nil {
		return nil, err
	}
	own, err := open(0)
	if err != nil {
		return nil, err
	}
	return &counter{all: all, own: own}, nil
}

// value returns the count so far. It includes programs that still run.
func (c *counter) value() int64 {
	if c == nil { // it does not count
		return 0
	}
	return readCounter(c.all) - readCounter(c.own)
}

// since returns what one program has added, which was started when the count was from.
func (c *counter) since(from int64) int64 {
	if c == nil {
		return 0
	}
	return c.value() - from - c.start
}

func readCounter(fd int) int64 {
	var buf [8]byte
	if n, err := unix.Read(fd, buf[:]); err != nil || n != len(buf) {
		fatal(fmt.Errorf("read of a perf counter: %d bytes, %w", n, err))
	}
	return int64(binary.NativeEndian.Uint64(buf[:]))
}

func (c *counter) close() {
	unix.Close(c.all)
	unix.Close(c.own)
}
