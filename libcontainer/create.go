package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"davit/cgroups"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/netdev"
	"davit/internal/plan"
	"davit/internal/store"
	"davit/internal/sys"
	"davit/internal/trace"
	"davit/nsenter"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// creation is a container that is being made.
type creation struct {
	*launch.Prepared
	CreateOptions
	rt    *Runtime
	facts *host.Facts
	path  string  // the path of the state directory
	dir   *sys.FD // the open state directory, which has the lock; nil: not open
	hooks launch.StageHooks
	fds   launch.Descriptors
	stage *nsenter.Stage
	talk  launch.Exchange // the messages to and from the stage
	raw   []byte          // the contents of config.json
	// moved are the network devices that were moved, and network is the namespace to which they were moved.
	moved   []*netdev.Moved
	network *netdev.Namespace
	// grouped is set when the cgroups were made, so that undo removes them.
	grouped bool
	// hooked is set when a hook has run, so that undo runs the poststop hooks.
	hooked bool
}

// bundle is a bundle's config.json.
type bundle struct {
	raw    []byte
	config *specs.Spec
}

// terminal reports whether the process gets a terminal.
func (b *bundle) terminal() bool {
	return b.config.Process != nil && b.config.Process.Terminal
}

// Create makes a container from a bundle, and returns its first process, which waits for [Container.Start]. It fails with [ErrExists] if
// the id is taken. If it fails, it removes everything that it has made. If it cannot remove something, it logs a warning with
// the command that does.
func (rt *Runtime) Create(o CreateOptions) (*Process, error) {
	if o.Run {
		return nil, errors.New("Run is for Runtime.Run")
	}
	b, err := o.load()
	if err != nil {
		return nil, err
	}
	c, err := rt.create(o, b)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := o.Terminal.attach(b.terminal()); err != nil {
		c.undo()
		return nil, err
	}
	return rt.process(c.stage, c, nil), nil
}

// load checks the options that do not depend on the config, and reads the config.
func (o *CreateOptions) load() (*bundle, error) {
	if err := store.CheckID(o.ID); err != nil {
		return nil, err
	}
	if o.ListenFDs > len(o.ExtraFDs) {
		return nil, fmt.Errorf("%d sockets for LISTEN_FDS, but %d descriptors", o.ListenFDs, len(o.ExtraFDs))
	}
	defer o.Trace.Span("load config.json")()
	raw, config, err := o.loadConfig()
	return &bundle{raw, config}, err
}

func (rt *Runtime) create(o CreateOptions, b *bundle) (c *creation, err error) {
	o.notify = rt.NotifySocket != ""
	if b.config.Process != nil {
		if err := o.checkTerminal(b.terminal()); err != nil {
			return nil, err
		}
	}
	c = &creation{CreateOptions: o, rt: rt, facts: host.Host(), path: filepath.Join(rt.Root, o.ID), raw: b.raw}
	end := o.Trace.Span("validate and compile")
	if c.Prepared, err = rt.prepare(b.config, &o, c.facts); err == nil {
		rt.say(c.Warnings)
		if err = c.FillFilter(rt.seccompCache(), rt.log()); err != nil {
			c.Cgroups.Close()
		}
	}
	end()
	if err != nil {
		return nil, err
	}
	end = o.Trace.Span("open descriptors")
	var console int
	if console, err = o.Terminal.socket(b.terminal()); err == nil {
		c.fds, err = launch.OpenDescriptors(c.Plan, map[string]int{"console": console}, len(o.ExtraFDs))
	}
	if err == nil {
		err = c.SpareOwnNamespaces(c.fds)
	}
	if err == nil {
		c.hooks.HookOutput, err = launch.OpenHookOutput(c.Spec.Annotations, o.Bundle, rt.log())
	}
	end()
	if err != nil {
		c.close()
		return nil, err
	}
	if err := c.make(); err != nil {
		c.undo()
		return nil, err
	}
	return c, nil
}

