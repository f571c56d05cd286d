package libcontainer

import (
	"strconv"
	"strings"

	"davit/cgroups/stats"
	"davit/internal/resctrl"
	"davit/internal/store"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// Stats returns the resource usage of the container, in the units of package stats. Network interfaces are included only if the
// container has a network namespace of its own and runs.
func (c *Container) Stats() (*stats.Stats, error) {
	if c.Broken != nil {
		return nil, c.Broken
	}
	m := c.Cgroups()
	defer m.Close()
	s, err := m.Stats()
	if err != nil {
		return nil, err
	}
	if resctrl.Mounted() {
		if spec, err := c.Spec(); err == nil && spec.Linux.IntelRdt != nil {
			s.IntelRdt = resctrl.Stats(spec.Linux.IntelRdt, c.ID, c.Resctrl, c.ResctrlMon)
		}
	}
	if c.Namespaces&unix.CLONE_NEWNET != 0 && c.Pidfd.Int() >= 0 {
		path := "/proc/" + strconv.Itoa(c.Pid) + "/net/dev"
		data, err := sys.ReadWhole(path)
		if err == nil && !store.HasExited(c.Pidfd.Int()) { // else it may have been another's
			s.NetworkInterfaces = interfaces(string(data))
		}
	}
	return s, nil
}

// interfaces parses /proc/PID/net/dev (proc_pid_net(5)): after two lines of heading there is a line for each interface with its name,
// eight numbers for what was received and eight for what was sent. The loopback interface is left out.
func interfaces(text string) []*stats.NetworkInterface {
	var list []*stats.NetworkInterface
	for line := range strings.Lines(text) {
		name, figures, ok := strings.Cut(line, ":")
		f := strings.Fields(figures)
		if name = strings.TrimSpace(name); !ok || len(f) < 12 || name == "lo" {
			continue
		}
		var n [12]uint64
		for i := range n {
			n[i], _ = strconv.ParseUint(f[i], 10, 64)
		}
		list = append(list, &stats.NetworkInterface{Name: name,
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3],
			TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11]})
	}
	return list
}

// Alive returns [ErrNotRunning] if the container had no process when it was opened, and nil if it had one.
func (c *Container) Alive() error {
	if c.Broken != nil {
		return c.Broken
	}
	if c.Pidfd.Int() < 0 {
		return store.ErrNotRunning
	}
	return nil
}

// Ended reports whether the container's first process has ended by now, or never existed.
func (c *Container) Ended() bool { return c.Pidfd.Int() < 0 || store.HasExited(c.Pidfd.Int()) }
