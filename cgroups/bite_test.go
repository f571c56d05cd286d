package cgroups

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"davit/cgroups/limits"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// These tests check that limits hold, and not only that they are written. TestEventsOOM tests the
// limit of memory, and TestDevices the device rules.

// multiply starts children until that fails, and returns how many there are, and the error.
func multiply() string {
	var pids []int
	for len(pids) < 1000 {
		pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "60"}, &syscall.ProcAttr{})
		if err != nil {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			return fmt.Sprintf("%d: %v", len(pids), err)
		}
		pids = append(pids, pid)
	}
	return "no end"
}

func TestPidsLimitBites(t *testing.T) {
	has(t, "pids")
	m := made(t, nil)
	c := start(t, m, "multiply")
	now, err := m.Stats()
	if err != nil {
		t.Fatal(err)
	}
	// The threads of Go's runtime count as well, so the limit is 20 more than now.
	if err := m.Set(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(now.Pids.Current) + 20)}}); err != nil {
		t.Fatal(err)
	}
	got := c.ask(t)
	n, why, _ := strings.Cut(got, ": ")
	if count, err := strconv.Atoi(n); err != nil || count < 10 || count > 20 || why != "resource temporarily unavailable" {
		t.Errorf("with room for 20: %s", got)
	}
}

// used returns the CPU time that each container takes while the test sleeps.
func used(t *testing.T, wait time.Duration, containers ...*Manager) []time.Duration {
	t.Helper()
	read := func(m *Manager) time.Duration {
		s, err := m.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(s.CPU.Usage.Total)
	}
	out := make([]time.Duration, len(containers))
	for i, m := range containers {
		out[i] = -read(m)
	}
	time.Sleep(wait)
	for i, m := range containers {
		out[i] += read(m)
	}
	return out
}

func TestCPUQuotaBites(t *testing.T) {
	has(t, "cpu")
	m := made(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(250000))}})
	start(t, m, "spin")
	// The kernel looks only at its ticks, and an emulated CPU's ticks are late, by whole periods on
	// a busy host. So it is enough if one of three measurements shows the quota.
	share := 1.0
	for try := 0; try < 3 && share > 0.35; try++ {
		began := time.Now()
		share = float64(used(t, 1500*time.Millisecond, m)[0]) / float64(time.Since(began))
	}
	if share > 0.35 {
		t.Errorf("20 %% of a CPU were allowed, %.0f %% were used", 100*share)
	}
	s, err := m.Stats()
	if err != nil || s.CPU.Throttling.ThrottledPeriods == 0 || s.CPU.Throttling.ThrottledTime == 0 {
		t.Errorf("%+v, %v", s.CPU.Throttling, err)
	}
}

func TestCPUSharesBite(t *testing.T) {
	v := has(t, "cpu")
	has(t, "cpuset")
	const few, many = 1024, 4096
	group := func(name string, shares uint64) *Manager {
		m, err := try(t, Options{CgroupsPath: parent() + "/" + t.Name() + "-" + name,
			Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares, Cpus: "0", Mems: "0"}}})
		if err != nil {
			t.Fatal(err)
		}
		start(t, m, "spin")
		return m
	}
	a, b := group("few", few), group("many", many)
	want := many / float64(few)
	if v == 2 {
		want = float64(limits.Weight(many)) / float64(limits.Weight(few))
	}
	u := used(t, 1500*time.Millisecond, a, b)
	if ratio := float64(u[1]) / float64(u[0]); ratio < 0.6*want || ratio > 1.7*want {
		t.Errorf("CPU time %v and %v: ratio %.1f, want %.1f", u[0], u[1], ratio, want)
	}
}

// readDirect reads a MiB of a block device without the page cache, and returns how many
// milliseconds that took.
func readDirect(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return err.Error()
	}
	buf := make([]byte, 128<<10) // a part of it is aligned
	buf = buf[4096-uintptr(unsafe.Pointer(&buf[0]))%4096:][:64<<10]
	began := time.Now()
	for n := 0; n < 1<<20; n += len(buf) {
		if _, err := syscall.Read(fd, buf); err != nil {
			return err.Error()
		}
	}
	return strconv.FormatInt(time.Since(began).Milliseconds(), 10)
}

// onDevice returns the device's node. If this process may not open that, it returns a file in the
// filesystem on the device.
func onDevice(t *testing.T, d specs.LinuxBlockIODevice) string {
	t.Helper()
	target, err := os.Readlink("/sys/dev/block/" + deviceNumber(d))
	if err != nil {
		t.Fatal(err)
	}
	node := "/dev/" + target[strings.LastIndexByte(target, '/')+1:]
	f, err := os.Open(node)
	if err == nil {
		f.Close()
		return node
	}
	// The file is here because directories for temporary files may be in memory.
	f, err = os.CreateTemp(".", ".throttled-*")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Cleanup(func() { os.Remove(f.Name()) })
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || uint64(st.Dev) != unix.Mkdev(uint32(d.Major), uint32(d.Minor)) {
		t.Skip("no file here is on a disk that can be throttled")
	}
	return f.Name()
}

func TestThrottleBites(t *testing.T) {
	d, ok := blockDevice()
	if ctrl, v := ioOf(t); v == 0 || !ok {
		lacks(t, ctrl, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(10))}}, "blockIO.weight")
		return
	}
	node := onDevice(t, d)
	m := made(t, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: d, Rate: 2 << 20}}}})
	got := start(t, m, "read="+node).ask(t)
	if ms, err := strconv.Atoi(got); err != nil || ms < 350 || ms > 3000 {
		t.Errorf("a MiB of %s at 2 MiB/s took %s ms", node, got)
	}
	s, err := m.Stats()
	if err != nil || len(s.Blkio.IoServiceBytesRecursive) == 0 {
		t.Errorf("%+v, %v", s.Blkio, err)
	}
}
