// Go's runtime need not look for a limit on CPUs, at the start and then every second (docs/design.md).
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Davit is an OCI container runtime: it takes a bundle (config.json and a root filesystem) and
// makes a Linux container from it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"davit/internal/cli"
	"davit/internal/compile"
	"davit/internal/host"
	"davit/libcontainer"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The build sets these.
var (
	version = "unknown"
	commit  = ""
	// The version of libseccomp that the filter compiler is linked with.
	libseccomp = ""
	overlay    = "" // "yes" if the build has changed Go's runtime (docs/go-runtime.md)
)

func main() {
	os.Exit(run(os.Args))
}

// run returns the exit status.
func run(args []string) int {
	log := &logger{format: "text", file: -1}
	app := &cli.App{
		Name: "davit", Usage: "an OCI container runtime",
		UsageText:    "davit [global options] COMMAND [options] [arguments]",
		Introduction: introduction, Footer: moreHelp,
		Version: versionText, Flags: globalFlags(), Verbs: append(verbs[:], docsVerbs...), Words: otherWords(), Before: log.open,
	}
	err := app.Run(args)
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	if err != nil {
		log.fatal(err)
		var own ownFailure
		if errors.As(err, &own) {
			return 255
		}
		return 1
	}
	return 0
}

func versionText() string {
	text := programName() + " version " + version + "\n"
	if commit != "" {
		text += "commit: " + commit + "\n"
	}
	text += "machine: " + runtime.GOARCH + "\n"
	text += "spec: " + specs.Version + "\n"
	if programName() != "davit" { // go-runc skips lines that it does not know
		text += "davit: " + version + "\n"
	}
	text += "go: " + runtime.Version()
	if overlay == "" {
		text += " (without davit's overlay)\n"
	} else {
		text += " (with davit's overlay)\n"
	}
	if libseccomp != "" {
		text += "libseccomp: " + libseccomp + "\n"
	}
	return text
}

// programName returns "runc" or "crun" if davit is called by that name, as by engines that know no
// other runtime, and "davit" otherwise. containerd's go-runc only finds a version after "runc".
func programName() string {
	switch name := filepath.Base(os.Args[0]); name {
	case "runc", "crun":
		return name
	}
	return "davit"
}

// exitStatus is the exit status of a container's process, which davit exits with, too.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// ownFailure makes davit exit with 255, to distinguish its own errors from the exit status of the
// process, as runc and ssh do.
type ownFailure struct{ error }

func (f ownFailure) Unwrap() error { return f.error }

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", Usage: "`directory` for the state of containers", Value: defaultRoot()},
		&cli.StringFlag{Name: "log", Usage: "`file` for the log; also file:PATH, journald:ID, syslog:ID"},
		&cli.StringFlag{Name: "log-format", Usage: "text or json", Value: "text"},
		&cli.BoolFlag{Name: "debug", Usage: "also log debug messages"},
		&cli.StringFlag{Name: "log-level", Usage: "crun's form of --debug: error, `warning` or debug", Value: "warning"},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v", "V"}, Usage: "print version, commit and the spec's version"},
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "let systemd make the cgroups; cgroupsPath then has the form slice:prefix:name"},
		&cli.StringFlag{Name: "cgroup-manager", Usage: "crun's form of --systemd-cgroup: `cgroupfs`, systemd, or disabled (no cgroup and no device rules)"},
		// Callers may pass it together with checkpoint flags. runc accepts and ignores it,
		// too, without showing it.
		&cli.StringFlag{Name: "criu", Hidden: true},
		&cli.StringFlag{Name: "rootless", Usage: "whether davit leaves out cgroups that the user cannot write: `true`, false or auto (true without root)", Value: "auto"},
	}
}

// defaultRoot returns the directory of states: below /run for root, below $XDG_RUNTIME_DIR
// otherwise. If davit is called runc or crun, it is that runtime's directory, because Podman passes
// no --root and the old containers are there. crun uses $XDG_RUNTIME_DIR also for root.
func defaultRoot() string {
	name := programName()
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && (os.Geteuid() != 0 || name == "crun" || notReallyRoot()) {
		return filepath.Join(dir, name)
	}
	return "/run/" + name
}

// notReallyRoot reports whether davit runs as root of a user namespace that rootless Podman has
// made. $USER distinguishes that from root in a container, as in runc.
func notReallyRoot() bool {
	return !host.Host().InitialUserNS() && os.Getenv("USER") != "root"
}

// otherWords maps commands of engines to what davit has for them.
func otherWords() map[string]string {
	return map[string]string{
		"inspect": "state, or list --format json", "info": "check", "ls": "list", "rm": "delete", "stats": "events --stats", "status": "state", "stop": "kill CONTAINER TERM",
		"top": "ps", "unpause": "resume", "version": "davit --version", "doctor": "check",
		"logs": "not kept: a container's output goes to its creator, usually an engine", "pull": "not done: an engine does it", "build": "not done: an engine does it",
	}
}

const (
	lifeGroup      = "the life of a container"
	containerGroup = "an existing container"
	bundleGroup    = "bundles and this host"
	selfGroup      = "davit itself"
)

