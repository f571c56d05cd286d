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

// raceTime is how long each race is run.
const raceTime = 5 * time.Second

// swap exchanges pairs of names (renameat2(2)) for as long as the test runs, as an attacker does in a container that
// shares a volume. It returns a count of the exchanges.
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
				// At all times of day, and with some time for davit on a host with few processors.
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

// during makes containers as long as a race goes on, and gives what each prints and its exit status to check.
func (b *box) during(swaps *atomic.Int64, check func(out string, status int)) {
	b.t.Helper()
	made, refused, why := 0, 0, ""
	for end := time.Now().Add(raceTime); time.Now().Before(end); {
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

// CVE-2021-30465, CVE-2024-45310, CVE-2019-19921: a directory of a volume, on the way to everything that davit mounts
// or makes, is a link to the host's half of the time.
func TestRacedVolume(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.cwd=/vol/a/work/dir`, "process.user.uid=1000", "process.user.gid=1000",
		`process.args=["sh","-c","cat /vol/a/tmpfs/secret /vol/a/bind/secret secret"]`,
		`linux.devices=[{"path":"/vol/a/node","type":"c","major":1,"minor":3,"uid":1000,"gid":1000}]`,
		`linux.maskedPaths=["/vol/a/masked"]`, `linux.readonlyPaths=["/vol/a/fixed"]`)
	host, volume := filepath.Join(b.work, "host"), filepath.Join(b.work, "volume")
	for _, edit := range []string{
		`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`,
		`mounts+={"destination":"/vol/a/tmpfs","type":"tmpfs","source":"tmpfs"}`,
		`mounts+={"destination":"/vol/a/up/copied","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
		`mounts+={"destination":"/vol/a/bind","type":"bind","source":"/etc","options":["bind","ro"]}`,
		`mounts+={"destination":"/vol/a/file","type":"bind","source":"/etc/hostname","options":["bind","ro"]}`,
	} {
		b.edit(edit)
	}
	for _, dir := range []string{"tmpfs", "up/copied", "bind", "masked", "fixed", "work"} {
		mustWrite(t, filepath.Join(host, dir, "secret"), escaped+"\n")
	}
	if err := os.MkdirAll(volume+"/a", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(host, volume+"/link"); err != nil {
		t.Fatal(err)
	}
	before := listing(t, host)
	swaps := swap(t, [2]string{volume + "/a", volume + "/link"})
	b.during(swaps, func(out string, status int) {
		if after := listing(t, host); after != before {
			t.Errorf("the host's files changed:\n%s\nfrom\n%s\n%s", after, before, out)
		}
		if status < 0 || strings.Contains(out, "the stage ended") {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}

// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: /proc and /sys of the image are links half of the
// time. A container that comes up has procfs there, or nothing of the host.
func TestRacedProc(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sh","-c","cat /proc/secret /sys/secret"]`)
	host := filepath.Join(b.work, "host")
	mustWrite(t, host+"/proc/secret", escaped+"\n")
	mustWrite(t, host+"/sys/secret", escaped+"\n")
	for _, name := range []string{"proc", "sys"} {
		if err := os.Symlink(host+"/"+name, b.path(name+"-link")); err != nil {
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

// CVE-2025-31133: /dev/null of the image, with which files are masked in runc, is a link to procfs half of the time.
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

// CVE-2025-52565: /dev/console and /dev/pts of the image, where the terminal is mounted, are links half of the time.
func TestRacedConsole(t *testing.T) {
	b := newBox(t, "root.readonly=false", "process.terminal=true",
		`mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}]`,
		`process.args=["sh","-c","echo typed >/dev/console"]`)
	host := filepath.Join(b.work, "host")
	mustWrite(t, host+"/file", "file")
	mustWrite(t, host+"/dir/ptmx", "file")
	mustWrite(t, b.path("dev/console"), "")
	os.MkdirAll(b.path("dev/pts"), 0o755)
	for name, to := range map[string]string{"dev/c-link": host + "/file", "dev/p-link": host + "/dir"} {
		if err := os.Symlink(to, b.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, host)
	swaps := swap(t, [2]string{b.path("dev/console"), b.path("dev/c-link")}, [2]string{b.path("dev/pts"), b.path("dev/p-link")})
	made, refused := 0, 0
	for end := time.Now().Add(raceTime); time.Now().Before(end); made++ {
		out, _ := b.onTerminal("run", fmt.Sprintf("c%d", made))
		if strings.Contains(out, "davit: run") {
			refused++
		}
		if after := listing(t, host); after != before {
			t.Fatalf("the host's files changed:\n%s\nfrom\n%s\n%s", after, before, out)
		}
	}
	t.Logf("%d containers, %d of them refused, during %d exchanges", made, refused, swaps.Load())
}

// tmpcopyup copies what others may change meanwhile: what it makes has the owner, mode and content of one file.
func TestRacedCopyUp(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["sh","-c","test -f /vol/up/f && stat -c '%u %a' /vol/up/f && cat /vol/up/f"]`)
	volume := filepath.Join(b.work, "volume")
	for _, edit := range []string{
		`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`,
		`mounts+={"destination":"/vol/up","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
	} {
		b.edit(edit)
	}
	mustWrite(t, volume+"/up/f", "root's")
	mustWrite(t, volume+"/evil", "user's")
	if err := errorsOf(os.Chmod(volume+"/up/f", 0o4755|os.ModeSetuid), os.Chmod(volume+"/evil", 0o644), os.Chown(volume+"/evil", 1000, 1000),
		unix.Mkfifo(volume+"/fifo", 0o644)); err != nil {
		t.Fatal(err)
	}
	swaps := swap(t, [2]string{volume + "/up/f", volume + "/evil"}, [2]string{volume + "/up/f", volume + "/fifo"})
	b.during(swaps, func(out string, status int) {
		if strings.Contains(out, "user's") && !strings.HasPrefix(out, "1000 644\n") || strings.Contains(out, "root's") && !strings.HasPrefix(out, "0 4755\n") {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}

// The tmpfs of tmpcopyup is filled by descriptor: nothing is written where a swapped link leads in the container.
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
