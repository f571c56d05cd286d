package gorunc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// drive makes every call of the library with one runtime.
func drive(t *testing.T, command, id string) []result {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	d := &driver{T: t, ctx: ctx, dir: dir, id: fmt.Sprintf("gorunc-%d-%s-", os.Getpid(), id), Runc: &runc.Runc{
		Command: command, Root: filepath.Join(dir, "state"), Log: filepath.Join(dir, "log.json"), LogFormat: runc.JSON,
		PdeathSignal: syscall.SIGKILL,
	}}
	t.Cleanup(func() {
		for _, name := range []string{"a", "b", "c"} {
			d.Runc.Delete(context.Background(), d.id+name, &runc.DeleteOpts{Force: true})
		}
	})
	d.about()
	a := d.bundle("a", "sleep", "1000")
	d.create(a)
	d.execs()
	d.limits()
	d.end(a)
	d.foreground()
	d.terminal()
	return d.results
}

// edit changes a default config for a test: no terminal, a cgroup of its own, a program.
func (d *driver) edit(dir, cgroup string, args []string) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	must(d.T, err)
	var s specs.Spec
	must(d.T, json.Unmarshal(data, &s))
	s.Process.Terminal = args[0] == "tty"
	s.Process.Args = args
	s.Linux.CgroupsPath = "/" + cgroup
	data, err = json.Marshal(s)
	must(d.T, err)
	must(d.T, os.WriteFile(path, data, 0o644))
}

func (d *driver) about() {
	v, err := d.Version(d.ctx)
	d.note("Version", err, "version %t, commit %t, spec %s", v.Runc != "", v.Commit != "", v.Spec)
	f, err := d.Features(d.ctx)
	if err == nil {
		d.note("Features", nil, "spec %s to %s; namespaces %v; seccomp %t; cgroup v1 %t, v2 %t, systemd %t; idmap %t", f.OCIVersionMin, f.OCIVersionMax,
			sorted(f.Linux.Namespaces), *f.Linux.Seccomp.Enabled, *f.Linux.Cgroup.V1, *f.Linux.Cgroup.V2, *f.Linux.Cgroup.Systemd, *f.Linux.MountExtensions.IDMap.Enabled)
	} else {
		d.note("Features", err, "")
	}
	list, err := d.List(d.ctx)
	d.note("List, none", err, "%d containers", len(list))
	_, err = d.State(d.ctx, d.id+"a")
	d.note("State, no such container", err, "")
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// null returns an IO for one call: go-runc closes it.
func (d *driver) null() runc.IO {
	null, err := runc.NewNullIO()
	must(d.T, err)
	d.Cleanup(func() { null.Close() })
	return null
}

// within returns what c delivers. It gives up after some time, because a call that failed may never
// send.
func within(c chan string) string {
	select {
	case s := <-c:
		return s
	case <-time.After(20 * time.Second):
		return "nothing came"
	}
}

// create does what the shim does for a task, and inspects the container that it made.
func (d *driver) create(bundle string) {
	id, pidFile := d.id+"a", filepath.Join(d.dir, "init.pid")
	socket, err := runc.NewTempPidfdSocket()
	must(d.T, err)
	defer socket.Close()
	pidfd := make(chan string, 1)
	go func() {
		f, err := socket.ReceivePidfd()
		if err == nil {
			f.Close()
		}
		pidfd <- fmt.Sprintf("pidfd received: %t", err == nil)
	}()
	err = d.Create(d.ctx, id, bundle, &runc.CreateOpts{IO: d.null(), PidFile: pidFile, PidfdSocket: socket})
	pid, _ := os.ReadFile(pidFile)
	d.note("Create, with pid file and pidfd socket", d.logged(err), "pid %t, %s", len(pid) > 0, within(pidfd))
	err = d.Create(d.ctx, id, bundle, &runc.CreateOpts{IO: d.null()})
	d.note("Create, the same again", d.logged(err), "")
	d.state("State, created", id)
	d.note("Start", d.Start(d.ctx, id), "done")
	d.state("State, running", id)
	d.note("Start, again", d.Start(d.ctx, id), "done")
	list, err := d.List(d.ctx)
	d.note("List", err, "%d, %s, %t", len(list), list[0].Status, list[0].ID == id)
	pids, err := d.Ps(d.ctx, id)
	d.note("Ps", err, "%d processes, init among them: %t", len(pids), len(pids) == 1 && strconv.Itoa(pids[0]) == string(pid))
	for _, options := range []string{"-ef", "-opid,args", ""} {
		top, err := d.Top(d.ctx, id, options)
		if err != nil {
			d.note(fmt.Sprintf("Top, %q", options), err, "")
			continue
		}
		d.note(fmt.Sprintf("Top, %q", options), nil, "%v, %d rows", top.Headers, len(top.Processes))
	}
}

func (d *driver) state(call, id string) {
	s, err := d.State(d.ctx, id)
	if err != nil {
		d.note(call, err, "")
		return
	}
	d.note(call, nil, "%s, pid %t, bundle %t, rootfs %t, created %t", s.Status, s.Pid > 0,
		filepath.Dir(s.Bundle) == d.dir, filepath.Base(s.Rootfs) == "rootfs", time.Since(s.Created) < time.Hour)
}

func process(args ...string) specs.Process {
	return specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}}
}