// loadConfig reads the bundle's config.json, or the file that takes its place.
func (o *CreateOptions) loadConfig() ([]byte, *specs.Spec, error) {
	if o.Config == "" {
		return LoadBundle(o.Bundle)
	}
	raw, err := sys.ReadSmall(unix.AT_FDCWD, o.Config, config.MaxConfig, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("option Config: %w", err)
	}
	config, err := config.Decode(raw)
	return raw, config, err
}

// LoadBundle reads and decodes the config.json of the bundle in the directory bundle. It returns the contents of the file, too. It does
// not validate the config.
func LoadBundle(bundle string) ([]byte, *specs.Spec, error) {
	raw, err := config.Read(bundle)
	if err != nil {
		return nil, nil, explainBundle(err, bundle)
	}
	config, err := config.Decode(raw)
	return raw, config, err
}

// explainBundle returns err, with which config.json could not be read, as an error of the bundle if that is none.
func explainBundle(err error, bundle string) error {
	const is = "a bundle is a directory with config.json and the root filesystem"
	var st unix.Stat_t
	switch failed := unix.Stat(bundle, &st); {
	case failed != nil:
		return withHint(fmt.Errorf("option Bundle: stat %s: %w", bundle, failed), is)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return withHint(fmt.Errorf("option Bundle: %s: %w", bundle, unix.ENOTDIR), is)
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "`davit spec` writes a config.json to begin with")
	}
	return err
}

func (o *CreateOptions) checkTerminal(terminal bool) error {
	switch given := o.ConsoleSocket != "" || o.Terminal != nil; {
	case terminal && o.Terminal != nil && o.ConsoleSocket != "":
		return errors.New("option ConsoleSocket: only with option Detach: without it, the terminal is davit's own")
	case terminal && !given:
		return fault.At("process.terminal", "true, but there is nobody to take the terminal: give option ConsoleSocket, use run or restore without option Detach, or set it to false")
	case !terminal && o.ConsoleSocket != "":
		return errors.New("option ConsoleSocket: the config has process.terminal false")
	}
	return nil
}

// make takes the steps that change the host. The first of them writes what clean-up needs to know.
func (c *creation) make() error {
	return c.Trace.InOrder([]trace.Part{
		{Name: "claim the id, write the state", Do: c.claim},
		{Name: "make the cgroup", Do: c.group},
		{Name: "clone the stage", Do: c.spawn},
		{Name: "cgroups and limits", Do: c.putInPlaceNow},
		{Name: "wait for the stage", Do: c.serve},
		{Name: "write the state", Do: c.record},
	})
}

// claim claims the id, and opens what the plan needs from the state directory.
func (c *creation) claim() error {
	if err := c.claimID(); err != nil {
		return err
	}
	return c.openState()
}

// claimID makes the state directory and writes the state, which has what clean-up needs to know, and the names of the standard streams for
// a checkpoint.
func (c *creation) claimID() error {
	dir, err := c.rt.store().MakeDir(c.ID)
	if err != nil {
		return err
	}
	c.dir = sys.Own(dir)
	if c.State.SharedMounts {
		if err := launch.RememberMount(&c.State, c.Spec); err != nil {
			return err
		}
	}
	c.State.Created = time.Now().UTC().Format(time.RFC3339Nano)
	if !c.State.Terminal {
		c.State.Stdio = c.Stdio.keys()
	}
	if err := c.State.Write(c.dir.Int(), true); err != nil {
		return err
	}
	c.rt.store().Guard(c.dir.Int())
	if c.notify {
		return launch.MkdirNotify(c.dir.Int(), !c.Unprivileged && c.State.Namespaces&unix.CLONE_NEWUSER != 0)
	}
	return nil
}

