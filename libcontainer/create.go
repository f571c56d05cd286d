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

// creation is a container being made.
type creation struct {
	*launch.Prepared
	CreateOptions
	rt    *Runtime
	facts *host.Facts
	path  string // of the state directory
	dir   int    // of it, with the lock
	hooks launch.StageHooks
	fds   launch.Descriptors
	stage *nsenter.Stage
	talk  launch.Exchange // with the stage
	raw   []byte          // config.json
	// moved devices, and the network namespace that they were moved to.
	moved   []*netdev.Moved
	network *netdev.Namespace
	// grouped: the cgroups are the container's own, to be removed with it.
	grouped bool
	// hooked: hooks have run, so that the poststop hooks are to follow, whatever happens.
	hooked bool
}

// bundle is a bundle's config.json.
type bundle struct {
	raw    []byte
	config *specs.Spec
}

// terminal: the process gets one.
func (b *bundle) terminal() bool {
	return b.config.Process != nil && b.config.Process.Terminal
}

// load checks what can be checked without a config, and reads that.
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
	c = &creation{CreateOptions: o, rt: rt, facts: host.Host(), path: filepath.Join(rt.Root, o.ID), dir: -1, raw: b.raw}
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

// LoadBundle reads a bundle's config.json.
func LoadBundle(bundle string) ([]byte, *specs.Spec, error) {
	raw, err := config.Read(bundle)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, withHint(err, "`davit spec` writes a config.json to begin with")
	}
	if err != nil {
		return nil, nil, err
	}
	config, err := config.Decode(raw)
	return raw, config, err
}

func (o *CreateOptions) checkTerminal(terminal bool) error {
	switch given := o.ConsoleSocket != "" || o.Terminal != nil; {
	case terminal && o.Terminal != nil && o.ConsoleSocket != "":
		return errors.New("option ConsoleSocket: only with option Detach: without it, the terminal is davit's own")
	case terminal && !given:
		return fault.At("process.terminal", "true, but there is nobody to take the terminal: give option ConsoleSocket, use run without option Detach, or set it to false")
	case !terminal && o.ConsoleSocket != "":
		return errors.New("option ConsoleSocket: the config has process.terminal false")
	}
	return nil
}

// make does what changes the host. What is needed to undo it is written down first.
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

// claim makes the state directory with what is needed to undo the rest, and opens what the plan wants of it.
func (c *creation) claim() error {
	if err := c.claimID(); err != nil {
		return err
	}
	return c.openState()
}

// claimID makes the state directory with what is needed to undo the rest. The state names the standard streams, for checkpoints.
func (c *creation) claimID() error {
	var err error
	if c.dir, err = c.rt.store().MakeDir(c.ID); err != nil {
		return err
	}
	if c.State.SharedMounts {
		if err := launch.RememberMount(&c.State, c.Spec); err != nil {
			return err
		}
	}
	c.State.Created = time.Now().UTC().Format(time.RFC3339Nano)
	if !c.State.Terminal {
		c.State.Stdio = c.Stdio.keys()
	}
	if err := c.State.Write(c.dir, true); err != nil {
		return err
	}
	c.rt.store().Guard(c.dir)
	if c.notify {
		return launch.MkdirNotify(c.dir, !c.Unprivileged && c.State.Namespaces&unix.CLONE_NEWUSER != 0)
	}
	return nil
}

func (c *creation) group() error {
	if err := c.Cgroups.Create(); err != nil {
		return err
	}
	c.grouped = true
	if c.State.Cgroup.Driver != cgroups.Systemd { // which has no scope yet
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
	// Known only now to be its own.
	c.State.Resctrl, c.State.ResctrlMon = c.RDT.Dir, c.RDT.Mon
	return c.State.Write(c.dir, false)
}

// own writes the config as it is now, for exec and hooks, and by that down that the cgroup is the container's own.
func (c *creation) own() error { return store.WriteFile(c.dir, store.ConfigFile, c.raw) }

// putInPlaceNow is for a stage that does not wait for it.
func (c *creation) putInPlaceNow() error {
	if c.Placed {
		return nil
	}
	return c.putInPlace()
}

// record writes down that the container is created.
func (c *creation) record() error {
	if c.hooksAtStart() {
		if err := store.WriteFile(c.dir, compile.StartFile, nil); err != nil {
			return err
		}
	}
	c.State.Remember(c.stage.Pid, c.stage.PidFD.Int(), c.facts, c.path)
	if err := c.State.Write(c.dir, false); err != nil {
		return err
	}
	return announce(c.stage, c.PidFile, c.pidfdReceivers())
}

// openState opens what the plan wants of the state directory.
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

// serve does the parent's part until the container is created: it answers the
// stage's messages (see nsenter/stage/stage.h).
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

// failed is the error of a step.
func (c *creation) failed(m nsenter.Message) error {
	c.hooked = c.hooked || slices.ContainsFunc(c.Plan.Steps[:min(m.Step+1, len(c.Plan.Steps))], func(e plan.Entry) bool {
		_, is := e.Step.(plan.Hook)
		return is
	})
	return explainExec(c.hooks.Fail(c.Plan, m), rootfs.Path(c.Spec, c.Bundle), c.Spec.Process.Cwd)
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

// putInPlace gives the process its cgroups, limits and what else only the
// parent can give it.
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

// stageDied says why there is no message any more. A limit is named if the kernel says that it killed for one.
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

// announce tells the process's pid to those who asked for it; an empty path is nobody.
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

// writePidFile writes the file aside and renames it, so that nobody reads half of it.
func writePidFile(path string, pid int) error {
	aside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	return sys.Replace(unix.AT_FDCWD, aside, path, strconv.AppendInt(nil, int64(pid), 10), 0o666)
}

func sendPidfd(path string, pidfd int) error {
	socket, err := launch.Connect(path, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return unix.Sendmsg(socket, []byte("pidfd"), unix.UnixRights(pidfd), nil, 0)
}

// close lets go of a container that goes on.
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
func (c *creation) closeDir() {
	if c.dir >= 0 {
		unix.Close(c.dir)
		c.dir = -1
	}
}

// undo removes whatever make has made. What cannot be removed now is left, with the state, for delete.
func (c *creation) undo() {
	c.returnDevices()
	if c.stage != nil {
		c.stage.Kill()
	}
	c.fds.Close() // what follows may need the descriptors
	c.fds = nil
	if c.dir >= 0 {
		if err := c.remove(); err != nil {
			c.rt.log().Warnf("create %s: clean up: %v: `davit delete --force %s` removes the rest", c.ID, err, c.ID)
		} else {
			c.sayNotUndone(store.RemoveDir(c.path, c.dir))
		}
	}
	c.close()
}

// remove is the part of undo for which the state is needed.
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
		state := hookState(c.Spec, c.CreateOptions, specs.StateStopped, strconv.Itoa(c.stage.Pid))
		errs = append(errs, c.rt.runPoststop(&c.State, "create", c.poststop(), state, c.dir))
	}
	err := errors.Join(errs...)
	if err != nil && c.hooked { // delete is not to run them again
		err = errors.Join(err, c.State.Write(c.dir, false))
	}
	return err
}

func (c *creation) poststop() []specs.Hook {
	if c.Spec.Hooks == nil {
		return nil
	}
	return c.Spec.Hooks.Poststop
}

// sayNotUndone logs an error of cleaning up, beside the one that made it necessary.
func (c *creation) sayNotUndone(err error) {
	if err != nil {
		c.rt.log().Warnf("create %s: clean up: %v", c.ID, err)
	}
}
