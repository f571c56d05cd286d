package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// If a checkpoint fails, the container still runs, also if CRIU is killed. If a restore fails,
// nothing is left.
func TestCheckpointFails(t *testing.T) {
	s := newSaved(t)
	good := os.Getenv("PATH")
	real, err := exec.LookPath("criu")
	must(t, err)
	bad := filepath.Join(s.work, "bin")
	// killer makes a criu that is killed as soon as its log says that it has reached a certain
	// point.
	killer := func(log, point string) {
		mustWrite(t, filepath.Join(bad, "criu"), fmt.Sprintf(`#!/bin/sh
(cd %s; i=0; while [ $i -lt 2000 ]; do
	if grep -q '%s' %s 2>/dev/null; then kill -9 $$; exit; fi
	i=$((i+1)); sleep 0.01
done) 3>&- &
exec %s "$@"
`, s.images, point, log, real))
		t.Setenv("PATH", bad+":"+good)
	}
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	for _, point := range []string{"freezing processes"} {
		must(t, os.RemoveAll(s.images))
		killer("dump.log", point)
		if out, status := s.try("checkpoint", "--image-path", s.images, s.id); status == 0 {
			t.Logf("%s: it was done before\n%s", point, out)
			s.davit("restore", "--detach", "--image-path", s.images, s.id)
		}
		if state := mustState(t, s); state.Status == "stopped" { // the process has ended together with the code that CRIU had put into it
			s.davit("delete", s.id)
			s.davit("run", "--detach", s.id)
			n = 0
		}
		t.Setenv("PATH", good)
		n = s.count(n)
	}
	must(t, os.RemoveAll(s.images))
	s.checkpoint()
	killer("restore.log", "Forking task")
	yards := func() int { // those of CRIU in the host's /tmp
		list, err := filepath.Glob("/tmp/.criu.mntns.*")
		must(t, err)
		return len(list)
	}
	before := yards()
	if out, status := s.try("restore", "--detach", "--image-path", s.images, s.id); status == 0 {
		t.Fatalf("restore: it was done before\n%s", out)
	}
	if yards() > before {
		t.Error("the CRIU that was killed has left its directory in /tmp")
	}
	s.gone()
	t.Setenv("PATH", good)
	s.restore()
	s.count(n)
	s.davit("delete", "--force", s.id)
}

// A restore into other namespaces than those of the config is refused before a process runs: the images may be another container's. So
// is a checkpoint with a mount that the config does not have.
func TestCheckpointOtherConfig(t *testing.T) {
	s := newSaved(t)
	s.davit("run", "--detach", s.id)
	n := s.count(3)
	s.checkpoint()
	config, err := os.ReadFile(filepath.Join(s.bundle, "config.json"))
	must(t, err)
	for edit, want := range map[string]string{
		`linux.namespaces=[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"}]`: "linux.namespaces: there is no network namespace, but the checkpoint has one",
		`linux.namespaces+={"type":"user"}`: "linux.namespaces[6]: the checkpoint has no user namespace of its own",
		`linux.maskedPaths=[]`:              "the checkpoint has a mount that this config.json does not have",
	} {
		if !exhaustive() && !strings.Contains(edit, "user") {
			continue
		}
		s.edit(edit, `linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`, `linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`)
		if !strings.Contains(edit, "user") {
			s.edit("linux.uidMappings-", "linux.gidMappings-")
		}
		if out, status := s.try("restore", "--detach", "--image-path", s.images, s.id); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit status %d\n%swithout %q", edit, status, out, want)
		}
		s.gone()
		mustWrite(t, filepath.Join(s.bundle, "config.json"), string(config))
	}
	s.restore()
	s.count(n)
	s.davit("delete", "--force", s.id)
}

// If something cannot be saved or restored, davit refuses it, says what to change, and does
// nothing.
func TestCheckpointRefusals(t *testing.T) {
	s := newSaved(t, `process.args=["sleep","1000"]`)
	refused := func(want string, args ...string) {
		t.Helper()
		if out, status := s.try(args...); status != 1 || !strings.Contains(out, want) {
			t.Errorf("davit %s: exit status %d\n%swithout %q", strings.Join(args, " "), status, out, want)
		}
	}
	s.davit("create", s.id)
	refused("that was not started", "checkpoint", s.id)
	s.davit("start", s.id)
	for flag, want := range map[string]string{
		"--manage-cgroups-mode=x": "--manage-cgroups-mode: \"x\": one of soft", "--empty-ns=x": "--empty-ns: \"x\"", "--network-lock=x": "--network-lock: \"x\": one of",
		"--page-server=x": "--page-server: \"x\": not ADDRESS:PORT", "--parent-path=/tmp": "--parent-path: /tmp: not relative", "--parent-path=no": "--parent-path: no, seen from",
		"--lazy-pages": "--lazy-pages: it needs --page-server",
	} {
		refused(want, "checkpoint", "--image-path", s.images, flag, s.id)
	}
	refused("no such file", "restore", "--image-path", filepath.Join(s.work, "none"), "c2")
	refused("holds no checkpoint", "restore", "--image-path", s.work, "c2")
	refused("already exists", "run", "--detach", s.id)
	t.Setenv("PATH", "/nowhere")
	refused("criu: not found in PATH", "checkpoint", "--image-path", s.images, s.id)
	if state := mustState(t, s); state.Status != "running" {
		t.Errorf("it is %s", state.Status)
	}
	s.davit("delete", "--force", s.id)
	for _, test := range []struct{ edit, want string }{
		{`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["swapon"],"action":"SCMP_ACT_NOTIFY"}],"listenerPath":"/run/none"}`, "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY"},
		{`linux.namespaces=[{"type":"pid"},{"type":"uts"},{"type":"mount"},{"type":"cgroup","path":"/proc/self/ns/cgroup"}]`, "linux.namespaces[3].path"},
	} {
		mustWrite(t, filepath.Join(s.images, "inventory.img"), "")
		s.edit("linux.seccomp-", test.edit)
		refused(test.want, "restore", "--detach", "--image-path", s.images, s.id)
		s.gone()
	}
}
