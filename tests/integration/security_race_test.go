package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// raceTime returns how long each race runs.
func raceTime() time.Duration {
	if testing.Short() {
		return 3 * time.Second
	}
	return 5 * time.Second
}

// swap exchanges pairs of names (renameat2(2)) until the test has ended. An attacker does this in a
// container that shares a volume. It returns a count of the exchanges.
func swap(t *testing.T, pairs ...[2]string) *atomic.Int64 {
	t.Helper()
	var over atomic.Bool
	var count atomic.Int64
	done := make(chan struct{}, len(pairs))
	for _, pair := range pairs {
		go func() {
			for !over.Load() {
				if unix.Renameat2(unix.AT_FDCWD, pair[0], unix.AT_FDCWD, pair[1], unix.RENAME_EXCHANGE) == nil {
					count.Add(1)
				}
				// The exchanges happen at random moments, and leave davit some time on a host with
				// few processors.
				time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			}
			done <- struct{}{}
		}()
	}
	stop := func() {
		over.Store(true)
		for range pairs {
			<-done
		}
	}
	t.Cleanup(stop)
	return &count
}

// during makes containers while a race runs, and passes the output and the exit status of each to
// check.
func (b *box) during(swaps *atomic.Int64, check func(out string, status int)) {
	b.t.Helper()
	made, refused, why := 0, 0, ""
	for end := time.Now().Add(raceTime()); time.Now().Before(end); {
		out, status := b.try("run", fmt.Sprintf("c%d", made))
		made++
		if strings.Contains(out, "davit: run") {
			refused++
			why = out
		}
		if strings.Contains(out, escaped) {
			b.t.Fatalf("after %d: %s", made, out)
		}
		check(out, status)
		if b.t.Failed() {
			return
		}
	}
	b.t.Logf("%d containers, %d of them refused, during %d exchanges; the last because: %s", made, refused, swaps.Load(), why)
	if swaps.Load() < 100 {
		b.t.Errorf("%d exchanges only: the test shows nothing", swaps.Load())
	}
}

// CVE-2021-30465, CVE-2024-45310, CVE-2019-19921: half of the time, a directory of a volume is a
// link to the host's. It lies on the way to something that davit mounts or makes.
func TestRacedVolume(t *testing.T) {
	b := newBox(t)
	host, volume := filepath.Join(b.work, "host"), filepath.Join(b.work, "volume")
	mustWrite(t, host+"/secret", escaped+"\n")
	if err := errorsOf(os.MkdirAll(volume+"/a", 0o777), os.Symlink(host, volume+"/link")); err != nil {
		t.Fatal(err)
	}
	b.edit("root.readonly=false", `process.args=["sh","-c","cat secret; cat /vol/a/t/secret; true"]`,
		`mounts+={"destination":"/vol","type":"bind","source":"`+volume+`","options":["rbind"]}`)
	common, err := os.ReadFile(b.bundle + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{
		`mounts+={"destination":"/vol/a/t/u","type":"tmpfs","source":"tmpfs"}`,
		`mounts+={"destination":"/vol/a/copied","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
		`mounts+={"destination":"/vol/a/dir","type":"bind","source":"/etc","options":["bind","ro"]}`,
		`mounts+={"destination":"/vol/a/file","type":"bind","source":"/etc/hostname","options":["bind","ro"]}`,
		`linux.devices=[{"path":"/vol/a/node","type":"c","major":1,"minor":3,"uid":1000,"gid":1000}]`,
		`linux.devices=[{"path":"/vol/a/deep/fifo","type":"p","uid":1000}]`,
		`process.cwd=/vol/a/work/dir`,
		`linux.maskedPaths=["/vol/a/secret"]`,
	}
	before := listing(t, host)
	swaps := swap(t, [2]string{volume + "/a", volume + "/link"})
	made := 0
	b.during(swaps, func(out string, status int) {
		if after := listing(t, host); after != before {
			t.Errorf("after %s: the host's files changed:\n%s\nfrom\n%s\n%s", kinds[made%len(kinds)], after, before, out)
		}
		if status < 0 || strings.Contains(out, "the stage ended") {
			t.Errorf("exit status %d: %s", status, out)
		}
		made++
		os.WriteFile(b.bundle+"/config.json", common, 0o644)
		b.edit(kinds[made%len(kinds)])
		for _, name := range []string{"t", "copied", "dir", "file", "node", "deep", "work"} { // the containers must make them again
			for _, dir := range []string{"a", "link"} {
				if fd, err := unix.Open(filepath.Join(volume, dir), unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
					os.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", fd, name))
					unix.Close(fd)
				}
			}
		}
	})
}

// CVE-2021-30465 with an attacker who is never too late. If something is mounted on the host, where
// a link leads, nobody sees it, and it vanishes when the stage leaves the host's root. So the test
// checks that everything that was mounted is in the container.
func TestRacedTargetByCall(t *testing.T) {
	for name, edit := range map[string]string{
		"bind":      `mounts+={"destination":"/vol/a/marked","type":"bind","source":"/etc","options":["bind","ro"]}`,
		"tmpfs":     `mounts+={"destination":"/vol/a/marked","type":"tmpfs","source":"tmpfs"}`,
		"tmpcopyup": `mounts+={"destination":"/vol/a/marked","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
		"mask":      `linux.maskedPaths=["/vol/a/marked"]`,
		"read-only": `linux.readonlyPaths=["/vol/a/marked"]`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			host, volume := filepath.Join(b.work, "host"), filepath.Join(b.work, "volume")
			b.edit("root.readonly=false", `process.args=["grep","-c","/marked ","/proc/self/mountinfo"]`,
				`mounts+={"destination":"/vol","type":"bind","source":"`+volume+`","options":["rbind"]}`, edit)
			// The link's target exists in the container, too, because davit does not mask what does
			// not exist.
			for _, dir := range []string{host, volume + "/a", b.path(host)} {
				mustWrite(t, dir+"/marked/file", "")
			}
			if err := os.Symlink(host, volume+"/link"); err != nil {
				t.Fatal(err)
			}
			made := 0
			for range 12 {
				out, _ := b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
					if commOf(thread) == "davit-stage" && rand.IntN(2) == 0 {
						unix.Renameat2(unix.AT_FDCWD, volume+"/a", unix.AT_FDCWD, volume+"/link", unix.RENAME_EXCHANGE)
					}
					return true
				}, "run", "c1")
				switch {
				case out == "1\n":
					made++
				case !strings.Contains(out, "davit: run c1: "):
					t.Fatalf("the mount is not in the container: %q", out)
				}
			}
			if made == 0 {
				t.Error("no container was made: the test shows nothing")
			}
		})
	}
}

// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: half of the time, /proc and /sys
// of the image are links to a directory that an attacker would keep. Nothing may be mounted there.
func TestRacedProc(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sh","-c","for p in /proc /proc-link /aside-proc; do grep aside $p/self/mountinfo && echo ESCAPED; done; true"]`)
	host := filepath.Join(b.work, "host")
	for _, name := range []string{"proc", "sys"} {
		mustWrite(t, host+"/"+name+"/secret", escaped+"\n")
		mustWrite(t, b.path("aside-"+name+"/secret"), "")
		if err := os.Symlink("/aside-"+name, b.path(name+"-link")); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, host)
	swaps := swap(t, [2]string{b.path("proc"), b.path("proc-link")}, [2]string{b.path("sys"), b.path("sys-link")})
	b.during(swaps, func(out string, _ int) {
		if after := listing(t, host); after != before {
			t.Errorf("the host's files changed:\n%s\nfrom\n%s\n%s", after, before, out)
		}
	})
}

// CVE-2025-31133: half of the time, the image's /dev/null is a link to procfs. runc masks files
// with it.
func TestRacedMask(t *testing.T) {
	b := newBox(t, "root.readonly=false", `linux.maskedPaths=["/masked","/proc/timer_list","/proc/keys"]`,
		`mounts=[{"destination":"/proc","type":"proc","source":"proc"}]`,
		`process.args=["sh","-c","cat /masked; for f in /masked /proc/keys; do test -c $f && test $(stat -c %t:%T $f) = 1:3 || echo ESCAPED $f; done; echo x >/masked; echo done"]`)
	host := filepath.Join(b.work, "host")
	mustWrite(t, host+"/file", "file")
	mustWrite(t, b.path("masked"), escaped+"\n")
	if err := unix.Mknod(b.path("dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/sys/kernel/core_pattern", b.path("dev/link")); err != nil {
		t.Fatal(err)
	}
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	swaps := swap(t, [2]string{b.path("dev/null"), b.path("dev/link")})
	b.during(swaps, func(out string, status int) {
		if status == 0 && !strings.HasSuffix(out, "done\n") {
			t.Error(out)
		}
	})
	if after, _ := os.ReadFile("/proc/sys/kernel/core_pattern"); string(after) != string(pattern) {
		t.Errorf("core_pattern is %q", after)
	}
}

// CVE-2025-52565: half of the time, the image's /dev/console and /dev/pts are links. The terminal
// is mounted there.
func TestRacedConsole(t *testing.T) {
	b := newBox(t, "root.readonly=false", "process.terminal=true",
		`mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}]`,
		`process.args=["sh","-c","test -c /precious && echo ESCAPED; true"]`)
	mustWrite(t, b.path("precious"), "")
	host := filepath.Join(b.work, "host")
	mustWrite(t, host+"/file", "file")
	mustWrite(t, host+"/dir/ptmx", "file")
	mustWrite(t, b.path("dev/console"), "")
	os.MkdirAll(b.path("dev/pts"), 0o755)
	for name, to := range map[string]string{"dev/c-link": "/precious", "dev/p-link": host + "/dir"} {
		if err := os.Symlink(to, b.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, host)
	swaps := swap(t, [2]string{b.path("dev/console"), b.path("dev/c-link")}, [2]string{b.path("dev/pts"), b.path("dev/p-link")})
	made, refused := 0, 0
	for end := time.Now().Add(raceTime()); time.Now().Before(end); made++ {
		out, _ := b.onTerminal("run", fmt.Sprintf("c%d", made))
		if strings.Contains(out, "davit: run") {
			refused++
		}
		if after := listing(t, host); after != before || strings.Contains(out, escaped) {
			t.Fatalf("the host's files changed:\n%s\nfrom\n%s\n%s", after, before, out)
		}
	}
	t.Logf("%d containers, %d of them refused, during %d exchanges", made, refused, swaps.Load())
}

// Others may change the files that tmpcopyup copies. Each copy must have the owner, mode and
// content of one and the same file.
func TestRacedCopyUp(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sh","-c","find /vol/up -type f -perm -4000 | xargs grep -s user && echo ESCAPED; true"]`)
	volume := filepath.Join(b.work, "volume")
	for _, edit := range []string{
		`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`,
		`mounts+={"destination":"/vol/up","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
	} {
		b.edit(edit)
	}
	const files = 100
	other := func(i int) string { return fmt.Sprintf("%s/other%d", volume, i) }
	file := func(i int) string { return fmt.Sprintf("%s/up/f%d", volume, i) }
	for i := range files {
		mustWrite(t, file(i), "root's")
		mustWrite(t, other(i), "user's")
		if err := errorsOf(os.Chmod(file(i), 0o755|os.ModeSetuid), os.Chmod(other(i), 0o644), os.Chown(other(i), 1000, 1000)); err != nil {
			t.Fatal(err)
		}
		if i == 50 { // the stage would wait for ever for this one
			os.Remove(other(i))
			if err := unix.Mkfifo(other(i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var over atomic.Bool
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; !over.Load(); i++ {
			if unix.Renameat2(unix.AT_FDCWD, file(i%files), unix.AT_FDCWD, other(i%files), unix.RENAME_EXCHANGE) == nil {
				count.Add(1)
			}
		}
	}()
	t.Cleanup(func() { over.Store(true); <-done })
	b.during(&count, func(out string, status int) {
		if status < 0 {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}

// The same with an attacker who is never too late: before each of the stage's system calls, some
// files are exchanged.
func TestRacedCopyUpByCall(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sh","-c","cd /vol/up; for f in *; do echo $(stat -c %a:%u $f) $(cat $f); done"]`)
	volume := filepath.Join(b.work, "volume")
	b.edit(`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`)
	b.edit(`mounts+={"destination":"/vol/up","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`)
	const files = 8
	var pairs [files][2]string
	for i := range pairs {
		pairs[i] = [2]string{fmt.Sprintf("%s/up/f%d", volume, i), fmt.Sprintf("%s/other%d", volume, i)}
		mustWrite(t, pairs[i][0], "root's")
		mustWrite(t, pairs[i][1], "user's")
		if err := errorsOf(os.Chmod(pairs[i][0], 0o755|os.ModeSetuid), os.Chmod(pairs[i][1], 0o644), os.Chown(pairs[i][1], 1000, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]int{}
	for range 4 {
		out, _ := b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
			if commOf(thread) == "davit-stage" {
				for _, p := range pairs {
					if rand.IntN(2) == 0 {
						continue
					}
					if err := unix.Renameat2(unix.AT_FDCWD, p[0], unix.AT_FDCWD, p[1], unix.RENAME_EXCHANGE); err != nil {
						t.Error(err)
					}
				}
			}
			return true
		}, "run", "c1")
		for line := range strings.Lines(out) {
			kinds[strings.TrimSpace(line)]++
		}
	}
	for kind := range kinds {
		if kind != "4755:0 root's" && kind != "644:1000 user's" {
			t.Errorf("a mixture: %q", kind)
		}
	}
	if len(kinds) < 2 {
		t.Errorf("%v: no exchange was seen", kinds)
	}
}

// The stage opens nothing before it knows that it is a file or a directory. To open a device can
// have effects, and the container's device rules may not bind the stage yet. The test uses fifos in
// place of devices, because it can see whether somebody reads a fifo.
func TestRacedCopyUpOpensFiles(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["true"]`)
	volume := filepath.Join(b.work, "volume")
	b.edit(`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`)
	b.edit(`mounts+={"destination":"/vol/up","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`)
	const files = 32
	var pairs [files][2]string
	var fifos [files]string
	for i := range pairs {
		pairs[i] = [2]string{fmt.Sprintf("%s/up/f%d", volume, i), fmt.Sprintf("%s/fifo%d", volume, i)}
		mustWrite(t, pairs[i][0], "file")
		if err := unix.Mkfifo(pairs[i][1], 0o644); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(pairs[i][1], unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fifos[i] = fmt.Sprintf("/proc/self/fd/%d", fd) // this works whatever the fifo's name is
	}
	swaps, opened := 0, 0
	b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
		if commOf(thread) != "davit-stage" {
			return true
		}
		for i, p := range pairs {
			if fd, err := unix.Open(fifos[i], unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil { // without a reader this fails with ENXIO
				unix.Close(fd)
				opened++
			}
			if rand.IntN(2) == 0 && unix.Renameat2(unix.AT_FDCWD, p[0], unix.AT_FDCWD, p[1], unix.RENAME_EXCHANGE) == nil {
				swaps++
			}
		}
		return true
	}, "run", "c1")
	if swaps < files {
		t.Errorf("%d exchanges only: the test shows nothing", swaps)
	}
	if opened > 0 {
		t.Errorf("fifos were open %d times", opened)
	}
}

// A working directory that davit makes belongs to the container's user. If another directory takes
// its name, before whichever of the stage's system calls, that one does not get the owner.
func TestRacedCwdByCall(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["true"]`, "process.cwd=/vol/new", "process.user.uid=1000", "process.user.gid=1000")
	volume := filepath.Join(b.work, "volume")
	b.edit(`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`)
	mustWrite(t, volume+"/precious/file", "root's")
	exchanged := 0
	b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(int) bool {
		if exchanged == 0 && unix.Renameat2(unix.AT_FDCWD, volume+"/new", unix.AT_FDCWD, volume+"/precious", unix.RENAME_EXCHANGE) == nil {
			exchanged++
		}
		return true
	}, "run", "c1")
	if exchanged == 0 {
		t.Fatal("the directory was not made")
	}
	var made, precious unix.Stat_t
	if err := errorsOf(unix.Stat(volume+"/precious", &made), unix.Stat(volume+"/new", &precious)); err != nil {
		t.Fatal(err)
	}
	if made.Uid != 1000 || made.Gid != 1000 || precious.Uid != 0 || precious.Gid != 0 {
		t.Errorf("the directory made belongs to %d:%d, the other to %d:%d", made.Uid, made.Gid, precious.Uid, precious.Gid)
	}
}

// The stage fills the tmpfs of tmpcopyup by descriptor. It writes nothing where a swapped link
// leads within the container.
func TestRacedCopyUpTarget(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sh","-c","test -e /precious/up/evil && echo ESCAPED; rm -f /precious/up/evil; true"]`)
	volume := filepath.Join(b.work, "volume")
	for _, edit := range []string{
		`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`,
		`mounts+={"destination":"/vol/a/up","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
	} {
		b.edit(edit)
	}
	mustWrite(t, volume+"/a/up/evil", "evil")
	os.MkdirAll(b.path("precious/up"), 0o755)
	if err := os.Symlink("/precious", volume+"/link"); err != nil {
		t.Fatal(err)
	}
	swaps := swap(t, [2]string{volume + "/a", volume + "/link"})
	b.during(swaps, func(out string, _ int) {})
}
