package limits

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The kernel kills a process that wants more memory than the limit, and `davit events` reports it.
func TestMemoryHog(t *testing.T) {
	need(t, "memory")
	const limit = 32 << 20
	c := bundle(t, "hog", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(limit)), Swap: ptr(int64(limit))}},
		"sh", "-c", "head -c 100000000 /dev/zero | tail >/dev/null; echo status $?; exec sleep 1000")
	c.create()
	if f := c.figures(); f.memory != limit || f.oomKills != 0 {
		t.Fatalf("before: %+v", f)
	}
	cmd, _ := c.command("events", "--interval", "50ms", c.id)
	cmd.Stdout = nil
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop() // then the next line is missing
	lines := bufio.NewScanner(events)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), `{"type":"stats","id":"hog"`) { // from this line on, events watches
		t.Errorf("events: %s", lines.Text())
	}
	c.davit("start", c.id)
	for lines.Scan() && strings.HasPrefix(lines.Text(), `{"type":"stats"`) {
	}
	if got := lines.Text(); got != `{"type":"oom","id":"hog"}` {
		t.Errorf("events: %q, %v", got, lines.Err())
	}
	if f := c.figures(); f.oomKills == 0 {
		t.Errorf("containerd's library counts no kill: %+v", f)
	}
	c.davit("delete", "--force", c.id)
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("events: %v", err)
	}
}

// A fork bomb stops at the limit of processes, and KILL ends all of it. The first process does not
// fork any more, because a shell ends if its fork is refused.
func TestForkBomb(t *testing.T) {
	need(t, "pids")
	const limit = 40
	c := bundle(t, "bomb", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(limit))}},
		"sh", "-c", `bomb() { bomb & bomb & sleep 60; }; bomb 2>/dev/null & exec sleep 1000`)
	c.run()
	refused := 0
	for end := time.Now().Add(60 * time.Second); refused == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		f := c.figures()
		if f.pids != limit || f.tasks > limit+8 { // processes that the kernel is refusing are counted for a moment
			t.Fatalf("%d tasks of %d", f.tasks, f.pids)
		}
		_, count, _ := strings.Cut(c.file("pids.events", "pids.events"), " ")
		refused, _ = strconv.Atoi(strings.Fields(count + " 0")[0])
	}
	if refused == 0 {
		t.Fatal("the kernel refused no process")
	}
	c.davit("kill", c.id, "KILL")
	if s := c.wait(); s.Signal() != syscall.SIGKILL {
		t.Errorf("status %v", s)
	}
	c.davit("delete", c.id) // delete waits for the last of them
}

// cpu returns the share of a CPU that each of the containers gets during two seconds.
func cpu(t *testing.T, containers ...*container) []float64 {
	t.Helper()
	used, at := make([]float64, len(containers)), make([]time.Time, len(containers))
	for i, c := range containers {
		used[i], at[i] = float64(c.figures().cpu), time.Now()
	}
	time.Sleep(2 * time.Second)
	for i, c := range containers {
		used[i] = (float64(c.figures().cpu) - used[i]) / float64(time.Since(at[i]))
	}
	return used
}

const spin = "while :; do :; done"

func TestQuota(t *testing.T) {
	need(t, "cpu")
	c := bundle(t, "quota", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(100000))}}, "sh", "-c", spin)
	c.run()
	share := cpu(t, c)[0]
	t.Logf("%.3f of a CPU, with a quota of 0.2", share)
	if share > 0.3 || share < 0.05 { // an emulated CPU's ticks are late, and a busy host has less processor time to give
		t.Errorf("20 %% of a CPU were allowed, %.0f %% were used", 100*share)
	}
	if f := c.figures(); f.throttled == 0 {
		t.Errorf("never throttled: %+v", f)
	}
	// The quota is lowered while the container runs.
	c.davit("update", "--cpu-quota", "4000", c.id)
	less := cpu(t, c)[0]
	t.Logf("%.3f of a CPU, with a quota of 0.04", less)
	if less > 0.1 {
		t.Errorf("4 %% of a CPU were allowed, %.0f %% were used", 100*less)
	}
}

func TestWeights(t *testing.T) {
	need(t, "cpu", "cpuset")
	group := func(id string, shares uint64) *container {
		c := bundle(t, id, &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares, Cpus: "0", Mems: "0"}}, "sh", "-c", spin)
		c.run()
		return c
	}
	few, many := group("few", 512), group("many", 4096)
	weight := func(c *container) float64 {
		w, err := strconv.ParseFloat(c.file("cpu.shares", "cpu.weight"), 64)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	want := weight(many) / weight(few)
	share := cpu(t, few, many)
	ratio := share[1] / share[0]
	t.Logf("%.3f and %.3f of CPU 0: ratio %.2f, of the weights %.2f", share[0], share[1], ratio, want)
	if ratio < 0.6*want || ratio > 1.7*want {
		t.Errorf("%.3f and %.3f of CPU 0: ratio %.2f, of the weights %.2f", share[0], share[1], ratio, want)
	}
}

