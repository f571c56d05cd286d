package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

func TestFreeze(t *testing.T) {
	m := made(t, nil)
	c := start(t, m, "open=/dev/null")
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	later := Open(m.State())
	defer later.Close()
	if frozen, err := later.Frozen(); err != nil || !frozen {
		t.Fatalf("Frozen: %v, %v", frozen, err)
	}
	// The process is asked while it is frozen. It answers only after the thaw.
	if _, err := c.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string)
	go func() { s, _ := c.out.ReadString('\n'); answered <- s }()
	select {
	case s := <-answered:
		t.Fatalf("a frozen process said %q", s)
	case <-time.After(50 * time.Millisecond):
	}
	if err := later.Thaw(); err != nil {
		t.Fatal(err)
	}
	<-answered
	if frozen, err := m.Frozen(); err != nil || frozen {
		t.Fatalf("Frozen: %v, %v", frozen, err)
	}
}

// Freeze returns when all processes are stopped, and not when it has told them to stop.
func TestFreezeWaits(t *testing.T) {
	m := made(t, nil)
	if !m.has2() {
		t.Skip("only of cgroup v2")
	}
	start(t, m, "fork")
	for range 20 {
		if err := m.Freeze(); err != nil {
			t.Fatal(err)
		}
		if s := read(t, m, "", "cgroup.events"); !strings.Contains(s, "frozen 1") {
			t.Fatal(s)
		}
		if err := m.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

// legacy returns m without its cgroup2 directory, as on a host without cgroup v2.
func legacy(t *testing.T, m *Manager) *Manager {
	t.Helper()
	s := m.State()
	if s.Mode == Unified {
		t.Skip("no v1 hierarchies in this view")
	}
	s.Mode = Legacy
	dirs := map[string]string{}
	for name, dir := range s.Dirs {
		if name != "" {
			dirs[name] = dir
		}
	}
	s.Dirs = dirs
	l := Open(s)
	t.Cleanup(l.Close)
	return l
}

func TestFreezeLegacy(t *testing.T) {
	m := made(t, nil)
	start(t, m, "fork")
	l := legacy(t, m)
	for range 20 {
		if err := l.Freeze(); err != nil {
			t.Fatal(err)
		}
		if s := read(t, m, "freezer", "freezer.state"); s != "FROZEN" {
			t.Fatal(s)
		}
		if frozen, err := m.Frozen(); err != nil || !frozen {
			t.Fatalf("Frozen: %v, %v", frozen, err)
		}
		if err := l.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

// A hierarchy that cannot be thawed matters only if the container is frozen there.
func TestThawOfWhatIsNotFrozen(t *testing.T) {
	const refuses = "/proc/version" // this file can be read, but not written
	for name, c := range map[string]struct {
		frozen string
		want   string
	}{
		"not frozen": {"0", ""},
		"frozen":     {"1", "freezer.state: "},
	} {
		t.Run(name, func(t *testing.T) {
			v2, v1 := t.TempDir(), t.TempDir()
			for link, to := range map[string]string{v2 + "/cgroup.freeze": refuses, v1 + "/freezer.state": refuses} {
				if err := os.Symlink(to, link); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(v1+"/freezer.self_freezing", []byte(c.frozen+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			m := Open(State{Driver: Cgroupfs, Mode: Hybrid, Dirs: map[string]string{"": v2, "freezer": v1}})
			defer m.Close()
			err := m.Thaw()
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "cgroup.freeze")) {
				t.Errorf("Thaw: %v, want an error about %q", err, c.want)
			}
		})
	}
}

// A container that is frozen together with its ancestor is not paused itself. So it cannot be
// resumed either.
func TestFrozenWithItsAncestor(t *testing.T) {
	m := made(t, nil)
	top := legacy(t, m)
	below, err := try(t, Options{CgroupsPath: m.opts.CgroupsPath + "/below"})
	if err != nil {
		t.Fatal(err)
	}
	l := legacy(t, below)
	if err := top.Freeze(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := l.Frozen(); err != nil || frozen {
		t.Errorf("Frozen: %v, %v", frozen, err)
	}
	if frozen, err := l.Freezes(); err != nil || !frozen {
		t.Errorf("Freezes: %v, %v", frozen, err)
	}
	if err := top.Thaw(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := l.Freezes(); err != nil || frozen {
		t.Errorf("Freezes: %v, %v", frozen, err)
	}
}

func TestKillWhatForks(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		for _, old := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s legacy=%v", unix.SignalName(sig), old), func(t *testing.T) {
				m := made(t, nil)
				k := m
				if old {
					k = legacy(t, m)
				}
				c := start(t, m, "fork")
				time.Sleep(20 * time.Millisecond) // so that it can multiply
				if err := k.Kill(sig); err != nil {
					t.Fatal(err)
				}
				if s := c.exit(); s != "signal: killed" && s != "signal: terminated" {
					t.Fatal(s)
				}
				if err := m.Destroy(); err != nil { // Destroy waits for the last one
					t.Fatal(err)
				}
			})
		}
	}
}

// The process is always a new one: a list of processes is out of date before it is read.
func TestKillWhatHops(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		for _, old := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s legacy=%v", unix.SignalName(sig), old), func(t *testing.T) {
				for range 5 {
					m := made(t, nil)
					k := m
					if old {
						k = legacy(t, m)
					}
					start(t, m, "hop")
					time.Sleep(20 * time.Millisecond)
					killed(t, m, k, sig)
					if err := m.Destroy(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// killed lets k signal the processes of m. None of them may live much longer. But Go's runtime
// blocks signals while it forks: a process that gets SIGTERM in that moment still makes its
// successor before it ends. So that signal has three tries.
func killed(t *testing.T, m, k *Manager, sig unix.Signal) {
	t.Helper()
	dir, _ := m.dir2()
	for try := 1; ; try++ {
		if err := k.Kill(sig); err != nil {
			t.Fatal(err)
		}
		if !m.has2() {
			return
		}
		err := fs.AwaitEvent(dir, "populated 0", 5*time.Second)
		if err == nil {
			return
		}
		if sig == unix.SIGKILL || try == 3 {
			t.Fatal(err)
		}
	}
}

// Without a freezer, davit signals the processes in several rounds.
func TestKillWithoutAFreezer(t *testing.T) {
	m := made(t, nil)
	k := legacy(t, m)
	delete(k.state.Dirs, "freezer")
	k.group()
	start(t, m, "hop")
	time.Sleep(20 * time.Millisecond)
	if err := k.Kill(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > mischief/2 {
		t.Errorf("somebody lived on for %v", took)
	}
}

func TestKillFrozenAndBelow(t *testing.T) {
	m := made(t, nil)
	sub := filepath.Join(m.State().Dirs[m.leaderName()], "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	c := start(t, m, "wait")
	if err := os.WriteFile(sub+"/cgroup.procs", []byte(strconv.Itoa(c.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if pids, err := m.Pids(); err != nil || len(pids) != 1 {
		t.Fatalf("Pids: %v, %v", pids, err)
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if s := c.exit(); s != "signal: killed" {
		t.Fatal(s)
	}
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
}

// A process that v1's freezer has frozen in a sub-cgroup is killed, too.
func TestKillFrozenBelow(t *testing.T) {
	for _, old := range []bool{false, true} {
		m := made(t, nil)
		k := legacy(t, m)
		if !old {
			k = m
		}
		sub := m.State().Dirs["freezer"] + "/sub"
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		c := start(t, m, "wait")
		if err := os.WriteFile(sub+"/cgroup.procs", []byte(strconv.Itoa(c.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(sub+"/freezer.state", []byte("FROZEN"), 0); err != nil {
			t.Fatal(err)
		}
		if err := k.Kill(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		dead := make(chan string)
		go func() { dead <- c.exit() }()
		select {
		case s := <-dead:
			if s != "signal: killed" {
				t.Error(s)
			}
		case <-time.After(5 * time.Second):
			t.Error("it is still frozen")
			_ = k.Thaw()
			_ = os.WriteFile(sub+"/freezer.state", []byte("THAWED"), 0)
			<-dead
		}
		if err := m.Destroy(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process with a thread in a threaded sub-cgroup counts as one process.
func TestPidsOfThreads(t *testing.T) {
	m := made(t, nil)
	if !m.has2() {
		t.Skip("only of cgroup v2")
	}
	c := start(t, m, "wait")
	sub := filepath.Join(m.State().Dirs[""], "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sub+"/cgroup.type", []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(c.Process.Pid) + "/task")
	if err != nil || len(threads) < 2 {
		t.Fatalf("%v, %v", threads, err)
	}
	for _, thread := range threads[1:] {
		if err := os.WriteFile(sub+"/cgroup.threads", []byte(thread.Name()), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{m.State().Dirs[""], sub} {
		if pids, err := fs.AllPids(dir); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
			t.Errorf("%s: %v, %v; want %d", dir, pids, err, c.Process.Pid)
		}
	}
}

func (m *Manager) leaderName() string {
	for name, dir := range m.state.Dirs {
		if dir == m.leader() {
			return name
		}
	}
	return ""
}

func TestKillAfterTheEnd(t *testing.T) {
	m := made(t, nil)
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		if err := Open(m.State()).Kill(sig); err != nil {
			t.Errorf("%s: %v", unix.SignalName(sig), err)
		}
	}
}

// A process leaves a little after Destroy was called. Destroy waits for it, and does not just
// sleep.
func TestDestroyWaits(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", old), func(t *testing.T) {
			m := made(t, nil)
			d := m
			if old {
				d = legacy(t, m)
			}
			c := start(t, m, "wait")
			const delay = 200 * time.Millisecond
			begin := time.Now()
			time.AfterFunc(delay, func() { c.in.Close(); _ = c.Wait() })
			if err := Open(d.State()).Destroy(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < delay || took > delay+3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// A process that has left the cgroup2 directory, but not those of v1, is killed nevertheless.
func TestKillStrays(t *testing.T) {
	m := made(t, nil)
	if m.State().Mode != Hybrid {
		t.Skip("no v1 hierarchies in this view")
	}
	c := start(t, m, "wait")
	if err := os.WriteFile(hybridRoot+"/cgroup.procs", []byte(strconv.Itoa(c.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if s := c.exit(); s != "signal: killed" {
		t.Error(s)
	}
}
