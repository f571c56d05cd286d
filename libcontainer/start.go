package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"davit/nsenter"
	"davit/spec"
	"davit/spec/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start lets a created container's process go, and returns when it has been
// exec'd, or why not.
func (c *Container) Start() error {
	switch status := c.Status(); status {
	case specs.StateCreated:
	case specs.StateStopped:
		return errors.New("cannot start a container that has stopped")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	fd, err := connect(filepath.Join(c.path, startFile), unix.SOCK_SEQPACKET)
	if errors.Is(err, unix.ECONNREFUSED) { // a start before us was killed after its work was done
		unix.Unlinkat(c.dir, startFile, 0)
		return fmt.Errorf("cannot start a container in the %s state", specs.StateRunning)
	}
	if err != nil {
		return err
	}
	conn := nsenter.NewConn(fd)
	defer conn.Close()
	if err := c.awaitExec(conn); err != nil {
		return err
	}
	unix.Unlinkat(c.dir, startFile, 0)
	return c.poststart()
}

// awaitExec reads what the stage says on its way from start to exec: nothing,
// if all is well.
func (c *Container) awaitExec(conn *nsenter.Conn) error {
	m, err := conn.Receive()
	for err == nil && m.Kind == nsenter.Trace {
		m, err = conn.Receive()
	}
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return c.startError(m)
}

// startError names the field of a step that failed. The plan is not kept: it is
// compiled again from the config, to the same steps.
func (c *Container) startError(m nsenter.Message) error {
	s, err := c.Spec()
	if err != nil {
		return fmt.Errorf("%s %s: %w", m.Call, m.Detail, m.Errno)
	}
	o := CreateOptions{ID: c.ID, Bundle: c.Bundle, NoNewKeyring: c.NoKeyring, SystemdCgroup: c.Cgroup.Driver == "systemd"}
	again, err := compile(s, o, spec.Host(), filepath.Join(c.store.Root, seccompCache))
	if err != nil {
		return fmt.Errorf("%s %s: %w", m.Call, m.Detail, m.Errno)
	}
	defer again.cgroups.Close()
	return stepError(again.plan, m)
}

// stateNow returns the State that hooks get.
func (c *Container) stateNow(status specs.ContainerState) string {
	return stateJSON(new(jsonx.Encoder), c.ID, c.Bundle, c.Annotations, status, strconv.Itoa(c.Pid))
}

// poststart runs those hooks. Their failure stops the container: runtime.md "Lifecycle" 9.
func (c *Container) poststart() error {
	if !c.Poststart {
		return nil
	}
	s, err := c.Spec()
	if err != nil {
		return err
	}
	if err := runHooks("poststart", s.Hooks.Poststart, c.stateNow(specs.StateRunning)); err != nil {
		return errors.Join(err, c.killAll())
	}
	return nil
}