// disk returns a block device, and the path of something on it that can be read without the page
// cache: the virtual machine's scratch disk, or a file beside the test's files.
func disk(t *testing.T, c *container) (major, minor int64, path string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/dev/nullb0", &st); err == nil {
		major, minor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
		c.edit(func(s *specs.Spec) {
			s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/scratch", Type: "b", Major: major, Minor: minor})
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "b", Major: &major, Minor: &minor, Access: "rw"})
		})
		return major, minor, "/dev/scratch"
	}
	path = c.work + "/rootfs/file"
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	major, minor = int64(unix.Major(st.Dev)), int64(unix.Minor(st.Dev)) //nolint:unconvert // not everywhere 64 bits
	if _, err := os.Stat("/sys/dev/block/" + strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10) + "/queue"); err != nil {
		t.Skip("no whole block device to be throttled here")
	}
	return major, minor, "/file"
}

// Two MiB at 1 MiB/s take two seconds to read, and without a limit almost no time.
func TestThrottle(t *testing.T) {
	need(t, "blkio")
	c := bundle(t, "throttle", &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{}}, "sleep", "1000")
	major, minor, path := disk(t, c)
	c.edit(func(s *specs.Spec) {
		d := specs.LinuxThrottleDevice{Rate: 1 << 20}
		d.Major, d.Minor = major, minor
		s.Linux.Resources.BlockIO.ThrottleReadBpsDevice = []specs.LinuxThrottleDevice{d}
	})
	c.run()
	read := func() time.Duration { // by the container's own clock, because making a process takes time, too
		out := c.davit("exec", c.id, "sh", "-c", "cat /proc/uptime; dd if="+path+" of=/dev/null bs=64k count=32 iflag=direct 2>/dev/null && cat /proc/uptime")
		f := strings.Fields(out)
		if len(f) != 4 {
			t.Fatalf("dd: %s", out)
		}
		began, err1 := strconv.ParseFloat(f[0], 64)
		ended, err2 := strconv.ParseFloat(f[2], 64)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		return time.Duration((ended - began) * float64(time.Second))
	}
	slow := read()
	if got := c.figures().read[[2]uint64{uint64(major), uint64(minor)}]; got != 2<<20 {
		t.Errorf("containerd's library says %d bytes were read", got)
	}
	dev := strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
	c.update(`{"blockIO":{"throttleReadBpsDevice":[{"major":` + strings.Replace(dev, ":", `,"minor":`, 1) + `,"rate":0}]}}`)
	fast := read()
	t.Logf("2 MiB: %v at 1 MiB/s, %v without a limit", slow, fast)
	if slow < 1500*time.Millisecond || slow > 20*time.Second || fast > slow/2 {
		t.Errorf("2 MiB: %v at 1 MiB/s, %v without a limit", slow, fast)
	}
}

// miscDevice returns a device number that the kernel has chosen at boot.
func miscDevice(t *testing.T, name string) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/misc")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == name {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			return n
		}
	}
	t.Skipf("no device %s here", name)
	return 0
}

// open fails where no rule allows the device, before and after the rules change.
func TestForbiddenDevice(t *testing.T) {
	need(t)
	const kmsg, misc = 11, 10
	latency := miscDevice(t, "cpu_dma_latency")
	c := bundle(t, "devices", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(kmsg)), Access: "r"}}}, "sleep", "1000")
	c.edit(func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: kmsg}, {Path: "/dev/latency", Type: "c", Major: misc, Minor: latency}}
		caps := s.Process.Capabilities
		caps.Bounding = append(caps.Bounding, "CAP_SYSLOG")
		caps.Permitted, caps.Effective = caps.Bounding, caps.Bounding
	})
	c.run()
	open := func(path, mode, want string) {
		t.Helper()
		out, err := c.try("exec", c.id, "sh", "-c", ": "+mode+path)
		if (err == nil) != (want == "") || !strings.Contains(out, want) {
			t.Errorf("open %s%s: %v %q, want %q", mode, path, err, out, want)
		}
	}
	const no = "Operation not permitted"
	open("/dev/kmsg", "<", "")
	open("/dev/kmsg", ">>", no)
	open("/dev/latency", "<", no)
	open("/dev/null", "<>", "") // always allowed
	c.update(`{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":` + strconv.Itoa(misc) + `,"minor":` + strconv.FormatInt(latency, 10) + `,"access":"r"}]}`)
	open("/dev/kmsg", "<", no)
	open("/dev/latency", "<", "")
	open("/dev/latency", "<>", no)
	open("/dev/null", "<>", "")
}
