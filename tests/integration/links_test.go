package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlantedLinks puts a symbolic link into the root filesystem, in turn at every place where
// davit mounts or makes something (invariants 3 and 8: CVE-2019-19921, CVE-2021-30465,
// CVE-2023-27561, CVE-2024-45310). davit may refuse the container, or resolve the link inside the
// root. On the host nothing may be made, changed or mounted (checkLeaks compares the mount table).
func TestPlantedLinks(t *testing.T) {
	needRoot(t)
	places := []struct{ name, edits string }{
		{"proc", ""},
		{"sys", ""},
		{"dev", ""},
		{"dev/console", `mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}]`},
		{"dev/pts", `mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance"]}]`},
		{"dev/null", `mounts=[{"destination":"/proc","type":"proc","source":"proc"}]`},
		{"dev/fd", `mounts=[{"destination":"/proc","type":"proc","source":"proc"}]`},
		{"sys/fs/cgroup", `mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup"}]`},
		{"etc/planted", `mounts+={"destination":"/etc/planted","type":"bind","source":"/etc/hostname","options":["bind","ro"]}`},
		{"planted/dir", `mounts+={"destination":"/planted/dir","type":"bind","source":"/etc","options":["bind","ro"]}`},
		{"planted", `mounts+={"destination":"/planted/a/b","type":"tmpfs","source":"tmpfs"}`},
		{"tmp", `mounts+={"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`},
		{"planted", `linux.maskedPaths=["/planted"]`},
		{"planted", `linux.readonlyPaths=["/planted"]`},
		{"planted/node", `linux.devices=[{"path":"/planted/node","type":"c","major":1,"minor":3}]`},
		{"planted", `linux.devices=[{"path":"/planted/sub/node","type":"c","major":1,"minor":3}]`},
		{"planted", `process.cwd=/planted/new`},
	}
	targets := []struct{ name, to string }{ // HOST is a directory of the host; the links that go up lead to / and then there
		{"host directory", "HOST/dir"},
		{"host file", "HOST/file"},
		{"dangling", "HOST/missing/deep"},
		{"dangling by one", "HOST/missing"},
		{"up and up", "../../../../../../../../../..HOST/dir"},
		{"up and dangling", "../../../../../../../../../..HOST/missing"},
		{"magic", "/proc/self/root/HOST/dir"},
		{"to itself", "SELF"},
		{"to a link", "/chain"},
	}
	for i, place := range places {
		for j, target := range targets {
			if testing.Short() && j != i%len(targets) {
				continue // each place and each target once
			}
			t.Run(strings.ReplaceAll(place.name+" "+target.name, " ", "_"), func(t *testing.T) {
				b := newBox(t, "root.readonly=false", `process.args=["true"]`)
				if place.edits != "" {
					b.edit(place.edits)
				}
				terminal := place.name == "dev/console"
				host := filepath.Join(b.work, "host")
				mustWrite(t, host+"/dir/inner", "inner")
				mustWrite(t, host+"/file", "file")
				to := strings.ReplaceAll(strings.ReplaceAll(target.to, "HOST", host), "SELF", "/"+place.name)
				link := b.path(place.name)
				os.RemoveAll(link)
				os.MkdirAll(filepath.Dir(link), 0o755)
				if err := os.Symlink(to, link); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(host+"/dir", b.path("chain")); err != nil {
					t.Fatal(err)
				}
				before := listing(t, host)
				defer notOnHost(t, "/planted", "/etc/planted")
				out, status := "", 0
				if terminal {
					b.edit("process.terminal=true")
					out, status = b.onTerminal("run", "c1")
				} else {
					out, status = b.try("run", "c1")
				}
				if after := listing(t, host); after != before {
					t.Errorf("the host's files changed:\n%s\nfrom\n%s", after, before)
				}
				t.Logf("exit status %d %s", status, out)
				if status != 0 && !strings.Contains(out, "davit: run c1: ") {
					t.Errorf("failed without a reason: exit status %d, %s", status, out)
				}
			})
		}
	}
}

// notOnHost fails the test if davit has made the container's paths on the host instead.
func notOnHost(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made on the host", path)
			os.RemoveAll(path)
		}
	}
}

// onTerminal runs davit with a terminal as its stdio.
func (b *box) onTerminal(args ...string) (string, int) {
	b.t.Helper()
	term := newTerminal(b.t)
	cmd := term.command(b, args...)
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	term.slave.Close()
	out := term.rest()
	return out, exitCode(cmd.Wait())
}

// TestRacedLinks swaps a directory of the root filesystem for a link while containers are made (CVE-2021-30465).
func TestRacedLinks(t *testing.T) {
	b := newBox(t, "root.readonly=false", `process.args=["true"]`,
		`mounts+={"destination":"/planted/a/b","type":"tmpfs","source":"tmpfs"}`,
		`mounts+={"destination":"/planted/a/c","type":"bind","source":"/etc","options":["bind","ro"]}`)
	host := filepath.Join(b.work, "host")
	mustWrite(t, host+"/b/inner", "inner")
	mustWrite(t, host+"/c/inner", "inner")
	before := listing(t, host)
	defer notOnHost(t, "/planted")
	dir, aside, link := b.path("planted/a"), b.path("planted/aside"), b.path("planted/link")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(host, link); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				os.Rename(dir, aside)
				os.Rename(link, dir)
				os.Rename(dir, link)
				os.Rename(aside, dir)
			}
		}
	}()
	refused, rounds := 0, 40
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		if out, status := b.try("run", fmt.Sprintf("c%d", i)); status != 0 {
			refused++
			if !strings.Contains(out, "mounts[") {
				t.Errorf("exit status %d: %s", status, out)
			}
		}
	}
	close(stop)
	<-done
	if after := listing(t, host); after != before {
		t.Errorf("the host's files changed:\n%s\nfrom\n%s", after, before)
	}
	t.Logf("%d of %d refused", refused, rounds)
}
