package libcontainer

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"davit/cgroups"
	"davit/internal/checkpoint"
	"davit/internal/config"
	"davit/internal/criu"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/store"
	"davit/internal/sys"
	"davit/internal/trace"
	"davit/nsenter"
	"davit/rootfs"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// RestoreOptions are the options of [Runtime.Restore]. ID and Bundle must be set.
type RestoreOptions struct {
	CreateOptions
	CriuOptions
	LSMProfile      string // TYPE:NAME of the LSM profile that replaces that of the processes; "": keep it
	LSMMountContext string // the SELinux context that replaces that of the mounts; "": keep it
}

const restoreLog = "restore.log"

// restoration is a container that is being restored.
type restoration struct {
	*creation
	o       *RestoreOptions
	images  *checkpoint.Images
	criu    *criu.Process
	staging checkpoint.Staging
}

// Restore makes a container from its bundle and from the images that [Container.Checkpoint] has written. It returns the container's
// first process, which goes on where it was saved. It fails with [ErrExists] if the id is taken, and with [ErrNoProcess] if
// config.json has no process. On error nothing is left behind. ExtraFDs are ignored, with a warning: a restored process has the
// descriptors that it was saved with. Restore looks for CRIU in PATH.
func (rt *Runtime) Restore(o RestoreOptions) (*Process, error) {
	b, err := o.load()
	if err != nil {
		return nil, err
	}
	c, err := rt.restore(&o, b)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := o.Terminal.attach(b.terminal()); err != nil {
		c.undo()
		return nil, err
	}
	c.closeDir() // others may exec, kill, pause
	return rt.process(c.stage, c, nil), nil
}