func (d *driver) execs() {
	id := d.id + "a"
	pipes, err := runc.NewPipeIO(0, 0)
	must(d.T, err)
	out := make(chan string, 1)
	go func() {
		var b bytes.Buffer
		io.Copy(&b, pipes.Stdout())
		out <- b.String()
	}()
	err = d.Exec(d.ctx, id, process("echo", "hello"), &runc.ExecOpts{IO: pipes})
	pipes.Close()
	d.note("Exec, with pipes", d.logged(err), "%q", <-out)
	err = d.Exec(d.ctx, id, process("sh", "-c", "exit 7"), &runc.ExecOpts{IO: d.null()})
	d.note("Exec, exit status 7", err, "done")
	err = d.Exec(d.ctx, id, process("sh", "-c", "kill -9 $$"), &runc.ExecOpts{IO: d.null()})
	d.note("Exec, killed", err, "done")
	err = d.Exec(d.ctx, id, process("nope"), &runc.ExecOpts{IO: d.null()})
	d.note("Exec, no such program", d.logged(err), "done")
	err = d.Exec(d.ctx, d.id+"x", process("true"), &runc.ExecOpts{IO: d.null()})
	d.note("Exec, no such container", d.logged(err), "done")
	err = d.Exec(d.ctx, id, process("true"), nil)
	d.note("Exec, without options", err, "done")

	pidFile := filepath.Join(d.dir, "exec.pid")
	started := make(chan int, 1)
	err = d.Exec(d.ctx, id, process("sleep", "1000"), &runc.ExecOpts{IO: d.null(), Detach: true, PidFile: pidFile, Started: started})
	pid, _ := os.ReadFile(pidFile)
	d.note("Exec, detached, with pid file", d.logged(err), "pid %t, started %t", len(pid) > 0, <-started > 0)
	pids, err := d.Ps(d.ctx, id)
	d.note("Ps, with the detached one", err, "%d processes", len(pids))

	console, err := runc.NewTempConsoleSocket()
	must(d.T, err)
	defer console.Close()
	got := make(chan string, 1)
	go func() {
		master, err := console.ReceiveMaster()
		if err != nil {
			got <- err.Error()
			return
		}
		defer master.Close()
		buf := make([]byte, 100)
		n, _ := master.Read(buf)
		got <- strings.TrimSpace(string(buf[:n]))
	}()
	p := process("sh", "-c", "tty; sleep 1")
	p.Terminal = true
	err = d.Exec(d.ctx, id, p, &runc.ExecOpts{ConsoleSocket: console, Detach: true})
	d.note("Exec, detached, with console socket", d.logged(err), "%s", within(got))
}

// stats calls Stats, and calls it again if go-runc lost the output: go-runc closes its end of the
// pipe when the runtime has ended, even if it has not read everything.
func (d *driver) stats(id string) (*runc.Stats, error) {
	for {
		s, err := d.Stats(d.ctx, id)
		if !errors.Is(err, os.ErrClosed) {
			return s, err
		}
	}
}

func (d *driver) limits() {
	id := d.id + "a"
	s, err := d.stats(id)
	if err == nil {
		d.note("Stats", nil, "memory %t, cpu %t, pids %t", s.Memory.Usage.Usage > 0, s.Cpu.Usage.Total > 0, s.Pids.Current > 0)
	} else {
		d.note("Stats", err, "")
	}
	ctx, cancel := context.WithCancel(d.ctx)
	events, err := d.Events(ctx, id, time.Second)
	must(d.T, err)
	e := <-events
	d.note("Events", e.Err, "%s of %t, memory %t", e.Type, e.ID == id, e.Stats != nil && e.Stats.Memory.Usage.Usage > 0)
	cancel()
	for e := range events { // until the runtime has ended; go-runc repeats an error for ever
		if e.Err != nil {
			break
		}
	}

	limit, memory := int64(77), int64(128<<20)
	err = d.Update(d.ctx, id, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}, Memory: &specs.LinuxMemory{Limit: &memory}})
	s, statsErr := d.stats(id)
	must(d.T, statsErr)
	d.note("Update", d.logged(err), "pids %d, memory %d", s.Pids.Limit, s.Memory.Usage.Limit)

	d.note("Pause", d.Pause(d.ctx, id), "done")
	d.state("State, paused", id)
	err = d.Exec(d.ctx, id, process("true"), nil)
	d.note("Exec, paused", err, "done")
	d.note("Resume", d.Resume(d.ctx, id), "done")
	d.state("State, resumed", id)
	d.note("Resume, again", d.Resume(d.ctx, id), "done")
	d.note("Checkpoint", d.Checkpoint(d.ctx, id, &runc.CheckpointOpts{ImagePath: filepath.Join(d.dir, "image")}, runc.LeaveRunning), "done")
	d.state("State, after Checkpoint", id)
}