func (c *creation) group() error {
	if err := c.Cgroups.Create(); err != nil {
		return err
	}
	c.grouped = true
	if c.State.Cgroup.Driver != cgroups.Systemd { // systemd makes the scope later, in putInPlace
		if err := c.own(); err != nil {
			return err
		}
	}
	if c.RDT == nil {
		return nil
	}
	if err := c.RDT.Make(); err != nil {
		return fault.In("linux.intelRdt", err)
	}
	// Only now is it known that the class belongs to this container.
	c.State.Resctrl, c.State.ResctrlMon = c.RDT.Dir, c.RDT.Mon
	return c.State.Write(c.dir.Int(), false)
}

// own stores config.json in the state directory. Its presence also records that the cgroup belongs to this container, so that
// clean-up may kill what is in it (docs/design.md "Files of a container").
func (c *creation) own() error { return store.WriteFile(c.dir.Int(), store.ConfigFile, c.raw) }

// putInPlaceNow calls putInPlace if the plan has no phase Placed, in which the stage would wait for that.
func (c *creation) putInPlaceNow() error {
	if c.Placed {
		return nil
	}
	return c.putInPlace()
}

// record writes the state of the created container and the pid file, and sends the pidfd.
func (c *creation) record() error {
	if c.hooksAtStart() {
		if err := store.WriteFile(c.dir.Int(), compile.StartFile, nil); err != nil {
			return err
		}
	}
	c.State.Remember(c.stage.Pid, c.stage.PidFD.Int(), c.facts, c.path)
	if err := c.State.Write(c.dir.Int(), false); err != nil {
		return err
	}
	return announce(c.stage, c.PidFile, c.pidfdReceivers())
}

