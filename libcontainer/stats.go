package libcontainer

import (
	"strconv"
	"strings"

	"davit/cgroups/stats"
	"davit/internal/resctrl"
	"davit/internal/store"

	"golang.org/x/sys/unix"
)

// Stats reads the container's figures. Those of its network interfaces are
// there if it has a network namespace of its own.
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
	if c.Namespaces&unix.CLONE_NEWNET != 0 && c.Pidfd >= 0 {
		path := "/proc/" + strconv.Itoa(c.Pid) + "/net/dev"
		data, err := store.ReadWhole(path)
		if err == nil && !store.HasExited(c.Pidfd) { // else it may have been another's
			s.NetworkInterfaces = interfaces(string(data))
		}
	}
	return s, nil
}

// interfaces reads /proc/PID/net/dev: two lines of head, then for each interface its
// name, eight figures of what was received and eight of what was sent (proc_pid_net(5)).
// The loopback is left out.
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

// Alive is an error if the container's process has ended or is not there yet.
func (c *Container) Alive() error {
	if c.Broken != nil {
		return c.Broken
	}
	if c.Pidfd < 0 {
		return store.ErrNotRunning
	}
	return nil
}

// Ended says whether the process of an open container has ended since.
func (c *Container) Ended() bool { return c.Pidfd < 0 || store.HasExited(c.Pidfd) }
