package main

import (
	"errors"

	"davit/internal/cli"
	"davit/libcontainer"
)

// criuFlags are the flags that checkpoint and restore share.
func criuFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "image-path", Usage: "`directory` of the images", Value: "checkpoint"},
		&cli.StringFlag{Name: "work-path", Usage: "`directory` for CRIU's log and statistics (default: that of the images)"},
		&cli.BoolFlag{Name: "tcp-established", Usage: "allow open TCP connections"},
		&cli.BoolFlag{Name: "tcp-close", Usage: "close TCP connections when they are restored"},
		&cli.BoolFlag{Name: "ext-unix-sk", Usage: "allow unix sockets that are connected to the outside"},
		&cli.BoolFlag{Name: "shell-job", Usage: "allow processes of a shell's job: their session and terminal are outside"},
		&cli.BoolFlag{Name: "file-locks", Usage: "allow file locks"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Usage: "what becomes of the container's cgroups: `soft`, full, strict, ignore, none or props"},
		&cli.StringFlag{Name: "empty-ns", Usage: "`network`: leave that namespace empty, for others to fill it"},
		&cli.BoolFlag{Name: "auto-dedup", Usage: "free memory images of what was read, or is in a later dump"},
		&cli.StringFlag{Name: "network-lock", Usage: "how packets are held back meanwhile: `iptables`, nftables or skip"},
		&cli.BoolFlag{Name: "lazy-pages", Usage: "fetch memory from a page server when it is used"},
	}
}

func criuOptions(c *cli.Context) libcontainer.CriuOptions {
	return libcontainer.CriuOptions{
		ImagePath: c.String("image-path"), WorkPath: c.String("work-path"),
		TCPEstablished: c.Bool("tcp-established"), TCPClose: c.Bool("tcp-close"), ExtUnixSk: c.Bool("ext-unix-sk"),
		ShellJob: c.Bool("shell-job"), FileLocks: c.Bool("file-locks"), CgroupsMode: c.String("manage-cgroups-mode"),
		EmptyNS: c.String("empty-ns"), NetworkLock: c.String("network-lock"), AutoDedup: c.Bool("auto-dedup"), LazyPages: c.Bool("lazy-pages"),
	}
}

func checkpointCommand() *cli.Command {
	return &cli.Command{
		Name:      "checkpoint",
		Usage:     "save the processes of a container to files",
		ArgsUsage: "CONTAINER",
		Description: `CRIU does it (docs/checkpoint.md). The container is deleted afterwards, unless it is left running.

example:
  davit checkpoint --image-path /var/tmp/web web`,
		Flags: append(criuFlags(),
			&cli.StringFlag{Name: "parent-path", Usage: "`directory` of an earlier pre-dump, relative to that of the images"},
			&cli.BoolFlag{Name: "leave-running", Usage: "let the container go on"},
			&cli.BoolFlag{Name: "tcp-skip-in-flight", Usage: "leave out TCP connections that are being made"},
			&cli.BoolFlag{Name: "link-remap", Usage: "allow open files whose names were removed: they get new ones"},
			&cli.IntFlag{Name: "status-fd", Usage: "`descriptor` that gets a NUL byte once lazy pages can be fetched", Value: -1},
			&cli.StringFlag{Name: "page-server", Usage: "`ADDRESS:PORT` of a page server, which gets the memory"},
			&cli.BoolFlag{Name: "pre-dump", Usage: "save only the memory, of a container that goes on, for a later dump to save what has changed"},
		),
		Action: verb(func(c *cli.Context) error {
			id, err := containerID(c)
			if err != nil {
				return err
			}
			o := libcontainer.CheckpointOptions{
				CriuOptions: criuOptions(c), ParentPath: c.String("parent-path"), LeaveRunning: c.Bool("leave-running"),
				PreDump: c.Bool("pre-dump"), TCPSkipInFlight: c.Bool("tcp-skip-in-flight"), LinkRemap: c.Bool("link-remap"),
				PageServer: c.String("page-server"), StatusFD: c.Int("status-fd"),
			}
			container, err := newRuntime(c).OpenLocked(id)
			if err != nil {
				return err
			}
			defer container.Close()
			return container.Checkpoint(o)
		}),
	}
}

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "make a container of what checkpoint has saved",
		ArgsUsage: "CONTAINER",
		Description: `Everything but the processes is made as by create, of the bundle. Without --detach, signals are forwarded
and the exit status is that of the process, as with run.

example (in the bundle):
  davit restore --image-path /var/tmp/web --detach web`,
		Flags: append(criuFlags(), append(creationFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return once the processes run"},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not reap what the container's processes leave behind"},
			&cli.StringFlag{Name: "lsm-profile", Usage: "`TYPE:NAME` of the LSM profile to have, as in apparmor:NAME"},
			&cli.StringFlag{Name: "lsm-mount-context", Usage: "SELinux `context` for the mounts"},
		)...),
		Action: verb(func(c *cli.Context) error {
			o := libcontainer.RestoreOptions{CriuOptions: criuOptions(c),
				LSMProfile: c.String("lsm-profile"), LSMMountContext: c.String("lsm-mount-context")}
			var err error
			if o.CreateOptions, err = createOptions(c); err != nil {
				return err
			}
			status, err := restore(c, o)
			err = errors.Join(err, o.Trace.Close())
			if err == nil && status != 0 {
				return exitStatus(status)
			}
			return err
		}),
	}
}

// restore restores a container. Unless --detach is given, it waits for the end of the container's
// process and removes the container.
func restore(c *cli.Context, o libcontainer.RestoreOptions) (status int, err error) {
	if c.Bool("detach") {
		p, err := newRuntime(c).Restore(o)
		if err == nil {
			p.Close()
		}
		return 0, err
	}
	return attached(c, &o.CreateOptions, func(rt *libcontainer.Runtime) (*libcontainer.Process, error) { return rt.Restore(o) })
}
