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
		&cli.StringFlag{Name: "work-path", Usage: "`directory` for CRIU's log and statistics (default: the directory of the images)"},
		&cli.BoolFlag{Name: "tcp-established", Usage: "allow open TCP connections"},
		&cli.BoolFlag{Name: "tcp-close", Usage: "close TCP connections when they are restored"},
		&cli.BoolFlag{Name: "ext-unix-sk", Usage: "allow unix sockets that are connected to the outside"},
		&cli.BoolFlag{Name: "shell-job", Usage: "allow processes whose session and terminal belong to a shell outside of the container"},
		&cli.BoolFlag{Name: "file-locks", Usage: "allow file locks"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Usage: "what CRIU does with the container's cgroups: `soft`, full, strict, ignore, none or props"},
		&cli.StringFlag{Name: "empty-ns", Usage: "`network`: restore that namespace empty, so that the caller can set it up"},
		&cli.BoolFlag{Name: "auto-dedup", Usage: "free those parts of memory images that were read, or that a later dump has, too"},
		&cli.StringFlag{Name: "network-lock", Usage: "how to hold back packets meanwhile: `iptables`, nftables or skip"},
		&cli.BoolFlag{Name: "lazy-pages", Usage: "fetch memory from a page server when the process uses it"},
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
		Description: `CRIU saves the processes (docs/checkpoint.md). Without --leave-running the container is then deleted.

example:
  davit checkpoint --image-path /var/tmp/web web`,
		Flags: append(criuFlags(),
			&cli.StringFlag{Name: "parent-path", Usage: "`directory` of an earlier pre-dump, relative to the directory of the images"},
			&cli.BoolFlag{Name: "leave-running", Usage: "let the container run on"},
			&cli.BoolFlag{Name: "tcp-skip-in-flight", Usage: "leave out TCP connections that are not established yet"},
			&cli.BoolFlag{Name: "link-remap", Usage: "allow open files that were deleted: CRIU gives them new names"},
			&cli.IntFlag{Name: "status-fd", Usage: "`descriptor` that gets a NUL byte when lazy pages can be fetched", Value: -1},
			&cli.StringFlag{Name: "page-server", Usage: "`ADDRESS:PORT` of a page server, which gets the memory"},
			&cli.BoolFlag{Name: "pre-dump", Usage: "save only the memory, and let the container run on; a later dump then saves what has changed"},
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
		Usage:     "make a container from the files that checkpoint has saved",
		ArgsUsage: "CONTAINER",
		Description: `CRIU restores the processes; davit makes everything else from the bundle, as create does. Without --detach,
davit forwards signals to the process and exits with its status, as with run.

example (in the bundle):
  davit restore --image-path /var/tmp/web --detach web`,
		Flags: append(criuFlags(), append(creationFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the processes run"},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not reap orphaned processes of the container"},
			&cli.StringFlag{Name: "lsm-profile", Usage: "`TYPE:NAME` of the LSM profile to use, for example apparmor:NAME"},
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
	return attached(c, &o.CreateOptions, false, func(rt *libcontainer.Runtime) (*libcontainer.Process, error) { return rt.Restore(o) })
}
