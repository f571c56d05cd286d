package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needFeature skips a test if CRIU reports that this kernel lacks a feature.
func needFeature(t *testing.T, feature, lacking string) {
	t.Helper()
	needCriu(t)
	if out, err := exec.Command("criu", "check", "--feature", feature).CombinedOutput(); err != nil {
		t.Logf("criu check --feature %s: %v\n%s", feature, err, out)
		t.Skip(lacking)
	}
}

// Two pre-dumps save the memory beforehand, and the last dump has what has changed since.
func TestCheckpointPreDump(t *testing.T) {
	needFeature(t, "mem_dirty_track", "this kernel does not track changed memory")
	s := newSaved(t)
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	dir := func(name string) string { return filepath.Join(s.work, name) }
	s.davit("checkpoint", "--pre-dump", "--image-path", dir("pre1"), s.id)
	n = s.count(n)
	s.davit("checkpoint", "--pre-dump", "--image-path", dir("pre2"), "--parent-path", "../pre1", s.id)
	n = s.count(n)
	s.checkpoint("--parent-path", "../pre2")
	if link, err := os.Readlink(filepath.Join(s.images, "parent")); err != nil || link != "../pre2" {
		t.Errorf("parent of the images: %q, %v", link, err)
	}
	s.gone()
	s.restore()
	s.count(n)
	s.davit("delete", "--force", s.id)
}

// The container continues, under another id, before its memory has arrived. CRIU's page server has
// the memory.
func TestCheckpointLazyPages(t *testing.T) {
	needFeature(t, "uffd-noncoop", "this kernel cannot fetch memory later")
	// Without this feature CRIU 4.2.1 fails on Linux 6.18 ("page-pipe: splice: -1: Bad file
	// descriptor").
	needFeature(t, "mem_dirty_track", "this kernel does not track changed memory")
	s := newSaved(t)
	run := s.command("run", "--detach", s.id) // with /dev/null, because a file would need the same length at restore
	must(t, run.Run())
	n := s.count(3)
	const address, port = "127.0.0.1", "27277"
	ready, writer, err := os.Pipe()
	must(t, err)
	defer ready.Close()
	cmd := s.command("checkpoint", "--lazy-pages", "--page-server", net.JoinHostPort(address, port), "--status-fd", "3", "--image-path", s.images, s.id)
	cmd.ExtraFiles = []*os.File{writer}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	writer.Close()
	if n, err := ready.Read(make([]byte, 1)); n != 1 {
		cmd.Wait()
		t.Fatalf("checkpoint was not ready: %v\n%s%s", err, said.String(), s.log("dump.log"))
	}
	pages := exec.Command("criu", "lazy-pages", "--page-server", "--address", address, "--port", port, "-D", s.images, "-W", s.images, "-o", "lazy.log")
	pages.Stdout, pages.Stderr = &said, &said
	must(t, pages.Start())
	defer pages.Process.Kill()
	socket := filepath.Join(s.images, "lazy-pages.socket")
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%v\n%s", err, s.log("lazy.log"))
		}
	}
	old := s.id
	s.id = "c2"
	s.edit(fmt.Sprintf("linux.cgroupsPath=%s/other", subtree))
	if out, status := s.try("restore", "--detach", "--image-path", s.images, "--lazy-pages", s.id); status != 0 {
		t.Fatalf("restore: exit status %d\n%s%s", status, out, s.log("lazy.log")+s.log("dump.log")+s.log("restore.log"))
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("checkpoint: %v\n%s%s", err, said.String(), s.log("dump.log"))
	}
	if err := pages.Wait(); err != nil {
		t.Errorf("criu lazy-pages: %v\n%s", err, s.log("lazy.log"))
	}
	s.count(n)
	if out, status := s.try("state", old); status != 1 {
		t.Errorf("%s is still there\n%s", old, out)
	}
	s.davit("delete", "--force", s.id)
}

// A connection between the host and the container survives both verbs.
func TestCheckpointTCP(t *testing.T) {
	s := newSaved(t, `process.args=["sh","-c","/bin/busybox mkfifo /dev/shm/never; /bin/busybox nc -lp 17777 <>/dev/shm/never >/dev/shm/got"]`,
		`linux.namespaces=[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"}]`)
	s.davit("run", "--detach", s.id)
	var conn net.Conn
	var err error
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if conn, err = net.Dial("tcp", "127.0.0.1:17777"); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	say := func(line string) {
		t.Helper()
		_, err := fmt.Fprintln(conn, line)
		must(t, err)
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/dev/shm/got", mustState(t, s).Pid))
			if err == nil && strings.HasSuffix(string(got), line+"\n") {
				return
			} else if time.Now().After(end) {
				t.Fatalf("%q has not arrived: %q, %v", line, got, err)
			}
		}
	}
	say("before")
	if out, status := s.try("checkpoint", "--image-path", s.images, s.id); status == 0 || !strings.Contains(out, "--tcp-established") {
		t.Errorf("checkpoint without the flag: exit status %d\n%s", status, out)
	}
	say("still")
	s.checkpoint("--tcp-established")
	s.gone()
	s.restore("--tcp-established")
	say("after")
	s.davit("delete", "--force", s.id)
}
