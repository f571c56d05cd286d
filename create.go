package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"davit/internal/cli"
	"davit/libcontainer"
)

func bundleFlag() cli.Flag {
	return &cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`directory` with config.json", Value: "."}
}

// creationFlags are the flags that create and run share.
func creationFlags() []cli.Flag {
	return []cli.Flag{
		bundleFlag(),
		&cli.StringFlag{Name: "config", Aliases: []string{"f"}, Usage: "`file` to read instead of the bundle's config.json"},
		&cli.StringFlag{Name: "console-socket", Usage: "`path` of a unix socket that gets the terminal's master"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "`path` of a unix socket that gets a pidfd of the container's process"},
		&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process's pid to"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "change the root with MS_MOVE and chroot, for hosts that run from an initramfs"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "keep the caller's session keyring instead of making a new one"},
		traceFlag(),
		&cli.IntFlag{Name: "preserve-fds", Usage: "pass on `N` file descriptors from 3 on"},
	}
}

func createOptions(c *cli.Context) (libcontainer.CreateOptions, error) {
	o := libcontainer.CreateOptions{
		ConsoleSocket: c.String("console-socket"), PidfdSocket: c.String("pidfd-socket"), PidFile: c.String("pid-file"),
		NoPivot: c.Bool("no-pivot"), NoNewKeyring: c.Bool("no-new-keyring"),
		Stdio: libcontainer.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, Trace: newTrace(c),
		ListenFDs: listenFDs(), ListenFDNames: os.Getenv("LISTEN_FDNAMES"), Rootless: c.String("rootless"),
	}
	if err := cgroupManager(c, &o); err != nil {
		return o, err
	}
	var err error
	if o.ID, err = containerID(c); err != nil {
		return o, err
	}
	preserve := c.Int("preserve-fds")
	if preserve < 0 {
		return o, usage(fmt.Errorf("--preserve-fds: %d is negative", preserve))
	}
	if path := c.String("config"); path != "" {
		if o.Config, err = filepath.Abs(path); err != nil {
			return o, err
		}
	}
	if o.Bundle, err = filepath.Abs(c.String("bundle")); err != nil {
		return o, err
	}
	o.ExtraFDs, err = checkPreserved(preserve + o.ListenFDs)
	return o, err
}

// listenFDs returns how many sockets a service manager has passed to davit for the container, by
// sd_listen_fds(3). It is 0 if they are meant for another process.
func listenFDs() int {
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// cgroupManager reads runc's flag --systemd-cgroup and crun's --cgroup-manager.
func cgroupManager(c *cli.Context, o *libcontainer.CreateOptions) error {
	switch name := c.String("cgroup-manager"); name {
	case "", "cgroupfs":
		o.SystemdCgroup = c.Bool("systemd-cgroup")
	case "systemd":
		o.SystemdCgroup = true
	case "disabled":
		o.NoCgroup = true
	default:
		return usage(fmt.Errorf("--cgroup-manager: %q: cgroupfs, systemd or disabled", name))
	}
	return nil
}

func createCommand() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "make a container; its process waits for start",
		ArgsUsage: "CONTAINER",
		Description: `The process waits for start. Steps after that are in the timeline of start --trace.

example (in a bundle whose config has "terminal": false):
  davit create web`,
		Flags: append(creationFlags(),
			// crun's flag, which crun ignores, too: create never makes davit a
			// subreaper.
			&cli.BoolFlag{Name: "no-subreaper", Hidden: true},
		),
		Action: verb(func(c *cli.Context) error {
			o, err := createOptions(c)
			if err != nil {
				return err
			}
			p, err := newRuntime(c).Create(o)
			if err == nil {
				p.Close()
			}
			return errors.Join(err, closeTrace(c, o.Trace))
		}),
	}
}
