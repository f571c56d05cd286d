package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"davit/internal/cli"
	"davit/internal/config"
	"davit/internal/jsonx"
	"davit/libcontainer"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func execCommand() *cli.Command {
	return &cli.Command{
		Name:       "exec",
		Usage:      "run one more process in a container",
		ArgsUsage:  "CONTAINER COMMAND [ARGUMENT...], or CONTAINER with --process",
		FlagsFirst: true,
		Description: `The exit status is that of the process, or 255 if it could not be run.

example:
  davit exec web ps`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "`file` with the process object (of config.json) to run"},
			&cli.StringFlag{Name: "console-socket", Usage: "`path` of a unix socket that gets the terminal's master"},
			&cli.StringFlag{Name: "pidfd-socket", Usage: "`path` of a unix socket that gets a pidfd of the process"},
			&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process's pid to"},
			&cli.StringFlag{Name: "cwd", Usage: "set the working `directory` in the container"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `NAME=VALUE`, which wins over the container's own"},
			// Users of docker and podman type -it. This flag has no effect, because
			// davit always passes standard input on.
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Hidden: true},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the process a terminal"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as user `UID[:GID]`"},
			&cli.Int64SliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "add a supplementary group `GID`"},
			traceFlag(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the process runs"},
			&cli.StringFlag{Name: "process-label", Usage: "SELinux `label`"},
			&cli.StringFlag{Name: "apparmor", Usage: "AppArmor `profile`"},
			&cli.BoolFlag{Name: "no-new-privs", Usage: "do not let the process gain privileges"},
			&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "add a `CAPABILITY`"},
			&cli.IntFlag{Name: "preserve-fds", Usage: "pass on `N` file descriptors from 3 on"},
			&cli.StringSliceFlag{Name: "cgroup", Usage: "`path` of a cgroup below the container's; on v1 CONTROLLERS:path"},
			&cli.BoolFlag{Name: "ignore-paused", Usage: "also start the process if the container is paused; it then waits for resume"},
		},
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 1, -1); err != nil {
				return err
			}
			status, err := execIn(c)
			switch {
			case err != nil:
				return ownFailure{err}
			case status != 0:
				return exitStatus(status)
			}
			return nil
		}),
	}
}

func execIn(c *cli.Context) (status int, err error) {
	if c.NArg() == 0 || c.NArg() == 1 && c.String("process") == "" {
		return -1, usage(tooFew(c))
	}
	container, err := newRuntime(c).Open(c.Args().First())
	if err != nil {
		return -1, err
	}
	defer container.Close()
	if container.Broken != nil {
		return -1, container.Broken
	}
	o := libcontainer.ExecOptions{
		ConsoleSocket: c.String("console-socket"), PidfdSocket: c.String("pidfd-socket"), PidFile: c.String("pid-file"),
		IgnorePaused: c.Bool("ignore-paused"), SubCgroups: c.StringSlice("cgroup"), Stdio: libcontainer.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr},
		Trace: newTrace(c), ListenFDs: listenFDs(), ListenFDNames: os.Getenv("LISTEN_FDNAMES"),
	}
	if o.Process, err = execProcess(c, container); err != nil {
		return -1, err
	}
	if o.ExtraFDs, err = checkPreserved(c.Int("preserve-fds") + o.ListenFDs); err != nil {
		return -1, err
	}
	if c.Bool("detach") {
		p, err := container.Exec(o)
		if err == nil {
			p.Close()
		}
		return 0, errors.Join(err, closeTrace(c, o.Trace))
	}
	status, err = execAttached(container, o)
	return status, errors.Join(err, closeTrace(c, o.Trace))
}

// execAttached starts the process and waits for its end.
func execAttached(container *libcontainer.Container, o libcontainer.ExecOptions) (status int, err error) {
	f, err := newForeground()
	if err != nil {
		return -1, err
	}
	defer f.close()
	o.Terminal = f.terminal()
	p, err := container.Exec(o)
	if err != nil {
		return -1, err
	}
	defer p.Close()
	stop := f.forward(p.PidFD())
	defer stop()
	return waitProcess(p.Pid()), nil
}

// execProcess returns the process object to run: that of a file, or one based on the container's
// own process, with the changes that the flags ask for.
func execProcess(c *cli.Context, container *libcontainer.Container) (*specs.Process, error) {
	p, err := baseProcess(c, container)
	if err != nil {
		return nil, err
	}
	if c.IsSet("tty") {
		p.Terminal = c.Bool("tty")
	}
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
		if !config.AddCapability(p, name) { // a warning, as config.md says for the capabilities of a config
			warn(fmt.Sprintf("--cap: unknown capability %q: ignored (names are as in CAP_SYS_ADMIN)", name))
		}
	}
	for _, g := range c.Int64Slice("additional-gids") {
		switch {
		case g < 0:
			return nil, usage(fmt.Errorf("--additional-gids: %d is negative", g))
		case g > math.MaxUint32:
			return nil, usage(fmt.Errorf("--additional-gids: %d %s", g, textNoID))
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

// baseProcess returns the process object that the flags then change.
func baseProcess(c *cli.Context, container *libcontainer.Container) (*specs.Process, error) {
	if path := c.String("process"); path != "" {
		if len(command(c)) > 0 {
			return nil, usage(fmt.Errorf("--process %s and a command: give only one of them", path))
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--process: %w", err)
		}
		p, err := config.DecodeProcess(data)
		var bad *jsonx.Error
		if errors.As(err, &bad) {
			bad.File = path
		}
		if err != nil {
			return nil, err
		}
		return p, container.Complete(p)
	}
	args := command(c)
	if len(args) == 0 {
		return nil, usage(tooFew(c))
	}
	s, err := container.Spec()
	if err != nil {
		return nil, err
	}
	p := s.Process
	if p == nil {
		p = &specs.Process{Cwd: "/"}
	}
	p.Args = args
	p.Terminal, p.ConsoleSize = false, nil
	return p, nil
}

// command returns the program and its arguments. As with crun, -- may stand between them and the
// container's id.
func command(c *cli.Context) []string {
	args := c.Args().Tail()
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

func setUser(u *specs.User, text string) error {
	uid, gid, both := strings.Cut(text, ":")
	var err error
	if u.UID, err = parseID(uid); err == nil && both {
		u.GID, err = parseID(gid)
	}
	return err
}

const textNoID = "is not a 32-bit id"

func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s %s", text, textNoID)
	case err != nil:
		return 0, fmt.Errorf("%q: not a number: names are not looked up in the container's /etc/passwd", text)
	}
	return uint32(n), nil
}
