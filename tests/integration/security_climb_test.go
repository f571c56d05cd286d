package integration

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// climbingLink returns the text of a link that leads nowhere while the directory first is missing.
// If a runtime makes first, and somebody removes it again, then ".." leads the runtime from the
// removed directory to the host's path to.
func climbingLink(first, to string) string {
	up := strings.Repeat("../", 40)
	dots := strings.Repeat("./", (4000-len(first)-len(up)-len(to))/2)
	return first + "/" + dots + up + strings.TrimPrefix(to, "/")
}

// removing removes the directory name from volume whenever somebody makes it, until the test has
// ended. It counts the removals.
func removing(t *testing.T, volume, name string) *atomic.Int64 {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, volume, unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	var count atomic.Int64
	done := make(chan struct{})
	over := filepath.Join(volume, "over")
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			if _, err := events.Read(buf); err != nil {
				return
			}
			if os.Remove(filepath.Join(volume, name)) == nil {
				count.Add(1)
			}
			if _, err := os.Stat(over); err == nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		os.WriteFile(over, nil, 0o600) // this wakes the reader
		<-done
		events.Close()
	})
	return &count
}

// The config has a mount in a volume that an attacker shares. On the way there is a link of the
// attacker's that leads nowhere. The attacker removes what the stage makes for the mount, so that
// the stage meets names that are gone.
func TestRemovedOnTheWay(t *testing.T) {
	for _, userns := range []bool{false, true} {
		for name, edit := range map[string]string{
			"tmpfs":     `mounts+={"destination":"/vol/data","type":"tmpfs","source":"tmpfs"}`,
			"nested":    `mounts+={"destination":"/vol/data/below","type":"tmpfs","source":"tmpfs"}`,
			"bind":      `mounts+={"destination":"/vol/data","type":"bind","source":"/etc","options":["bind","ro"]}`,
			"file":      `mounts+={"destination":"/vol/data","type":"bind","source":"/etc/hostname","options":["bind","ro"]}`,
			"tmpcopyup": `mounts+={"destination":"/vol/data","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
			"device":    `linux.devices=[{"path":"/vol/data/node","type":"c","major":1,"minor":3}]`,
			"fifo":      `linux.devices=[{"path":"/vol/data/fifo","type":"p"}]`,
			"cwd":       `process.cwd=/vol/data/work`,
		} {
			if userns && name == "device" { // in a user namespace, the host's node with that path is bound
				continue
			}
			t.Run(fmt.Sprintf("%s,userns=%t", name, userns), func(t *testing.T) {
				b := newBox(t, "root.readonly=false", `process.args=["true"]`)
				host, volume := filepath.Join(b.work, "host"), filepath.Join(b.work, "volume")
				mustWrite(t, host+"/secret", escaped+"\n")
				if err := errorsOf(os.Mkdir(volume, 0o777), os.Chmod(volume, 0o777), os.Chmod(host, 0o777)); err != nil {
					t.Fatal(err)
				}
				b.edit(`mounts+={"destination":"/vol","type":"bind","source":"`+volume+`","options":["rbind"]}`, edit)
				if userns {
					b.userNamespace()
				}
				if err := os.Symlink(climbingLink("d", host+"/made/by/davit"), volume+"/data"); err != nil {
					t.Fatal(err)
				}
				before := listing(t, host)
				removed := removing(t, volume, "d")
				for range 5 {
					out, status := b.try("run", "c1")
					if after := listing(t, host); after != before {
						t.Fatalf("exit status %d: %s\nthe host's files changed:\n%s\nfrom\n%s", status, out, after, before)
					}
				}
				if removed.Load() == 0 {
					t.Error("nothing was removed: the test shows nothing")
				}
			})
		}
	}
}

// The same, but the mount would land on the directory of a createContainer hook. The hook's program
// runs as root.
func TestRemovedOnTheWayToHook(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["true"]`)
	volume, hooks, breach := filepath.Join(b.work, "volume"), filepath.Join(b.work, "hooks"), filepath.Join(b.work, "breach")
	mustWrite(t, hooks+"/hook", "#!/bin/sh\n")
	mustWrite(t, volume+"/evil/hook", "#!/bin/sh\nid -u >"+breach+"\n")
	b.edit(`mounts+={"destination":"/vol","type":"bind","source":"`+volume+`","options":["rbind"]}`,
		`mounts+={"destination":"/vol/data","type":"bind","source":"`+volume+`/evil","options":["rbind"]}`,
		`hooks={"createContainer":[{"path":"`+hooks+`/hook"}]}`)
	if err := os.Symlink(climbingLink("d", hooks), volume+"/data"); err != nil {
		t.Fatal(err)
	}
	removed := removing(t, volume, "d")
	for range 5 {
		out, status := b.try("run", "c1")
		if _, err := os.Stat(breach); err == nil {
			t.Fatalf("exit status %d: %s\nthe attacker's program has run as a hook", status, out)
		}
	}
	if removed.Load() == 0 {
		t.Error("nothing was removed: the test shows nothing")
	}
}

// The container can use the host's devices that davit shows, and cannot change them. These are the
// device that masks files, and the devices that a user namespace cannot make. (The test sets modes
// that disturb nobody if it fails.)
func TestHostsDevicesStay(t *testing.T) {
	identity := `linux.uidMappings=[{"containerID":0,"hostID":0,"size":65536}]`
	for name, edits := range map[string][]string{
		"default": {},
		"user namespace": {`linux.namespaces+={"type":"user"}`, identity, strings.Replace(identity, "uid", "gid", 1),
			`linux.devices=[{"path":"/dev/tty","type":"c","major":5,"minor":0}]`},
		"linux.devices": {`linux.namespaces+={"type":"user"}`, identity, strings.Replace(identity, "uid", "gid", 1),
			`linux.devices=[{"path":"/dev/null","type":"c","major":1,"minor":3},{"path":"/dev/zero","type":"c","major":1,"minor":5}]`},
	} {
		t.Run(name, func(t *testing.T) {
			// Stdin is the host's /dev/null, too.
			change := `chmod 676 /dev/stdin; chown 0:77 /dev/stdin; for f in /proc/keys /proc/timer_list; do chmod 676 $f; chown 0:77 $f; touch -t 200001010000 $f; done; `
			if len(edits) > 0 {
				change += `for f in /dev/*; do test -c $f -a ! -L $f && { chmod 676 $f; chown 0:77 $f; touch -t 200001010000 $f; }; done; `
			}
			use := `echo x >/dev/null && echo x >>/proc/keys && test -z "$(cat /dev/null /proc/keys)" && test $(head -c 9 /dev/zero | wc -c) = 9 && echo works`
			b := newBox(t, append([]string{"root.readonly=false", `process.capabilities.bounding+=CAP_CHOWN`, `process.capabilities.effective+=CAP_CHOWN`,
				`process.capabilities.permitted+=CAP_CHOWN`}, edits...)...)
			b.edit(`process.args=["sh","-c",` + fmt.Sprintf("%q", "("+change+") 2>/dev/null; "+use) + `]`)
			before := hostsDevices(t)
			out, _ := b.try("run", "c1")
			b.edit(`process.args=["sleep","1000"]`)
			b.davit("run", "-d", "c1")
			b.try("exec", "c1", "sh", "-c", change)
			b.davit("delete", "--force", "c1")
			after := hostsDevices(t)
			for _, path := range devicePaths {
				if after[path] != before[path] {
					t.Errorf("%s: mode %o, group %d, modified %d; was %o, %d, %d", path, after[path].mode, after[path].gid, after[path].time, before[path].mode, before[path].gid, before[path].time)
					os.Chmod(path, os.FileMode(before[path].mode&0o777))
					os.Chown(path, 0, int(before[path].gid))
					os.Chtimes(path, time.Time{}, time.Unix(before[path].time, 0))
				}
			}
			if out != "works\n" {
				t.Errorf("in the container: %q", out)
			}
		})
	}
}

// showStdin is a script that prints the numbers of the file's filesystem and inode, whether its mode
// can be changed (to the mode that it has on the host, so that this cannot harm the host), and that
// it is a null device. In a user namespace it may be the host's, shown by a read-only mount.
const showStdin = `f=/proc/self/fd/0; stat -L -c %d:%i $f; chmod 666 $f 2>&- && echo changed; cat $f && test $(stat -L -c %t:%T $f) = 1:3 && echo null`

// othersNull returns a check of showStdin's output: it must be a null device, and not the host's.
func othersNull(t *testing.T) func(b *box, out string, status int) {
	t.Helper()
	var host unix.Stat_t
	if err := unix.Stat("/dev/null", &host); err != nil {
		t.Fatal(err)
	}
	hosts := fmt.Sprintf("%d:%d\nchanged\n", host.Dev, host.Ino)
	return func(b *box, out string, status int) {
		b.t.Helper()
		if status != 0 || strings.HasPrefix(out, hosts) || !strings.HasSuffix(out, "\nnull\n") {
			b.t.Errorf("exit status %d: %q; the host's is %s", status, out, hosts)
		}
	}
}

// If stdio is the host's /dev/null, davit replaces it by another null device. It does so even if the
// container has removed its own, has something else in its place, never had one, or if the
// container's cannot be opened. If davit cannot replace it, exec and create fail.
func TestHostsNullIsNeverStdio(t *testing.T) {
	other := othersNull(t)
	refused := func(b *box, out string, status int) {
		b.t.Helper()
		if status == 0 || !strings.Contains(out, "process.user.uid") || !strings.Contains(out, "openat /dev/null: no such") || !strings.Contains(out, "hint: the host's /dev/null, which is its stdin") {
			b.t.Errorf("exit status %d: %s", status, out)
		}
	}
	users := []string{"root.readonly=false", `linux.namespaces+={"type":"user"}`, `linux.uidMappings=[{"containerID":0,"hostID":0,"size":65536}]`,
		`linux.gidMappings=[{"containerID":0,"hostID":0,"size":65536}]`, `process.capabilities.bounding+=CAP_SYS_ADMIN`,
		`process.capabilities.effective+=CAP_SYS_ADMIN`, `process.capabilities.permitted+=CAP_SYS_ADMIN`}
	for _, test := range []struct {
		name, change string // change is what the container does
		edits        []string
		want         func(b *box, out string, status int)
	}{
		{"its own", "true", nil, other},
		{"removed", "rm /dev/null", nil, other},
		{"a file", "rm /dev/null; echo x >/dev/null; chmod 666 /dev/null", nil, other},
		{"a link to nothing", "rm /dev/null; ln -s nothing /dev/null", nil, other},
		{"another device", "rm /dev/null; mknod /dev/null c 1 5", []string{`process.capabilities.bounding+=CAP_MKNOD`, `process.capabilities.effective+=CAP_MKNOD`, `process.capabilities.permitted+=CAP_MKNOD`}, other},
		{"user namespace", "true", users, other},
		{"user namespace, removed", "umount -l /dev/null && rm /dev/null", users, refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t, append([]string{"root.readonly=false", `process.args=["sleep","1000"]`}, test.edits...)...)
			b.davit("run", "-d", "c1")
			defer b.davit("delete", "--force", "c1")
			b.davit("exec", "c1", "sh", "-c", test.change)
			out, status := b.try("exec", "c1", "sh", "-c", showStdin)
			test.want(b, out, status)
		})
	}
	t.Run("none at create", func(t *testing.T) {
		b := newBox(t, `process.args=["sh","-c",`+fmt.Sprintf("%q", "test ! -e /dev/null; "+showStdin)+`]`)
		b.edit(`mounts[1]={"destination":"/dev","source":"` + b.hostDirectory() + `","options":["bind","ro"]}`)
		out, status := b.try("run", "c1")
		other(b, out, status)
	})
}