// restore makes the container. On error nothing is left behind.
func (rt *Runtime) restore(o *RestoreOptions, b *bundle) (*creation, error) {
	o.notify = rt.NotifySocket != ""
	if n := len(o.ExtraFDs); n > 0 {
		rt.log().Warnf("option PreserveFDs (and LISTEN_FDS): %d descriptors are not passed on: a restored process has those that it was saved with", n)
	}
	if b.config.Process == nil {
		return nil, ErrNoProcess
	}
	if err := o.checkTerminal(b.terminal()); err != nil {
		return nil, err
	}
	images, err := checkpoint.OpenImages(o.ImagePath, o.WorkPath, false)
	if err != nil {
		return nil, err
	}
	defer images.Close()
	if err := unix.Faccessat(images.Dir, "inventory.img", unix.F_OK, 0); err != nil {
		return nil, withHint(fmt.Errorf("option ImagePath: %s holds no checkpoint: inventory.img: %w", images.Path, err), "`davit checkpoint --image-path` writes one")
	}
	c := &creation{CreateOptions: o.CreateOptions, rt: rt, facts: host.Host(), path: filepath.Join(rt.Root, o.ID), raw: b.raw}
	if c.Prepared, err = rt.prepare(b.config, &o.CreateOptions, c.facts); err != nil {
		return nil, err
	}
	if err = checkpoint.CheckRestorable(c.Spec, c.facts); err == nil {
		err = checkpoint.CheckProfile(c.Spec, o.LSMProfile, c.facts)
	}
	if err == nil {
		err = images.Give(c.Spec)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	r := &restoration{creation: c, o: o, images: images,
		staging: checkpoint.Staging{Plan: c.Plan, Spec: c.Spec, Root: rootfs.Path(c.Spec, o.Bundle)}}
	if err := r.make(); err != nil {
		c.undo()
		return nil, err
	}
	return c, nil
}

// make does what changes the host. What is needed to undo it is written down first.
func (r *restoration) make() error {
	defer r.staging.RemoveTmp()
	return r.Trace.InOrder([]trace.Part{{Name: "claim the id, write the state", Do: r.claimID}, {Name: "make the cgroup", Do: r.group}, {Name: "restore the processes (CRIU)", Do: r.run}})
}

// run has CRIU restore the processes, and gives them what CRIU does not.
func (r *restoration) run() error {
	request, files, err := r.request()
	defer files.close()
	if err != nil {
		return err
	}
	if before := r.rt.BeforeExec; before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	if err := r.start(request, files.all()); err != nil {
		return err
	}
	defer r.criu.Close()
	if err := r.join(request); err != nil {
		return err
	}
	r.rt.log().Debugf("criu %s: restore from %s", r.criu.Version, r.images.Path)
	if _, err = r.criu.Do(rpc.CriuReqType_RESTORE, request, r.event); err != nil {
		r.criu.Kill()
		r.endRestored()
		return checkpoint.Failed(err, r.images, restoreLog)
	}
	if r.stage == nil {
		return errors.New("criu has restored no process")
	}
	// CRIU was in the container's cgroup, and may have needed more memory than the container.
	r.criu.Close()
	// CRIU has put the processes into their cgroups below the delegated one. Nobody is in the container's own any more.
	if err := r.Cgroups.Delegate(0); err != nil {
		return err
	}
	r.State.Cgroup = r.Cgroups.State()
	if err := r.limitMemory(); err != nil {
		return err
	}
	return r.record()
}

// endRestored kills what a CRIU that was killed has made, and reaps what of it is a child of this process: the first process of a
// pid namespace ends only when all others there are reaped.
func (r *restoration) endRestored() {
	for end := time.Now().Add(store.KillTimeout); time.Now().Before(end); time.Sleep(dying / 20) {
		pids, err := r.Cgroups.Pids()
		if err != nil || len(pids) == 0 {
			return
		}
		_ = r.Cgroups.Kill(unix.SIGKILL)
		for _, pid := range pids {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

// inherited are descriptors that CRIU is started with: davit's standard streams, and those that are opened
// for it.
type inherited struct {
	stdio, opened []int
	done          func() // closes what was opened for stdio
}

func (f *inherited) close() {
	launch.Descriptors(f.opened).Close()
	if f.done != nil {
		f.done()
	}
}

func (f *inherited) all() []int { return append(append([]int{}, f.stdio...), f.opened...) }

// request is what CRIU is asked for, but for the mounts.
func (r *restoration) request() (*rpc.CriuOpts, inherited, error) {
	files := inherited{}
	var fds [3]int
	done, err := r.Stdio.fill(&fds)
	if err != nil {
		return nil, files, err
	}
	files.stdio, files.done = fds[:], done
	q, err := r.o.request(r.images, restoreLog)
	if err != nil {
		return nil, files, err
	}
	checkpoint.KeepCgroupNamespace(q, r.Spec)
	q.RstSibling, q.ConfigFile = new(true), checkpoint.ConfigFile(r.Spec.Annotations)
	if r.o.LSMProfile != "" {
		q.LsmProfile = &r.o.LSMProfile
	}
	if r.o.LSMMountContext != "" {
		if !r.facts.SELinux() {
			r.rt.log().Warnf("option LSMMountContext: %s is ignored: SELinux is not enabled on this host", r.o.LSMMountContext)
		}
		q.LsmMountContext = &r.o.LSMMountContext
	}
	if checkpoint.HasRuntimeHooks(r.Spec) {
		q.EmptyNs = new(q.GetEmptyNs() | unix.CLONE_NEWNET)
	}
	if !r.State.Terminal {
		for i, key := range checkpoint.ReadStreams(r.images.Dir) {
			if checkpoint.IsInherited(key) {
				q.InheritFd = append(q.InheritFd, &rpc.InheritFd{Key: new(key), Fd: new(int32(criu.FirstFile + i))})
				checkpoint.GiveStream(fds[i], r.Plan, r.Spec)
			}
		}
	}
	for i, n := range r.Spec.Linux.Namespaces {
		if n.Path == "" {
			continue
		}
		fd, err := launch.OpenNamespace(n.Path, config.NamespaceFlag(n.Type))
		if err != nil {
			return nil, files, fmt.Errorf("linux.namespaces[%d].path: %w", i, err)
		}
		number := criu.FirstFile + len(files.stdio) + len(files.opened)
		files.opened = append(files.opened, fd)
		if key := checkpoint.NamespaceKey(n.Type); key != "" {
			q.InheritFd = append(q.InheritFd, &rpc.InheritFd{Key: new(key), Fd: new(int32(number))})
			continue
		}
		q.JoinNs = append(q.JoinNs, &rpc.JoinNamespace{Ns: new(config.NamespaceFile(n.Type)), NsFile: new("/proc/self/fd/" + strconv.Itoa(number))})
	}
	return q, files, nil
}

// start starts CRIU in a mount namespace in which everything is that the container is to have of the host.
func (r *restoration) start(q *rpc.CriuOpts, files []int) error {
	dir, err := r.Cgroups.FD()
	if err != nil {
		return err
	}
	o := criu.Options{Files: files, Cgroup: -1}
	if dir != nil {
		o.Cgroup = int(dir.Fd())
	}
	return sys.OwnMounts(func() error {
		if err := r.staging.Stage(q); err != nil {
			return err
		}
		if err := r.images.Reopen(); err != nil {
			return err
		}
		q.ImagesDirFd, q.WorkDirFd = new(int32(r.images.Dir)), new(int32(r.images.Work))
		if r.criu, err = criu.Start(o); err != nil {
			return err
		}
		if err = r.staging.HideTmp(q.ConfigFile != nil); err != nil { // only now, because CRIU may be below /tmp
			r.criu.Kill()
		}
		return err
	})
}

// join puts CRIU into the container's cgroups, and tells it where they are.
func (r *restoration) join(q *rpc.CriuOpts) error {
	if r.State.Cgroup.Driver == cgroups.Systemd {
		if err := r.Cgroups.Start(r.criu.Pid); err != nil {
			return err
		}
		if err := r.own(); err != nil {
			return err
		}
	}
	dir, err := r.Cgroups.FD()
	if err != nil {
		return err
	}
	if err := r.Cgroups.Add(r.criu.Pid, dir != nil); err != nil {
		return err
	}
	if q.ManageCgroupsMode != nil && *q.ManageCgroupsMode == rpc.CriuCgMode_IGNORE {
		err = r.Cgroups.Delegate(r.criu.Pid) // where CRIU is, there it restores the processes
	} else {
		q.CgRoot, err = checkpoint.CgroupRoots(r.criu.Pid)
	}
	r.State.Cgroup = r.Cgroups.State()
	return err
}

// event does davit's part where CRIU waits for it.
func (r *restoration) event(e criu.Event) error {
	switch e.Name {
	case "setup-namespaces":
		return r.namespacesMade(e.Pid)
	case "orphan-pts-master":
		defer unix.Close(e.FD)
		return r.sendTerminal(e.FD)
	case "post-restore":
		return r.restored(e.Pid)
	}
	if e.FD >= 0 {
		unix.Close(e.FD)
	}
	return nil
}

// namespacesMade runs the hooks that follow the making of the namespaces.
func (r *restoration) namespacesMade(pid int) error {
	h := r.Spec.Hooks
	if h == nil {
		return nil
	}
	r.hooked = true
	state := hookState(r.Spec, r.CreateOptions, specs.StateCreating, strconv.Itoa(pid))
	if err := r.rt.hookRunner().Run("prestart", 0, h.Prestart, r.Bundle, state, r.Spec.Annotations); err != nil { //nolint:staticcheck // deprecated, but engines use it
		return err
	}
	return r.rt.hookRunner().Run("createRuntime", 0, h.CreateRuntime, r.Bundle, state, r.Spec.Annotations)
}

func (r *restoration) sendTerminal(master int) error {
	var socket int
	var err error
	switch {
	case !r.State.Terminal:
		return errors.New("process.terminal: false, but the checkpoint has a terminal")
	case r.Terminal != nil:
		socket, err = r.Terminal.Socket()
	default:
		if socket, err = launch.Connect(r.ConsoleSocket, unix.SOCK_STREAM); err == nil {
			defer unix.Close(socket)
		}
	}
	if err != nil {
		return fmt.Errorf("option ConsoleSocket: %w", err)
	}
	if err := unix.Sendmsg(socket, []byte("/dev/ptmx"), unix.UnixRights(master), nil, 0); err != nil {
		return fmt.Errorf("send the terminal: %w", err)
	}
	return nil
}

// restored takes over the process, while it is still stopped.
func (r *restoration) restored(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	r.stage = &nsenter.Stage{Pid: pid, PidFD: sys.Own(fd), Control: nsenter.NewConn(-1)}
	if err := checkpoint.CheckNamespaces(r.Spec, pid); err != nil {
		return err
	}
	// CRIU gives a container whose clock was another one a time namespace.
	var st, own unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/time", pid), &st) == nil && unix.Stat("/proc/self/ns/time", &own) == nil && st.Ino != own.Ino {
		r.State.Namespaces |= unix.CLONE_NEWTIME
	}
	limits := *r.Spec.Linux.Resources
	limits.Memory, limits.Unified = nil, nil
	if err := r.Cgroups.Set(&limits); err != nil {
		return err
	}
	if r.RDT != nil {
		if err := r.RDT.Add(pid); err != nil {
			return fmt.Errorf("linux.intelRdt: %w", err)
		}
	}
	// If davit is killed from here on, the container is known to run once CRIU lets it go.
	r.State.Remember(pid, fd, r.facts, r.path)
	return r.State.Write(r.dir.Int(), false)
}

// limitMemory sets the limits that CRIU could have run into.
func (r *restoration) limitMemory() error {
	all := r.Spec.Linux.Resources
	if all.Memory == nil && len(all.Unified) == 0 {
		return nil
	}
	before := *all
	before.Memory, before.Unified = nil, nil
	return r.Cgroups.Update(&before, &specs.LinuxResources{Memory: all.Memory, Unified: all.Unified})
}