func (d *driver) end(bundle string) {
	id := d.id + "a"
	err := d.Delete(d.ctx, id, nil)
	d.note("Delete, running", err, "done")
	d.note("Kill, SIGUSR1 to one that ignores it", d.Kill(d.ctx, id, int(syscall.SIGUSR1), nil), "done")
	d.note("Kill, SIGKILL to all", d.Kill(d.ctx, id, int(syscall.SIGKILL), &runc.KillOpts{All: true}), "done")
	d.stopped(id)
	d.state("State, stopped", id)
	d.note("Kill, stopped", d.Kill(d.ctx, id, int(syscall.SIGTERM), nil), "done")
	err = d.Exec(d.ctx, id, process("true"), nil)
	d.note("Exec, stopped", err, "done")
	d.note("Pause, stopped", d.Pause(d.ctx, id), "done")
	pids, err := d.Ps(d.ctx, id)
	d.note("Ps, stopped", err, "%d processes", len(pids))
	d.note("Delete", d.Delete(d.ctx, id, nil), "done")
	d.note("Delete, again", d.Delete(d.ctx, id, nil), "done")
	d.note("Delete, again, by force", d.Delete(d.ctx, id, &runc.DeleteOpts{Force: true}), "done")
	d.note("Kill, no such container", d.Kill(d.ctx, id, 9, nil), "done")
	status, err := d.Restore(d.ctx, id, bundle, &runc.RestoreOpts{Detach: true, CheckpointOpts: runc.CheckpointOpts{ImagePath: filepath.Join(d.dir, "image")}})
	d.note("Restore, detached", d.logged(err), "%d", status)
	must(d.T, d.Delete(d.ctx, id, &runc.DeleteOpts{Force: true}))
}

// stopped waits until a container has ended.
func (d *driver) stopped(id string) {
	for {
		s, err := d.State(d.ctx, id)
		must(d.T, err)
		if s.Status == "stopped" {
			return
		}
		time.Sleep(time.Millisecond) // the API has no event for this
	}
}

func (d *driver) foreground() {
	id := d.id + "b"
	b := d.bundle("b", "sh", "-c", "cat; exit 5")
	status, err := d.Runc.Run(d.ctx, id, b, &runc.CreateOpts{IO: d.null()})
	d.note("Run", err, "%d", status)
	d.note("Run: its exit status", nil, "%d", status)
	_, err = d.State(d.ctx, id)
	d.note("State, after Run", err, "")
	status, _ = d.Runc.Run(d.ctx, id, b, &runc.CreateOpts{IO: d.null(), ExtraArgs: []string{"--keep"}})
	d.note("Run --keep", nil, "%d", status)
	d.state("State, kept", id)
	d.note("Delete, kept", d.Delete(d.ctx, id, nil), "done")

	d.edit(b, id, []string{"sleep", "1000"})
	status, err = d.Runc.Run(d.ctx, id, b, &runc.CreateOpts{IO: d.null(), Detach: true, NoNewKeyring: true})
	d.note("Run, detached, no new keyring", d.logged(err), "%d", status)
	d.note("Delete, running, by force", d.Delete(d.ctx, id, &runc.DeleteOpts{Force: true}), "done")

	r, w, err := os.Pipe()
	must(d.T, err)
	d.edit(b, id, []string{"sh", "-c", "echo through >&3"})
	status, err = d.Runc.Run(d.ctx, id, b, &runc.CreateOpts{IO: d.null(), ExtraFiles: []*os.File{w}, ExtraArgs: []string{"--preserve-fds", "1"}})
	w.Close()
	text, _ := io.ReadAll(r)
	d.note("Run, with an extra file", d.logged(err), "%d, %s", status, strings.TrimSpace(string(text)))

	d.edit(b, id, []string{"nope"})
	_, err = d.Runc.Run(d.ctx, id, b, &runc.CreateOpts{IO: d.null()})
	d.note("Run, no such program", d.logged(err), "")
	_, err = d.State(d.ctx, id)
	d.note("State, after the failed Run", err, "")
}

func (d *driver) terminal() {
	id := d.id + "c"
	b := d.bundle("c", "tty")
	console, err := runc.NewTempConsoleSocket()
	must(d.T, err)
	defer console.Close()
	got := make(chan string, 1)
	go func() {
		master, err := console.ReceiveMaster()
		if err != nil {
			got <- err.Error()
			return
		}
		defer master.Close()
		buf := make([]byte, 100)
		n, _ := master.Read(buf)
		got <- strings.TrimSpace(string(buf[:n]))
	}()
	err = d.Create(d.ctx, id, b, &runc.CreateOpts{ConsoleSocket: console})
	d.note("Create, with console socket", d.logged(err), "done")
	d.note("Start, with console socket", d.Start(d.ctx, id), "done")
	d.note("what came through it", nil, "%s", within(got))
	d.stopped(id)
	d.note("Delete, after the terminal", d.Delete(d.ctx, id, nil), "done")
}
