package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"davit/cli"
	"davit/libcontainer"
	"davit/spec"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run one more process in a container",
		ArgsUsage: "CONTAINER COMMAND [ARGUMENT...], or CONTAINER with --process",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "`file` with the process object (of config.json) to run"},
			&cli.StringFlag{Name: "console-socket", Usage: "`path` of a unix socket that gets the terminal's master"},
			&cli.StringFlag{Name: "pidfd-socket", Usage: "`path` of a unix socket that gets a pidfd of the process"},
			&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process's pid to"},
			&cli.StringFlag{Name: "cwd", Usage: "working `directory` in the container"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "`NAME=VALUE` to set, over the container's own"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "with a terminal"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`UID[:GID]`"},
			&cli.Int64SliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "`GID` to have besides"},
			traceFlag(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return once the process runs"},
			&cli.StringFlag{Name: "process-label", Usage: "SELinux `label`"},
			&cli.StringFlag{Name: "apparmor", Usage: "AppArmor `profile`"},
			&cli.BoolFlag{Name: "no-new-privs", Usage: "forbid the process to gain privileges"},
			&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "`CAPABILITY` to have besides"},
			&cli.IntFlag{Name: "preserve-fds", Usage: "pass on `N` file descriptors from 3 on"},
			&cli.StringSliceFlag{Name: "cgroup", Usage: "`path` of a cgroup below the container's; on v1 CONTROLLERS:path"},
			&cli.BoolFlag{Name: "ignore-paused", Usage: "also in a paused container, where the process waits for resume"},
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, -1); err != nil {
				return err
			}
			container, err := store(c).Open(c.Args().First(), false)
			if err != nil {
				return err
			}
			defer container.Close()
			o := libcontainer.ExecOptions{
				ConsoleSocket: c.String("console-socket"), PidfdSocket: c.String("pidfd-socket"), PidFile: c.String("pid-file"),
				Detach: c.Bool("detach"), IgnorePaused: c.Bool("ignore-paused"), PreserveFDs: c.Int("preserve-fds"), SubCgroups: c.StringSlice("cgroup"),
				Trace: newTrace(c),
			}
			if o.Process, err = execProcess(c, container); err != nil {
				return err
			}
			status, err := container.Exec(o)
			err = errors.Join(err, o.Trace.Close())
			if err == nil && status != 0 {
				return exitStatus(status)
			}
			return err
		}),
	}
}

// execProcess is the process object to run: of a file, or the container's own
// with what the flags say.
func execProcess(c *cli.Context, container *libcontainer.Container) (*specs.Process, error) {
	if path := c.String("process"); path != "" {
		if c.NArg() > 1 {
			return nil, usage(fmt.Errorf("--process %s and a command besides", path))
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return spec.DecodeProcess(data)
	}
	if c.NArg() < 2 {
		return nil, usage(fmt.Errorf("exec needs %s", c.Command.ArgsUsage))
	}
	s, err := container.Spec()
	if err != nil {
		return nil, err
	}
	p := s.Process
	p.Args = c.Args().Tail()
	p.Terminal = c.Bool("tty")
	p.ConsoleSize = nil
	p.Env = append(p.Env, c.StringSlice("env")...)
	if v := c.String("cwd"); v != "" {
		p.Cwd = v
	}
	if v := c.String("process-label"); v != "" {
		p.SelinuxLabel = v
	}
	if v := c.String("apparmor"); v != "" {
		p.ApparmorProfile = v
	}
	if c.IsSet("no-new-privs") {
		p.NoNewPrivileges = c.Bool("no-new-privs")
	}
	for _, name := range c.StringSlice("cap") {
		addCapability(p, name)
	}
	for _, g := range c.Int64Slice("additional-gids") {
		if g < 0 {
			return nil, usage(fmt.Errorf("--additional-gids: %d is negative", g))
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(g))
	}
	if v := c.String("user"); v != "" {
		if err := setUser(&p.User, v); err != nil {
			return nil, usage(fmt.Errorf("--user: %w", err))
		}
	}
	return p, nil
}

func addCapability(p *specs.Process, name string) {
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	sets := p.Capabilities
	for _, set := range [...]*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted, &sets.Ambient} {
		*set = append(*set, name)
	}
	// An ambient capability has to be inheritable as well: capabilities(7).
	sets.Inheritable = append(sets.Inheritable, name)
}

func setUser(u *specs.User, text string) error {
	uid, gid, both := strings.Cut(text, ":")
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return fmt.Errorf("%q: not a number", uid)
	}
	u.UID = uint32(n)
	if both {
		if n, err = strconv.ParseUint(gid, 10, 32); err != nil {
			return fmt.Errorf("%q: not a number", gid)
		}
		u.GID = uint32(n)
	}
	return nil
}
