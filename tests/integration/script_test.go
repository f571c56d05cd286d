package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/internal/host"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestScript runs testdata/script/*.txtar, which read like a terminal session. The scripts can use
// testscript's own commands and those of scriptCommands. Each container's cgroup and state
// directory are below the suite's own. $ROOT is the --root, $SUBTREE the cgroup in which the
// bundles' cgroups are, $RUN a number that no other run has, and $WORK the working directory.
func TestScript(t *testing.T) {
	needRoot(t)
	testscript.RunT(scriptT{t}, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds:                affirmative(scriptCommands),
		Condition:           scriptCondition,
		RequireExplicitExec: true,
	})
}

// scriptT checks each script for leaks, and runs one script at a time.
type scriptT struct{ *testing.T }

func (t scriptT) Verbose() bool { return testing.Verbose() }
func (t scriptT) Parallel()     {}
func (t scriptT) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) {
		s := &session{root: t.TempDir()}
		checkLeaks(t, s.root)
		t.Cleanup(s.end)
		current = s
		f(scriptT{t})
	})
}

// session has the data that the commands of one script share.
type session struct {
	root       string // davit's --root
	status     int    // exit status of the last davit
	background map[string]*exec.Cmd
}

var current *session // scripts run one at a time

// end removes what a failed script may have left.
func (s *session) end() {
	for _, cmd := range s.background {
		cmd.Process.Kill()
		cmd.Wait()
	}
	entries, _ := os.ReadDir(s.root)
	for _, e := range entries {
		if e.Name() != ".seccomp" && len(s.background) > 0 {
			exec.Command(davit, "--root", s.root, "delete", "--force", e.Name()).Run()
		}
	}
}

func setUpScript(e *testscript.Env) error {
	current.background = map[string]*exec.Cmd{}
	e.Setenv("ROOT", current.root)
	e.Setenv("SUBTREE", subtree)
	e.Setenv("RUN", strings.TrimPrefix(subtree, "/davit-test-"))
	e.Setenv("DAVIT", davit)
	e.Vars = passSwitch(e.Vars)
	return nil
}

// passSwitch adds the environment variable that makes davit leave the host as on older kernels, if
// this run of the tests has it.
func passSwitch(env []string) []string {
	if v := os.Getenv(host.NoEnter); v != "" {
		env = append(env, host.NoEnter+"="+v)
	}
	return env
}

// scriptCondition knows [unified], [v1], [controller:memory], [kernel:6.3], [lsm:apparmor], and
// [enters], which is true if the stage enters a namespace of the root filesystem.
func scriptCondition(cond string) (bool, error) {
	switch name, arg, _ := strings.Cut(cond, ":"); name {
	case "unified":
		return isUnified(), nil
	case "v1":
		return !isUnified(), nil
	case "enters":
		return host.Host().Have(host.TreeNamespace) == nil, nil
	case "kernel":
		var v host.Version
		if _, err := fmt.Sscanf(arg, "%d.%d", &v.Major, &v.Minor); err != nil {
			return false, err
		}
		return !host.Host().Kernel().Less(v), nil
	case "lsm":
		// A security module without a policy does not count.
		return arg == "apparmor" && host.Host().AppArmor() || arg == "selinux" && host.Host().SELinux(), nil
	case "filesystem": // a filesystem in a module that is not loaded yet does not count
		data, err := os.ReadFile("/proc/filesystems")
		return slices.Contains(strings.Fields(string(data)), arg), err
	case "controller":
		return hasController(arg), nil
	}
	return false, fmt.Errorf("unknown condition")
}

// hasController reports whether this view of cgroups has a controller.
func hasController(name string) bool {
	if isUnified() {
		data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		return slices.Contains(strings.Fields(string(data)), name)
	}
	_, err := os.Stat("/sys/fs/cgroup/" + name)
	return err == nil
}

var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"bundle":     cmdBundle,
	"config":     cmdConfig,
	"davit":      cmdDavit,
	"status":     cmdStatus,
	"start":      cmdStart,
	"end":        cmdEnd,
	"signal":     cmdSignal,
	"await":      cmdAwait,
	"appears":    cmdAppears,
	"state":      cmdState,
	"cgroupfile": cmdCgroupFile,
	"nothing":    cmdNothing,
	"chown":      cmdChown,
	"write":      cmdWrite,
}

