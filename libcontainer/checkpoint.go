package libcontainer

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"davit/internal/checkpoint"
	"davit/internal/criu"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/store"
	"davit/internal/sys"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CheckpointOptions are the options of [Container.Checkpoint]. StatusFD must be set.
type CheckpointOptions struct {
	CriuOptions
	ParentPath      string // the path of the images of an earlier dump, relative to ImagePath; "": none
	LeaveRunning    bool   // let the container run on
	PreDump         bool   // save only the memory, and let the container run on; a later dump saves what has changed
	TCPSkipInFlight bool   // leave out TCP connections that are not established yet
	LinkRemap       bool   // allow open files that were deleted: CRIU gives them new names
	PageServer      string // ADDRESS:PORT of a page server, which gets the memory; "": none
	StatusFD        int    // a descriptor that gets a NUL byte when lazy pages can be fetched; -1: none
}

const dumpLog = "dump.log"

// Checkpoint saves the processes of a running or paused container with CRIU, which it looks for in PATH. Then it removes the
// container, unless LeaveRunning or PreDump is set. If it fails, the container runs on. It fails with [ErrNotRunning] if the
// container has no process.
func (c *Container) Checkpoint(o CheckpointOptions) error {
	if c.Broken != nil {
		return c.Broken
	}
	status := c.Status()
	switch status {
	case specs.StateRunning, store.Paused:
	case specs.StateCreated:
		return withHint(errors.New("cannot checkpoint a container that was not started: its process is not the container's yet"), "`davit start` starts it")
	default:
		return wrongState("checkpoint", status)
	}
	s, err := c.Spec()
	if err != nil {
		return err
	}
	if err := checkpoint.CheckRestorable(s, host.Host()); err != nil {
		return err
	}
	if err := c.checkUntraced(); err != nil {
		return err
	}
	if before := c.rt.BeforeExec; before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	if c.Taken != nil {
		c.Stdio = checkpoint.ReplacePaths(c.Stdio)
	}
	images, err := checkpoint.OpenImages(o.ImagePath, o.WorkPath, true)
	if err != nil {
		return err
	}
	defer images.Close()
	err = c.dump(&o, s, images, status == store.Paused)
	if err != nil || o.LeaveRunning || o.PreDump {
		return err
	}
	store.WaitExit(c.Pidfd.Int(), store.KillTimeout)
	return c.Delete(true)
}

// checkUntraced returns an error if the container's process has a tracer already: CRIU could not trace it.
func (c *Container) checkUntraced() error {
	tracer := store.Tracer(c.Pid)
	if tracer == "" {
		return nil
	}
	return withHint(errors.New(tracer+" traces the container's process, so that CRIU cannot"), "end it, or let it detach")
}

// dump has CRIU do it.
func (c *Container) dump(o *CheckpointOptions, s *specs.Spec, i *checkpoint.Images, paused bool) error {
	r, err := o.dumpRequest(i)
	if err != nil {
		return err
	}
	r.Pid, r.Root, r.ConfigFile = new(int32(c.Pid)), new(c.Rootfs), checkpoint.ConfigFile(c.Annotations)
	r.LeaveRunning = new(o.LeaveRunning)
	checkpoint.KeepCgroupNamespace(r, s)
	if err := checkpoint.SaveOwnCgroups(r, c.Pid, c.Cgroup.Dirs); err != nil {
		return err
	}
	if freezer := c.freezer(); freezer != "" {
		r.FreezeCgroup = new(freezer)
	}
	if checkpoint.HasRuntimeHooks(s) {
		r.EmptyNs = new(r.GetEmptyNs() | unix.CLONE_NEWNET)
	}
	if r.External, err = c.externals(s); err != nil {
		return err
	}
	return sys.OwnMounts(func() error {
		if err := i.Reopen(); err != nil {
			return err
		}
		r.ImagesDirFd, r.WorkDirFd = new(int32(i.Dir)), new(int32(i.Work))
		p, err := criu.Start(criu.Options{Cgroup: -1, Group: true, Bound: o.PageServer != ""})
		if err != nil {
			return err
		}
		defer p.Close()
		return c.dumpWith(p, r, o, i, paused)
	})
}

// dumpWith has a CRIU do it that was started.
func (c *Container) dumpWith(p *criu.Process, r *rpc.CriuOpts, o *CheckpointOptions, i *checkpoint.Images, paused bool) error {
	if err := o.checkFeatures(p); err != nil {
		return err
	}
	if !o.PreDump {
		if err := checkpoint.WriteStreams(i.Dir, c.Stdio); err != nil {
			return fmt.Errorf("%s: %w", i.Path, err)
		}
	}
	if paused {
		if err := c.thawOther(); err != nil {
			return err
		}
		defer c.pauseAgain()
	}
	kind := rpc.CriuReqType_DUMP
	if o.PreDump {
		kind = rpc.CriuReqType_PRE_DUMP
	} else if unsaved := c.unsaved(); len(unsaved) > 0 {
		c.rt.log().Warnf("checkpoint %s: CRIU saves only what descends from the container's first process, and not %s (by exec?)", c.ID, strings.Join(unsaved, ", "))
	}
	c.rt.log().Debugf("criu %s: %s of process %d to %s", p.Version, kind, c.Pid, i.Path)
	_, err := p.Do(kind, r, func(e criu.Event) error {
		if e.Name == "status-ready" && o.StatusFD >= 0 {
			_, err := unix.Write(o.StatusFD, []byte{0})
			return err
		}
		return nil
	})
	if err != nil {
		p.Kill()
		c.thawAfter(paused)
		return checkpoint.Failed(err, i, dumpLog)
	}
	return nil
}