// openState opens the descriptors of the plan that are in the state directory.
func (c *creation) openState() error {
	for i, d := range c.Plan.Descriptors {
		var err error
		switch d.Kind {
		case plan.Listen:
			c.fds[i], err = launch.Listen(filepath.Join(c.path, compile.StartFile))
		case plan.StateTree:
			c.fds[i], err = launch.OpenTree(&d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *creation) spawn() error {
	encoded, err := c.Plan.Encode()
	if err != nil {
		return err
	}
	o := nsenter.Options{Plan: encoded, Descriptors: c.fds, Preserve: c.ExtraFDs, Clone: c.Plan.Clone, Cgroup: -1, Fork: c.Plan.ForkStep()}
	done, err := c.Stdio.fill(&o.Stdio)
	if err != nil {
		return err
	}
	defer done()
	dir, err := c.Cgroups.FD()
	if err != nil {
		return err
	}
	if dir != nil {
		o.Cgroup = int(dir.Fd())
	}
	if c.Unprivileged {
		restore, err := launch.InheritOOMScore(c.Spec.Process.OOMScoreAdj, c.rt.log())
		if err != nil {
			return err
		}
		defer restore()
	}
	c.stage, err = nsenter.Spawn(o)
	return err
}

// serve answers the messages of the stage until the container is created (nsenter/stage/stage.h has a table of them).
func (c *creation) serve() error {
	c.talk = launch.Exchange{From: c.stage, Plan: func() *plan.Plan { return c.Plan }, Phase: c.phase, Failed: c.failed, Died: c.stageDied,
		Trace: c.Trace.Stage, Output: c.hooks.Message}
	if err := c.talk.UntilReady(); err != nil {
		return err
	}
	c.hooked = c.hooked || c.Spec.Hooks != nil && len(c.Spec.Hooks.CreateContainer) > 0
	c.hooks.Flush(c.Plan)
	return nil
}

// failed returns the error for a message that says that a step has failed.
func (c *creation) failed(m nsenter.Message) error {
	c.hooked = c.hooked || slices.ContainsFunc(c.Plan.Steps[:min(m.Step+1, len(c.Plan.Steps))], func(e plan.Entry) bool {
		_, is := e.Step.(plan.Hook)
		return is
	})
	return explainExec(c.hooks.Fail(c.Plan, m), diagnose.Files{Root: rootfs.Path(c.Spec, c.Bundle), Mounts: c.Spec.Mounts, Bundle: c.Bundle}, c.Spec.Process.Cwd)
}

func (c *creation) phase(p plan.Phase) error {
	var err error
	switch p {
	case plan.Placed:
		err = c.putInPlace()
	case plan.Mapped:
		err = launch.MapIDs(c.stage.Pid, c.Spec.Linux)
	case plan.Sources:
		err = launch.OpenWithin(c.Plan, c.fds, c.stage)
	case plan.Hooks:
		err = c.runtimeHooks()
	case plan.Delegated:
		if err = c.Cgroups.Delegate(c.stage.Pid); err == nil {
			c.State.Cgroup = c.Cgroups.State()
		}
	}
	if err != nil {
		return err
	}
	err = c.stage.Control.Proceed(int64(c.stage.Pid))
	if errors.Is(err, unix.EPIPE) { // it was killed: whoever receives next finds out why
		return nil
	}
	return err
}

// putInPlace gives the process what only the parent can give it: cgroups, limits, time offsets, resctrl, network devices and the
// OOM score.
func (c *creation) putInPlace() error {
	s := c.Spec
	cg := c.Cgroups
	if c.Trace != nil {
		cg.Span = c.Trace.Span
	}
	dir, err := cg.FD()
	if err != nil {
		return err
	}
	if c.State.Cgroup.Driver == cgroups.Systemd {
		if err := cg.Start(c.stage.Pid); err != nil {
			return err
		}
		if err := c.own(); err != nil {
			return err
		}
	}
	if err := cg.Add(c.stage.Pid, dir != nil); err != nil {
		return err
	}
	if err := cg.Set(s.Linux.Resources); err != nil {
		return err
	}
	c.State.Cgroup = cg.State()
	if offsets := s.Linux.TimeOffsets; len(offsets) > 0 {
		if err := launch.WriteProc(fmt.Sprintf("/proc/%d/timens_offsets", c.stage.Pid), compile.TimeOffsets(offsets)); err != nil {
			return fault.In("linux.timeOffsets", err)
		}
	}
	if c.RDT != nil {
		if err := c.RDT.Add(c.stage.Pid); err != nil {
			return fault.In("linux.intelRdt", err)
		}
	}
	if err := c.moveDevices(); err != nil {
		return err
	}
	if s.Process.OOMScoreAdj != nil && !c.Unprivileged {
		return launch.SetOOMScore(strconv.Itoa(c.stage.Pid), *s.Process.OOMScoreAdj)
	}
	return nil
}

func (c *creation) runtimeHooks() error {
	h := c.Spec.Hooks
	c.hooked = true
	state := hookState(c.Spec, c.CreateOptions, "creating", strconv.Itoa(c.stage.Pid))
	if err := c.rt.hookRunner().Run("prestart", 0, h.Prestart, c.Bundle, state, c.Spec.Annotations); err != nil { //nolint:staticcheck // deprecated, but engines use it
		return err
	}
	return c.rt.hookRunner().Run("createRuntime", 0, h.CreateRuntime, c.Bundle, state, c.Spec.Annotations)
}

// stageDied reaps a stage that has ended too early, and returns why it ended. If the kernel has killed a process of the cgroup because of
// the memory limit, the error names that limit.
func (c *creation) stageDied() error {
	status := c.stage.Reap()
	c.stage.PidFD.Close()
	if status.Signaled() && status.Signal() == unix.SIGKILL {
		if m := c.Spec.Linux.Resources.Memory; m != nil && m.Limit != nil && c.Cgroups.OOMKills() > 0 {
			return withHint(fault.At("linux.resources.memory.limit", "the stage was killed, out of memory, before the container was created: the limit is %s", inBytes(*m.Limit)),
				"raise the limit")
		}
		return errors.New("the stage was killed (SIGKILL) before the container was created: by the out-of-memory killer, or by hand")
	}
	if status.Signaled() {
		return fmt.Errorf("the stage ended before the container was created: signal %s", status.Signal())
	}
	return fmt.Errorf("the stage ended before the container was created: exit status %d", status.ExitStatus())
}

// announce writes the pid file and sends a pidfd of the process to each receiver. An empty path is skipped.
func announce(stage *nsenter.Stage, pidFile string, receivers []pidfdReceiver) error {
	if pidFile != "" {
		if err := writePidFile(pidFile, stage.Pid); err != nil {
			return fmt.Errorf("option PidFile: %w", err)
		}
	}
	for _, r := range receivers {
		if r.path == "" {
			continue
		}
		if err := sendPidfd(r.path, stage.PidFD.Int()); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// writePidFile replaces the file at once, so that nobody reads a part of the pid.
func writePidFile(path string, pid int) error {
	aside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	err := sys.Replace(unix.AT_FDCWD, aside, path, strconv.AppendInt(nil, int64(pid), 10), 0o666)
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	err = fmt.Errorf("write %s: %w", path, errno) // under the name that was asked for
	if errno == unix.ENOENT {
		return withHint(err, "the directory of the file must exist")
	}
	return err
}

func sendPidfd(path string, pidfd int) error {
	socket, err := launch.Connect(path, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return unix.Sendmsg(socket, []byte("pidfd"), unix.UnixRights(pidfd), nil, 0)
}

// close closes all descriptors. The container is not affected. It may be called twice.
func (c *creation) close() {
	if c.stage != nil {
		c.stage.Close()
	}
	c.fds.Close()
	c.hooks.Close()
	if c.network != nil {
		c.network.Close()
		c.network = nil
	}
	c.Cgroups.Close()
	c.closeDir()
}

// closeDir closes the state directory, if it is open. The lock, which is on that descriptor, goes with it.
func (c *creation) closeDir() { c.dir.Close() }

// undo removes what make has made. If something cannot be removed, the state remains, so that delete can remove it later.
func (c *creation) undo() {
	c.returnDevices()
	if c.stage != nil {
		c.stage.Kill()
	}
	c.fds.Close() // what follows may need the descriptors
	c.fds = nil
	if c.dir.Int() >= 0 {
		if err := c.remove(); err != nil {
			c.rt.log().Warnf("create %s: clean up: %v: `davit delete --force %s` removes the rest", c.ID, err, c.ID)
		} else {
			c.sayNotUndone(store.RemoveDir(c.path, c.dir.Int()))
		}
	}
	c.close()
}

// remove is the part of undo that is written down in the state: mounts, cgroups, resctrl and poststop hooks.
func (c *creation) remove() error {
	var errs []error
	if c.State.SharedMounts {
		errs = append(errs, launch.Unmount(&c.State, c.Spec))
	}
	if c.RDT != nil {
		errs = append(errs, c.RDT.Remove())
	}
	if c.grouped {
		errs = append(errs, c.Cgroups.Destroy())
	}
	if c.hooked { // runtime.md "Lifecycle" 3 to 9: the failure of a hook leads to 12 and 13
		pid := 0
		if c.stage != nil { // a restore may fail before there is a process
			pid = c.stage.Pid
		}
		state := hookState(c.Spec, c.CreateOptions, specs.StateStopped, strconv.Itoa(pid))
		errs = append(errs, c.rt.runPoststop(&c.State, "create", c.poststop(), state, c.dir.Int()))
	}
	err := errors.Join(errs...)
	if err != nil && c.hooked { // so that delete does not run them again
		err = errors.Join(err, c.State.Write(c.dir.Int(), false))
	}
	return err
}

func (c *creation) poststop() []specs.Hook {
	if c.Spec.Hooks == nil {
		return nil
	}
	return c.Spec.Hooks.Poststop
}

// sayNotUndone logs an error of undo. The error that caused the undo is returned to the caller.
func (c *creation) sayNotUndone(err error) {
	if err != nil {
		c.rt.log().Warnf("create %s: clean up: %v", c.ID, err)
	}
}
