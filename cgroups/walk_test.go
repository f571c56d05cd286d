package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"davit/cgroups/fs"

	"golang.org/x/sys/unix"
)

// nest makes nested sub-cgroups whose path is longer than PATH_MAX, and returns the descriptor of
// the deepest one. Their names are as difficult as names can be.
func nest(t *testing.T, dir string, deep int, each func(at int)) int {
	t.Helper()
	at, err := fs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := "\x1b[2J" + strings.Repeat("x", 240)
	for range deep {
		if err := fs.Mkdir(at, name); err != nil {
			t.Fatal(err)
		}
		next, err := fs.OpenAt(at, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
		if each != nil {
			each(at)
		}
	}
	t.Cleanup(func() { unix.Close(at) })
	return at
}

// fewDescriptors limits the test to n more descriptors than it has now, until the returned function
// is called.
func fewDescriptors(t *testing.T, n int) func() {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	free, err := unix.Open("/dev/null", unix.O_PATH|unix.O_CLOEXEC, 0) // the lowest free descriptor
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free + n), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	var done bool
	restore := func() {
		if !done {
			done = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) == nil
		}
	}
	t.Cleanup(restore)
	return restore
}

// A container that may write to its cgroup cannot make itself impossible to kill or to delete by
// nesting cgroups deeply.
func TestDeepSubcgroups(t *testing.T) {
	for _, old := range []bool{false, true} {
		for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
			t.Run(fmt.Sprintf("legacy=%v %s", old, unix.SignalName(sig)), func(t *testing.T) {
				m := made(t, nil)
				k := m
				if old {
					k = legacy(t, m)
				}
				c := start(t, m, "wait")
				for _, dir := range m.State().Dirs {
					if _, err := os.Stat(dir + "/cpuset.mems"); err == nil {
						continue // it would need CPUs first
					}
					entries, _ := fs.Subdirs(dir)
					if len(entries) > 0 { // several controllers share a directory
						continue
					}
					at := nest(t, dir, 40, nil)
					if err := fs.WriteAt(at, "cgroup.procs", strconv.Itoa(c.Process.Pid)); err != nil {
						t.Fatal(err)
					}
				}
				restore := fewDescriptors(t, 24)
				if pids, err := k.Pids(); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
					t.Errorf("Pids: %v, %v", pids, err)
				}
				if err := k.Freeze(); err != nil {
					t.Error(err)
				}
				if sig != unix.SIGKILL {
					if err := k.Thaw(); err != nil {
						t.Error(err)
					}
				}
				if err := k.Kill(sig); err != nil {
					t.Error(err)
				}
				restore()
				if t.Failed() { // then nobody else ends the process
					_ = k.Thaw()
					_ = c.Process.Kill()
				}
				if s := c.exit(); s != "signal: killed" && s != "signal: terminated" {
					t.Error(s)
				}
				restore = fewDescriptors(t, 24)
				err := m.Destroy()
				restore()
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// An error about a deep cgroup is still readable.
func TestDeepErrors(t *testing.T) {
	m := made(t, nil)
	for _, dir := range m.State().Dirs {
		nest(t, dir, 40, nil)
		err := fs.Walk(dir, func(_, depth int) (bool, error) {
			if depth == 40 {
				return false, unix.EIO
			}
			return true, nil
		})
		if !errors.Is(err, unix.EIO) || len(err.Error()) > 400 || !strings.HasPrefix(err.Error(), dir) {
			t.Errorf("%d bytes: %v", len(err.Error()), err)
		}
		break
	}
}

// There are thousands of sub-cgroups, some of them threaded.
func TestManySubcgroups(t *testing.T) {
	m := made(t, nil)
	dir := m.State().Dirs[m.leaderName()]
	at, err := fs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(at)
	for i := range 1000 {
		for _, name := range []string{"", "/a", "/b"} {
			if err := fs.Mkdir(at, strconv.Itoa(i)+name); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := time.Now()
	if pids, err := m.Pids(); err != nil || len(pids) != 0 {
		t.Errorf("Pids: %v, %v", pids, err)
	}
	if err := m.Kill(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
	t.Logf("3000 sub-cgroups: %v", time.Since(begin))
}

// A threaded sub-cgroup lies deep.
func TestDeepThreads(t *testing.T) {
	m := made(t, nil)
	if !m.has2() {
		t.Skip("only of cgroup v2")
	}
	c := start(t, m, "wait")
	at := nest(t, m.State().Dirs[""], 20, func(at int) {
		if err := fs.WriteAt(at, "cgroup.type", "threaded"); err != nil {
			t.Fatal(err)
		}
	})
	if err := fs.WriteAt(at, "cgroup.threads", strconv.Itoa(c.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if pids, err := m.Pids(); err != nil || len(pids) != 1 {
		t.Errorf("Pids: %v, %v", pids, err)
	}
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if s := c.exit(); s != "signal: killed" {
		t.Error(s)
	}
	if err := m.Destroy(); err != nil {
		t.Fatal(err)
	}
}

// If the kernel refuses a signal, the container does not stay frozen.
func TestKillThatFailsThaws(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", old), func(t *testing.T) {
			m := made(t, nil)
			k := m
			if old {
				k = legacy(t, m)
			}
			start(t, m, "wait")
			if err := k.Kill(unix.Signal(77)); !errors.Is(err, unix.EINVAL) {
				t.Errorf("Kill: %v", err)
			}
			if frozen, err := k.Frozen(); err != nil || frozen {
				t.Errorf("Frozen: %v, %v", frozen, err)
			}
			_ = k.Thaw()
		})
	}
}

// A thaw that fails for a moment is tried again.
func TestThawTriesAgain(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", old), func(t *testing.T) {
			m := made(t, nil)
			k := m
			if old {
				k = legacy(t, m)
			}
			c := start(t, m, "wait")
			soon := func(what string, thaw func() error) {
				t.Helper()
				if err := k.Freeze(); err != nil {
					t.Fatal(err)
				}
				restore := fewDescriptors(t, 0)
				restored := make(chan struct{})
				time.AfterFunc(20*time.Millisecond, func() { restore(); close(restored) })
				err := thaw()
				<-restored
				if frozen, unknown := k.Frozen(); err != nil || frozen || unknown != nil {
					t.Errorf("%s: %v; frozen: %v, %v", what, err, frozen, unknown)
				}
				_ = k.Thaw()
			}
			soon("Thaw", k.Thaw)
			soon("ThawAll", k.ThawAll)
			if old { // v2 kills frozen processes
				soon("Kill", func() error { return k.Kill(unix.SIGKILL) })
			}
			_ = c.Process.Kill()
			if s := c.exit(); s != "signal: killed" {
				t.Error(s)
			}
		})
	}
}

// A process that has left the cgroup gets no signal, even if it was there when the list was read.
func TestSignalLooksAgain(t *testing.T) {
	m := made(t, nil)
	inside, outside := start(t, m, "wait"), start(t, nil, "wait")
	dir := m.State().Dirs[m.leaderName()]
	at, err := fs.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(at)
	told := map[int]bool{}
	pids := []int{inside.Process.Pid, outside.Process.Pid, 1 << 22}
	if err := signalMembers(at, pids, unix.SIGKILL, func(pid int, err error) { told[pid] = err == nil }); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !told[inside.Process.Pid] {
		t.Errorf("told: %v", told)
	}
	if s := inside.exit(); s != "signal: killed" {
		t.Error(s)
	}
	if err := outside.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the process outside: %v", err)
	}
}