// affirmative refuses "!" before commands that ignore it, because it would have no effect there.
func affirmative(commands map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	strict := map[string]func(*testscript.TestScript, bool, []string){}
	for name, command := range commands {
		strict[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg && name != "davit" {
				ts.Fatalf("! %s: only davit can be expected to fail", name)
			}
			command(ts, neg, args)
		}
	}
	return strict
}

// bundle DIR EDIT...: makes a bundle in DIR; see editConfig.
func cmdBundle(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(makeBundle(dir))
	ts.Check(editConfig(dir, args[1:]))
}

// config DIR EDIT...: changes its config.json.
func cmdConfig(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(editConfig(ts.MkAbs(args[0]), args[1:]))
}

// davit [<FILE] [>FILE] ARG...: runs the binary. The container process has these files as its
// stdio, too, so that nobody waits until it closes a pipe. Without them, stdin is empty. The
// commands stdout and stderr then see what was written before davit ended.
func cmdDavit(ts *testscript.TestScript, neg bool, args []string) {
	out, err := os.CreateTemp("", "davit-out")
	ts.Check(err)
	defer os.Remove(out.Name())
	errOut, err := os.CreateTemp("", "davit-err")
	ts.Check(err)
	defer os.Remove(errOut.Name())
	cmd := davitCommand(ts, args)
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = errOut
	err = runSoon(cmd)
	show := func(from *os.File, to interface{ Write([]byte) (int, error) }) {
		data, _ := os.ReadFile(from.Name())
		to.Write(data)
		from.Close()
	}
	show(out, ts.Stdout())
	show(errOut, ts.Stderr())
	current.status = exitCode(err)
	if err != nil && !neg {
		text, _ := os.ReadFile(errOut.Name())
		ts.Fatalf("davit %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	if err == nil && neg {
		ts.Fatalf("davit %s succeeded", strings.Join(args, " "))
	}
}

// davitCommand handles the arguments for stdin and stdout.
func davitCommand(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := exec.Command(davit, "--root", current.root)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = passSwitch([]string{"PATH=" + ts.Getenv("PATH"), "HOME=/", "TMPDIR=" + os.TempDir()})
	for len(args) > 0 && len(args[0]) > 1 && strings.ContainsRune("<>", rune(args[0][0])) {
		name := ts.MkAbs(args[0][1:])
		if args[0][0] == '<' {
			f, err := os.Open(name)
			ts.Check(err)
			ts.Defer(func() { f.Close() })
			cmd.Stdin = f
		} else {
			f, err := os.Create(name)
			ts.Check(err)
			ts.Defer(func() { f.Close() })
			cmd.Stdout = f
		}
		args = args[1:]
	}
	cmd.Args = append(cmd.Args, args...)
	return cmd
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	case errors.As(err, &exit):
		return -int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return 126
}

// status N: checks the exit status of the last davit.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if current.status != want {
		ts.Fatalf("exit status %d, not %d", current.status, want)
	}
}

// start NAME [<FILE] [>FILE] ARG...: runs davit in the background.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	cmd := davitCommand(ts, args[1:])
	cmd.Stderr = cmd.Stdout
	ts.Check(cmd.Start())
	current.background[args[0]] = cmd
}

// end NAME: waits until a davit that "start" has started ends; status then has its exit status.
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	cmd := current.background[args[0]]
	delete(current.background, args[0])
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	ts.Check(err)
	defer unix.Close(fd)
	if !pollIn(fd, 20*time.Second) {
		cmd.Process.Kill()
		cmd.Wait()
		ts.Fatalf("%s does not end", args[0])
	}
	current.status = exitCode(cmd.Wait())
}

// signal NAME SIGNAL: sends a signal to a davit that "start" has started.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(current.background[args[0]].Process.Signal(unix.SignalNum("SIG" + args[1])))
}

// containerState is the output of davit state.
type containerState struct {
	Status string `json:"status"`
	Pid    int    `json:"pid"`
	ID     string `json:"id"`
}

