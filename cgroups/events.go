package cgroups

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"davit/cgroups/fs"
	"davit/internal/fault"

	"golang.org/x/sys/unix"
)

// Event reports what has happened in a container's cgroup since the event before.
type Event struct {
	// OOM is how many processes the kernel's out-of-memory killer has killed. On v1 it is also 1 if
	// memory ran out while the killer is disabled.
	OOM   uint64
	Empty bool // no process is left
}

// Events reports OOM kills, and that no process is left. It closes the channel once ctx is done,
// the cgroup is removed or no process is left in it. Between events it uses no processor time: the
// kernel wakes it.
func (m *Manager) Events(ctx context.Context) (<-chan Event, error) {
	w := &watcher{out: make(chan Event, 16), events: -1, removed: -1, memory: -1, oom: -1, stop: -1, proc: -1}
	if err := m.watch(w); err != nil {
		w.close()
		return nil, err
	}
	unhook := context.AfterFunc(ctx, w.wake)
	go func() {
		w.run(ctx)
		unhook()
		w.close()
	}()
	return w.out, nil
}

// watcher has the descriptors that Events polls; -1 stands for none.
type watcher struct {
	out     chan Event
	events  int        // v2: cgroup.events
	removed int        // v2: an inotify on the parent, since a removed cgroup no longer wakes a poll of cgroup.events
	memory  int        // v2: memory.events, or v1: memory.oom_control
	oom     int        // v1: the eventfd that memory.oom_control signals
	stop    int        // an eventfd that says that ctx is done
	proc    int        // legacy: a pidfd of a process in the cgroup, since v1 does not tell when a cgroup is empty
	procs   string     // legacy: the directory in which the next process is found
	mu      sync.Mutex // protects stop: ctx may be done while the watcher is just ending
	dir     string
	v1      bool
	kills   uint64
	again   int // v1: how often to look again for the kill that the eventfd has announced
}

func (m *Manager) watch(w *watcher) (err error) {
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if m.has2() {
		dir, err := m.dir2()
		if err != nil {
			return err
		}
		if w.events, err = fs.OpenAt(dir, "cgroup.events", unix.O_RDONLY); err != nil {
			return fmt.Errorf("open %s/cgroup.events: %w", m.state.Dirs[""], err)
		}
		if err := w.watchParent(m.state.Dirs[""]); err != nil {
			return err
		}
	}
	if !m.has2() {
		w.procs = m.leader()
	}
	switch m.version("memory") {
	case 1:
		return m.watchMemory1(w)
	case 2:
		dir, err := m.dir2()
		if err != nil {
			return err
		}
		w.memory, err = fs.OpenAt(dir, "memory.events", unix.O_RDONLY)
		if err != nil && err != unix.ENOENT { // without the controller there is no limit, and nobody is killed for it
			return fmt.Errorf("open %s/memory.events: %w", m.state.Dirs[""], err)
		}
		w.kills = w.count()
	}
	if w.events < 0 && w.procs == "" {
		return errNoStats
	}
	return nil
}

// watchParent makes w.removed report when dir is removed. It also reports the removal of
// directories beside it.
func (w *watcher) watchParent(dir string) (err error) {
	if w.removed, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return fault.WithHint(fmt.Errorf("inotify_init1: %w", err), "the sysctl fs.inotify.max_user_instances limits how many there may be")
	}
	parent := filepath.Dir(dir)
	if _, err := unix.InotifyAddWatch(w.removed, parent, unix.IN_DELETE|unix.IN_ONLYDIR); err != nil {
		return fmt.Errorf("inotify_add_watch %s: %w", parent, err)
	}
	return nil
}

func (w *watcher) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop >= 0 {
		_, _ = unix.Write(w.stop, one[:])
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fd := range [...]int{w.events, w.removed, w.memory, w.oom, w.stop, w.proc} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	w.stop = -1
	close(w.out)
}

func (w *watcher) run(ctx context.Context) {
	fds := []unix.PollFd{{Fd: int32(w.stop), Events: unix.POLLIN}, {Fd: int32(w.events), Events: unix.POLLPRI}}
	if w.v1 {
		fds = append(fds, unix.PollFd{Fd: int32(w.oom), Events: unix.POLLIN})
	} else {
		fds = append(fds, unix.PollFd{Fd: int32(w.memory), Events: unix.POLLPRI})
	}
	fds = append(fds, unix.PollFd{Fd: -1, Events: unix.POLLIN}, unix.PollFd{Fd: int32(w.removed), Events: unix.POLLIN})
	for ctx.Err() == nil {
		e, end := w.look(fds[2].Revents != 0)
		fds[3].Fd = int32(w.proc)
		if e != (Event{}) {
			select {
			case w.out <- e:
			case <-ctx.Done():
				return
			}
		}
		if end {
			return
		}
		timeout := -1
		if w.again > 0 {
			timeout = 10 // ms
		}
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR { // poll skips negative descriptors
			return
		}
	}
}

// look returns what has changed since the last call. oom says that v1's eventfd was signalled. end
// is true if nothing more will happen.
func (w *watcher) look(oom bool) (e Event, end bool) {
	if w.v1 && oom && w.removed1() {
		return e, true
	}
	if n := w.count(); n > w.kills {
		e.OOM, w.kills, w.again = n-w.kills, n, 0
	} else if w.again > 0 {
		if w.again--; w.again == 0 {
			e.OOM = 1
		}
	}
	if w.events >= 0 {
		var told [4096]byte // the names of the removed directories are not needed
		_, _ = unix.Read(w.removed, told[:])
		var buf [256]byte
		n, err := unix.Pread(w.events, buf[:], 0)
		if err != nil && err != unix.EINTR {
			return e, true
		}
		e.Empty = err == nil && strings.Contains(string(buf[:n]), "populated 0")
	} else if w.procs != "" {
		e.Empty = !w.next()
	}
	return e, e.Empty
}

// count returns how many processes the OOM killer has killed in the cgroup so far.
func (w *watcher) count() uint64 {
	var buf [512]byte
	if w.memory < 0 {
		return 0
	}
	n, err := unix.Pread(w.memory, buf[:], 0)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(buf[:n])) {
		if v, ok := strings.CutPrefix(line, "oom_kill "); ok {
			count, _ := strconv.ParseUint(strings.TrimSpace(v), 10, 64)
			return count
		}
	}
	return 0
}

// OOMKills returns how many processes the OOM killer has killed in the container so far, 0 if that
// cannot be read.
func (m *Manager) OOMKills() uint64 {
	file := "memory.events"
	if m.version("memory") == 1 {
		file = "memory.oom_control"
	}
	dir, err := m.open("memory")
	if err != nil {
		return 0
	}
	fd, err := fs.OpenAt(dir, file, unix.O_RDONLY)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	return (&watcher{memory: fd}).count()
}