// unsaved returns the processes in the container's cgroup, with pid and name, that do not descend from the first one.
func (c *Container) unsaved() (list []string) {
	m := c.Cgroups()
	defer m.Close()
	pids, err := m.Pids()
	if err != nil {
		return nil
	}
	parents := map[int]int{}
	for _, pid := range pids {
		if fields, err := store.StatFields(pid); err == nil && len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	for _, pid := range pids {
		top := pid
		for depth := 0; top != c.Pid && depth <= len(parents); depth++ {
			top = parents[top]
		}
		if top != c.Pid && parents[pid] != 0 {
			name, _ := sys.ReadWhole("/proc/" + strconv.Itoa(pid) + "/comm")
			list = append(list, strconv.Itoa(pid)+" ("+strings.TrimSpace(string(name))+")")
		}
	}
	return list
}

// thawAfter makes sure that a container goes on which CRIU has frozen and could not thaw, as it was killed.
func (c *Container) thawAfter(paused bool) {
	if paused {
		return
	}
	m := c.Cgroups()
	defer m.Close()
	for end := time.Now().Add(store.KillTimeout); time.Now().Before(end); time.Sleep(dying / 10) {
		if m.ThawAll() == nil {
			return
		}
	}
}

// thawOther leaves a paused container frozen in that hierarchy alone in which CRIU thaws it for a moment: on hybrid hosts pause
// freezes it in cgroup2, too, and CRIU would wait for ever for processes that do not run.
func (c *Container) thawOther() error {
	other := c.Cgroup.Dirs[""]
	if c.Cgroup.Dirs["freezer"] == "" || other == "" {
		return nil
	}
	err := launch.WriteProc(filepath.Join(other, "cgroup.freeze"), "0")
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// pauseAgain freezes what is left of a paused container as pause does.
func (c *Container) pauseAgain() {
	if store.HasExited(c.Pidfd.Int()) {
		return
	}
	m := c.Cgroups()
	defer m.Close()
	if err := m.Freeze(); err != nil && !store.HasExited(c.Pidfd.Int()) {
		c.rt.log().Warnf("checkpoint %s: pause it again: %v", c.ID, err)
	}
}

// dumpRequest is the request as far as the options decide it.
func (o *CheckpointOptions) dumpRequest(i *checkpoint.Images) (*rpc.CriuOpts, error) {
	r, err := o.request(i, dumpLog)
	if err != nil {
		return nil, err
	}
	r.TcpSkipInFlight, r.LinkRemap, r.TrackMem = new(o.TCPSkipInFlight), new(o.LinkRemap), new(o.PreDump)
	if o.PageServer != "" {
		address, port, err := net.SplitHostPort(o.PageServer)
		n, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil || n == 0 {
			return nil, fmt.Errorf("option PageServer: %q: not ADDRESS:PORT", o.PageServer)
		}
		r.Ps = &rpc.CriuPageServerInfo{Address: new(address), Port: new(int32(n))}
	}
	if o.LazyPages && o.PageServer == "" {
		return nil, errors.New("option LazyPages: it needs option PageServer, from which the memory is fetched")
	}
	if o.ParentPath != "" {
		if filepath.IsAbs(o.ParentPath) {
			return nil, fmt.Errorf("option ParentPath: %s: not relative to the images' directory (option ImagePath)", o.ParentPath)
		}
		fd, err := unix.Openat(i.Dir, o.ParentPath, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("option ParentPath: %s, seen from %s: %w", o.ParentPath, i.Path, err)
		}
		unix.Close(fd)
		r.ParentImg = new(o.ParentPath)
	}
	return r, nil
}

// checkFeatures refuses what this kernel cannot do, before anything is stopped.
func (o *CheckpointOptions) checkFeatures(p *criu.Process) error {
	if !o.PreDump && o.ParentPath == "" && !o.LazyPages {
		return nil
	}
	f, err := p.Features()
	if err != nil {
		return fmt.Errorf("ask CRIU what this kernel can do: %w", err)
	}
	const noTracking = "this kernel does not track changed memory (CONFIG_MEM_SOFT_DIRTY)"
	switch {
	case o.PreDump && !f.MemTrack:
		return withHint(errors.New("option PreDump: "+noTracking), "dump all at once, without it")
	case o.ParentPath != "" && !f.MemTrack:
		return withHint(errors.New("option ParentPath: "+noTracking), "dump all at once, without it")
	case o.LazyPages && !f.LazyPages:
		return errors.New("option LazyPages: this kernel cannot fetch memory later (userfaultfd)")
	}
	return nil
}

// freezer returns the cgroup that CRIU freezes while it looks at the processes, or "".
func (c *Container) freezer() string {
	if dir := c.Cgroup.Dirs["freezer"]; dir != "" {
		return dir
	}
	return c.Cgroup.Dirs[""]
}

// externals lists what CRIU is not to save: it comes from outside, and is given again by restore.
func (c *Container) externals(s *specs.Spec) ([]string, error) {
	again, err := c.compileAgain()
	if err != nil {
		return nil, fmt.Errorf("the container's config, compiled again: %w", err)
	}
	return checkpoint.Externals(again, s, c.Pid, c.Rootfs, c.Stdio)
}
