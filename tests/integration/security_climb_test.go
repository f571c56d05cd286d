package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// climbingLink returns the text of a link that leads nowhere while the directory first is missing. A runtime that makes
// first, and loses it again, is then led by ".." from the removed directory to the host's path to.
func climbingLink(first, to string) string {
	up := strings.Repeat("../", 40)
	dots := strings.Repeat("./", (4000-len(first)-len(up)-len(to))/2)
	return first + "/" + dots + up + strings.TrimPrefix(to, "/")
}

// removing removes the directory name of volume as soon as somebody makes it, as long as the test runs, and counts that.
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
		os.WriteFile(over, nil, 0o600) // wakes the reader
		<-done
		events.Close()
	})
	return &count
}

// A mount of the config is to be made in a volume that an attacker shares, where a link of the attacker's leads nowhere. The
// attacker removes what the stage has made for it, so that the stage meets names that are gone.
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
			if userns && name == "device" { // there the host's node of that path is bound
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

// The same, with a mount that would land on the directory of a createContainer hook, whose program runs as root.
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
