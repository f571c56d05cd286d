package libcontainer

import (
	"errors"
	"fmt"

	"davit/internal/fault"
	"davit/internal/jsonx"
	"davit/internal/launch"
	"davit/internal/netdev"

	"golang.org/x/sys/unix"
)

// moveDevices moves the devices of linux.netDevices to the stage's network
// namespace. They go back if anything fails before the container is created.
func (c *creation) moveDevices() error {
	devices := c.Spec.Linux.NetDevices
	if len(devices) == 0 {
		return nil
	}
	var err error
	// Open until the container is created: the stage may end, and the namespace with it.
	if c.network, err = c.networkNamespace(); err != nil {
		return fault.In("linux.netDevices", err)
	}
	for _, host := range jsonx.SortedKeys(devices) {
		m, err := c.network.Move(host, devices[host].Name)
		if err != nil {
			return withHint(fmt.Errorf("%s: %w", jsonx.JoinKey("linux.netDevices", host), err), hintDevice(err))
		}
		c.moved = append(c.moved, m)
	}
	return nil
}

func hintDevice(err error) string {
	switch {
	case errors.Is(err, unix.ENODEV):
		return "the device must exist in the network namespace that davit runs in"
	case errors.Is(err, unix.EINVAL):
		return "devices such as lo, bridges and tunnels of a namespace cannot leave it"
	}
	return ""
}

func (c *creation) networkNamespace() (*netdev.Namespace, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", c.stage.Pid)
	fd, err := launch.Named("open", path)(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return nil, err
	}
	return netdev.Open(fd)
}

// returnDevices moves them back.
func (c *creation) returnDevices() {
	for _, m := range c.moved {
		c.sayNotUndone(c.network.Return(m))
	}
}
