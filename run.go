package main

import (
	"errors"
	"fmt"

	"davit/internal/cli"
	"davit/libcontainer"

	"golang.org/x/sys/unix"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "create a container, start it, wait for its end, and delete it",
		ArgsUsage: "CONTAINER",
		Description: `Without --detach, davit forwards signals to the process and exits with its status
(128 plus the number of the signal, if a signal ended it).

example (in a bundle):
  davit run --detach web`,
		Flags: append(creationFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the process runs"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when its process has ended"},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not reap orphaned processes of the container"},
		),
		Action: verb(func(c *cli.Context) error {
			o := libcontainer.RunOptions{Detach: c.Bool("detach")}
			var err error
			if o.CreateOptions, err = createOptions(c); err != nil {
				return err
			}
			status := 0
			if o.Detach {
				var p *libcontainer.Process
				if p, err = newRuntime(c).Run(o); err == nil {
					p.Close()
				}
			} else {
				status, err = attached(c, &o.CreateOptions, c.Bool("keep"), func(rt *libcontainer.Runtime) (*libcontainer.Process, error) { return rt.Run(o) })
			}
			err = errors.Join(err, closeTrace(c, o.Trace))
			if err == nil && status != 0 {
				return exitStatus(status)
			}
			return err
		}),
	}
}

// attached runs a container in the foreground: it waits for the end of the process that begin
// returns, and removes the container unless keep is set.
func attached(c *cli.Context, o *libcontainer.CreateOptions, keep bool, begin func(*libcontainer.Runtime) (*libcontainer.Process, error)) (status int, err error) {
	if !c.Bool("no-subreaper") {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("prctl PR_SET_CHILD_SUBREAPER: %w", err)
		}
	}
	f, err := newForeground()
	if err != nil {
		return -1, err
	}
	defer f.close()
	o.Terminal = f.terminal()
	p, err := begin(newRuntime(c))
	if err != nil {
		return -1, err
	}
	stop := f.forward(p.PidFD())
	end := o.Trace.Span("the container's process")
	status = waitProcess(p.Pid())
	end()
	stop()
	p.Close() // may wait: the process may have ended right after it said that it is ready
	if keep {
		return status, nil
	}
	defer o.Trace.Span("delete")()
	return status, p.Delete()
}