func stateOf(root, id string) (s containerState, err error) {
	out, err := exec.Command(davit, "--root", root, "state", id).Output()
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

// await ID stopped: waits until the container's process has ended. await ID running|created only
// checks.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(awaitStatus(current.root, args[0], args[1]))
}

func awaitStatus(root, id, want string) error {
	return awaitStatusBy(func() (containerState, error) { return stateOf(root, id) }, id, want)
}

// awaitStatusBy is awaitStatus for a container whose state another user asks for.
func awaitStatusBy(state func() (containerState, error), id, want string) error {
	s, err := state()
	if err != nil {
		return err
	}
	if want == "stopped" && s.Pid > 0 {
		fd, err := unix.PidfdOpen(s.Pid, 0)
		if err == nil {
			defer unix.Close(fd)
			if !pollIn(fd, 20*time.Second) {
				return fmt.Errorf("%s does not stop", id)
			}
		}
		if s, err = state(); err != nil {
			return err
		}
	}
	if s.Status != want {
		return fmt.Errorf("%s is %s, not %s", id, s.Status, want)
	}
	return nil
}

// appears FILE: waits until a file exists.
func cmdAppears(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(awaitFile(ts.MkAbs(args[0])))
}

// awaitFile waits until a file exists and is not empty.
func awaitFile(path string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_CREATE|unix.IN_MODIFY|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var events [4096]byte
	for {
		if st, err := os.Stat(path); err == nil && (st.Size() > 0 || !st.Mode().IsRegular()) {
			return nil
		}
		if !pollIn(fd, 20*time.Second) {
			return fmt.Errorf("%s does not appear", path)
		}
		unix.Read(fd, events[:])
	}
}

// state ID FIELD=VALUE...: checks the output of davit state.
func cmdState(ts *testscript.TestScript, neg bool, args []string) {
	out, err := exec.Command(davit, "--root", current.root, "state", args[0]).Output()
	ts.Check(err)
	var state map[string]any
	ts.Check(json.Unmarshal(out, &state))
	for _, check := range args[1:] {
		field, want, _ := strings.Cut(check, "=")
		if have := fmt.Sprint(state[field]); have != want {
			ts.Fatalf("%s: %q, not %q", field, have, want)
		}
	}
}

// cgroupfile ID V1 V2 VALUE: checks a file of the container's cgroup. V1 is CONTROLLER/FILE of a v1
// hierarchy, V2 is the file in the pure view. The command passes in a view without the file: use
// [controller:NAME] where the file must exist.
func cmdCgroupFile(ts *testscript.TestScript, neg bool, args []string) {
	controller, file, _ := strings.Cut(args[1], "/")
	path := "/sys/fs/cgroup/" + controller + subtree + "/" + args[0] + "/" + file
	if isUnified() {
		path = "/sys/fs/cgroup" + subtree + "/" + args[0] + "/" + args[2]
	}
	data, err := os.ReadFile(path)
	ts.Check(err)
	if have := strings.TrimSpace(string(data)); have != args[3] {
		ts.Fatalf("%s: %q, not %q", path, have, args[3])
	}
}

// nothing: checks that no process, cgroup, mount or state of this script's containers is left.
func cmdNothing(ts *testscript.TestScript, neg bool, args []string) {
	for _, pid := range strangers() {
		if !exitWithin(pid, 2*time.Second) {
			ts.Fatalf("process %d", pid)
		}
	}
	if left := cgroupsLeft(); len(left) > 0 {
		ts.Fatalf("cgroups %q", left)
	}
	entries, err := os.ReadDir(current.root)
	ts.Check(err)
	for _, e := range entries {
		if e.Name() != ".seccomp" {
			ts.Fatalf("state of %s", e.Name())
		}
	}
}

// chown UID PATH: changes the owner of PATH.
func cmdChown(ts *testscript.TestScript, neg bool, args []string) {
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.Lchown(ts.MkAbs(args[1]), uid, uid))
}

// write FILE TEXT: writes TEXT to FILE.
func cmdWrite(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(args[1]+"\n"), 0o755))
}