var devicePaths = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

type deviceState struct {
	mode, gid uint32
	time      int64
}

func hostsDevices(t *testing.T) map[string]deviceState {
	t.Helper()
	all := map[string]deviceState{}
	for _, path := range devicePaths {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		all[path] = deviceState{st.Mode, st.Gid, st.Mtim.Sec}
	}
	return all
}

// If a file that tmpcopyup copies has a lease (F_SETLEASE of fcntl(2)), the stage waits a little,
// so that the holder can give it up.
func TestCopyUpOfLeasedFiles(t *testing.T) {
	for _, gives := range []bool{true, false} {
		t.Run(fmt.Sprintf("given up=%t", gives), func(t *testing.T) {
			b := newBox(t, "root.readonly=false", `process.args=["cat","/up/f0","/up/f1"]`,
				`mounts+={"destination":"/up","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`)
			broken := make(chan os.Signal, 8)
			signal.Notify(broken, unix.SIGIO)
			defer signal.Stop(broken)
			var files []*os.File
			for i := range 2 {
				path := b.path(fmt.Sprintf("up/f%d", i))
				mustWrite(t, path, "text\n")
				f, err := os.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
					t.Skip("no leases here: ", err)
				}
				files = append(files, f)
			}
			if gives {
				go func() {
					for range broken {
						for _, f := range files {
							unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
						}
					}
				}()
			}
			begin := time.Now()
			out, status := b.try("run", "c1")
			switch took := time.Since(begin); {
			case gives && out != "text\ntext\n":
				t.Errorf("exit status %d: %q", status, out)
			case !gives && (took > 30*time.Second || !strings.Contains(out, "openat f") || !strings.Contains(out, "lease")):
				t.Errorf("exit status %d after %v: %s", status, took, out)
			}
		})
	}
}