const introduction = `davit takes a bundle, which is a directory with config.json and a root filesystem, and makes a Linux
container from it. containerd, CRI-O, Docker and Podman call it as they call runc.
Begin with: davit spec; davit check; davit explain; davit run NAME.`

const moreHelp = `davit COMMAND --help shows the options of a command and an example. Manual: man davit.
Documentation: docs/ in the sources, /usr/share/doc/davit of the package; docs/engines.md has the engines' configuration.
Bugs: report them where you got davit from, with the output of davit --version and davit check; vulnerabilities as SECURITY.md says.`

// docsVerbs is set only in a build with the tag docs, which writes the manual pages (man.go).
var docsVerbs []cli.Verb

var verbs = [...]cli.Verb{
	{Name: "create", New: createCommand, Group: lifeGroup},
	{Name: "start", New: startCommand, Group: lifeGroup},
	{Name: "run", New: runCommand, Group: lifeGroup},
	{Name: "exec", New: execCommand, Group: lifeGroup},
	{Name: "kill", New: killCommand, Group: lifeGroup},
	{Name: "delete", New: deleteCommand, Group: lifeGroup},
	{Name: "state", New: stateCommand, Group: containerGroup},
	{Name: "list", New: listCommand, Group: containerGroup},
	{Name: "ps", New: psCommand, Group: containerGroup},
	{Name: "events", New: eventsCommand, Group: containerGroup},
	{Name: "verify", New: verifyCommand, Group: containerGroup},
	{Name: "pause", New: pauseCommand, Group: containerGroup},
	{Name: "resume", New: resumeCommand, Group: containerGroup},
	{Name: "update", New: updateCommand, Group: containerGroup},
	{Name: "checkpoint", New: checkpointCommand, Group: containerGroup},
	{Name: "restore", New: restoreCommand, Group: containerGroup},
	{Name: "spec", New: specCommand, Group: bundleGroup},
	{Name: "check", New: checkCommand, Group: bundleGroup},
	{Name: "explain", New: explainCommand, Group: bundleGroup},
	{Name: "features", New: featuresCommand, Group: bundleGroup},
	{Name: "trace", New: traceCommand, Group: selfGroup},
	{Name: "completion", New: completionCommand, Group: selfGroup},
}

// logging receives all messages except the final error; logger.open sets it.
var logging libcontainer.Logger

// newRuntime returns the library's Runtime, with the settings that only the command line knows.
func newRuntime(c *cli.Context) *libcontainer.Runtime { return runtimeAt(c.String("root")) }

// runtimeAt returns a Runtime with the states in root.
func runtimeAt(root string) *libcontainer.Runtime {
	if abs, err := filepath.Abs(root); err == nil {
		root = abs
	}
	runtime := os.Getenv("XDG_RUNTIME_DIR")
	return &libcontainer.Runtime{
		Root: root, Sticky: runtime != "" && filepath.Dir(root) == filepath.Clean(runtime), Logger: logging,
		Environ: os.Environ(), NotifySocket: os.Getenv("NOTIFY_SOCKET"), SeccompReceiver: os.Getenv(compile.ReceiverVariable), BeforeExec: closeOnExec,
	}
}

// containerID returns the one argument of most verbs.
func containerID(c *cli.Context) (string, error) {
	if err := arguments(c, 1, 1); err != nil {
		return "", err
	}
	return c.Args().First(), nil
}

// arguments checks the number of arguments; most < 0 allows any number.
func arguments(c *cli.Context, least, most int) error {
	n := c.NArg()
	if n < least {
		return usage(tooFew(c))
	}
	if most < 0 || n <= most {
		return nil
	}
	extra := c.Args().Get(most)
	if strings.HasPrefix(extra, "-") {
		return usage(fmt.Errorf("unknown flag %s", extra))
	}
	return usage(fmt.Errorf("too many arguments: %q; usage: %s", extra, usageLine(c)))
}

func tooFew(c *cli.Context) error { return fmt.Errorf("too few arguments; usage: %s", usageLine(c)) }

func usageLine(c *cli.Context) string {
	return strings.TrimSpace("davit " + c.Command.Name + " " + c.Command.ArgsUsage)
}

// usage returns the error for a command line that is wrong.
func usage(err error) error { return cli.UsageError(err) }

// open opens the container that is the only argument, for a verb that only reads it.
func open(c *cli.Context) (*libcontainer.Container, error) {
	id, err := containerID(c)
	if err != nil {
		return nil, err
	}
	return newRuntime(c).Open(id)
}

// verb adds the verb and the container to an error.
func verb(action func(*cli.Context) error) func(*cli.Context) error {
	return func(c *cli.Context) error {
		subject = c.Args().First()
		err := action(c)
		var status exitStatus
		if err == nil || errors.As(err, &status) {
			return err
		}
		if id := c.Args().First(); id != "" {
			return fmt.Errorf("%s %s: %w", c.Command.Name, id, err)
		}
		return fmt.Errorf("%s: %w", c.Command.Name, err)
	}
}
