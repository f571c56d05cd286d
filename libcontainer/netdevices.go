package libcontainer

import (
	"errors"
	"fmt"
	"os"

	"davit/netdev"
	"davit/spec/jsonx"

	"golang.org/x/sys/unix"
)

// moveDevices moves the devices of linux.netDevices to the stage's network
// namespace. They go back if anything fails before the container is created.
func (c *creation) moveDevices() error {
	devices := c.spec.Linux.NetDevices
	if len(devices) == 0 {
		return nil
	}
	space, err := c.networkSpace()
	if err != nil {
		return fmt.Errorf("linux.netDevices: %w", err)
	}
	defer space.Close()
	for _, host := range jsonx.SortedKeys(devices) {
		m, err := space.Move(host, devices[host].Name)
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

func (c *creation) networkSpace() (*netdev.Space, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", c.stage.Pid)
	fd, err := named("open", path)(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return nil, err
	}
	return netdev.Open(fd)
}

// returnDevices moves them back while the stage, and so the namespace, is there.
func (c *creation) returnDevices() {
	if len(c.moved) == 0 {
		return
	}
	space, err := c.networkSpace()
	if err == nil {
		defer space.Close()
		for _, m := range c.moved {
			err = errors.Join(err, space.Return(m))
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "davit: create %s: clean up: %v\n", c.ID, err)
	}
}