// The options of a remount belong to a filesystem. If that is a volume's, they are the host's. A
// link that takes the mount's name in the meantime may lead to another filesystem, which must keep
// its options.
func TestRacedRemountByCall(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["true"]`)
	volume := filepath.Join(b.work, "volume")
	if err := errorsOf(os.Mkdir(volume, 0o755), unix.Mount("tmpfs", volume, "tmpfs", 0, "size=4m")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(volume, unix.MNT_DETACH)
	if err := errorsOf(os.Mkdir(volume+"/data", 0o755), os.Symlink("/vol", volume+"/link")); err != nil {
		t.Fatal(err)
	}
	b.edit(`mounts+={"destination":"/vol","type":"bind","source":"`+volume+`","options":["rbind"]}`,
		`mounts+={"destination":"/vol/data","type":"tmpfs","source":"tmpfs"}`,
		`mounts+={"destination":"/vol/data","type":"tmpfs","source":"tmpfs","options":["remount","size=8m"]}`)
	calls := 0
	b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
		if commOf(thread) != "davit-stage" {
			return true
		}
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", thread))
		if strings.Contains(string(data), " /vol/data ") && calls == 0 {
			calls++
			if err := unix.Renameat2(unix.AT_FDCWD, volume+"/data", unix.AT_FDCWD, volume+"/link", unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
			}
		}
		return true
	}, "run", "c1")
	var fs unix.Statfs_t
	if err := unix.Statfs(volume, &fs); err != nil {
		t.Fatal(err)
	}
	if size := fs.Blocks * uint64(fs.Bsize); size != 4<<20 {
		t.Errorf("the host's filesystem has %d bytes now", size)
	}
	if calls == 0 {
		t.Error("the mount was not seen: the test shows nothing")
	}
}

// The stage changes a mount that it has made by its descriptor, whatever the mount's name leads to
// by then.
func TestRacedChangeByCall(t *testing.T) {
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		mount string
		want  string // must be part of the mount's line in mountinfo
	}{
		"read-only":   {`{"destination":"/vol/data","type":"tmpfs","source":"own","options":["ro"]}`, ` ro,.* own `},
		"tmpcopyup":   {`{"destination":"/vol/data","type":"tmpfs","source":"own","options":["ro","tmpcopyup"]}`, ` ro,.* own `},
		"propagation": {`{"destination":"/vol/data","type":"overlay","source":"own","options":["shared","lowerdir=%[1]s/a:%[1]s/b"]}`, ` shared:\d+ .* own `},
		"top alone":   {`{"destination":"/vol/data","type":"bind","source":"%[1]s/a","options":["rbind","private"]}`, ` (rw|rw,\S+) - `},
		"remount":     {`{"destination":"/vol/data","type":"bind","source":"%[1]s/a","options":["bind"]}mounts+={"destination":"/vol/data","options":["remount","bind","ro"]}`, ` /vol/link ro,`},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "propagation" && !strings.Contains(string(known), "overlay") {
				t.Skip("the kernel has no overlay loaded")
			}
			b := newBox(t, "root.readonly=false", `process.args=["grep","/link ","/proc/self/mountinfo"]`)
			volume := filepath.Join(b.work, "volume")
			if err := errorsOf(os.Mkdir(volume, 0o755), os.Mkdir(volume+"/data", 0o755), os.Symlink("/vol", volume+"/link"),
				os.Mkdir(b.work+"/a", 0o755), os.Mkdir(b.work+"/b", 0o755), unix.Mount(b.work+"/a", b.work+"/a", "", unix.MS_BIND, ""),
				unix.Mount("", b.work+"/a", "", unix.MS_SHARED, "")); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(b.work+"/a", unix.MNT_DETACH)
			mount := c.mount
			if strings.Contains(mount, "%") {
				mount = fmt.Sprintf(mount, b.work)
			}
			b.edit(append([]string{`mounts+={"destination":"/vol","type":"bind","source":"` + volume + `","options":["rbind"]}`}, splitEdits("mounts+="+mount)...)...)
			swapped := false
			out, _ := b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
				if swapped || commOf(thread) != "davit-stage" {
					return true
				}
				data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", thread))
				if strings.Contains(string(data), " /vol/data ") {
					swapped = true
					if err := unix.Renameat2(unix.AT_FDCWD, volume+"/data", unix.AT_FDCWD, volume+"/link", unix.RENAME_EXCHANGE); err != nil {
						t.Error(err)
					}
				}
				return true
			}, "run", "c1")
			if !swapped {
				t.Errorf("the mount was not seen: the test shows nothing\n%s", out)
			}
			if !regexp.MustCompile(c.want).MatchString(out) {
				t.Errorf("%s\nnot %s", out, c.want)
			}
		})
	}
}

// The stage does not open a file of the image that stands in place of a terminal's master before it
// knows that it is one: to open a device can be enough to start it.
func TestPlantedMasterIsNotOpened(t *testing.T) {
	b := newBox(t, "root.readonly=false", "process.terminal=true", `mounts=[{"destination":"/proc","type":"proc","source":"proc"}]`, `process.args=["true"]`)
	if err := errorsOf(os.MkdirAll(b.path("dev/pts"), 0o755), unix.Mkfifo(b.path("dev/pts/ptmx"), 0o666)); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, b.path("dev/pts/ptmx"), unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	if out, status := b.onTerminal("run", "c1"); status == 0 || !strings.Contains(out, "/dev/pts is not a devpts") {
		t.Errorf("status %d\n%s", status, out)
	}
	if pollIn(fd, 0) {
		t.Error("the fifo was opened")
	}
}

// splitEdits returns the edits in a text that has several of them, one for each mount.
func splitEdits(text string) (list []string) {
	for edit := range strings.SplitSeq(text[len("mounts+="):], "mounts+=") {
		list = append(list, "mounts+="+edit)
	}
	return list
}
