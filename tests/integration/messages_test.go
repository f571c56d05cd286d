package integration

import (
	"strings"
	"testing"
)

// This file has the words that engines look for in davit's messages. As far as we know, nobody
// looks for anything else in them.

// situation describes when davit's message contains words that an engine looks for.
type situation string

// TestMatches makes each of these situations.
const (
	noContainer   situation = "any verb: there is no such container"
	hasEnded      situation = "kill, exec, pause, update: the container's process has ended"
	noProgram     situation = "create, exec: the program is nowhere in PATH"
	noFile        situation = "create, exec: the program is a path where nothing is"
	notExecutable situation = "create, exec: the program may not be executed"
	noPrivilege   situation = "create: the kernel refuses something that takes more privileges"
)

// match is a text that an engine looks for, and what the engine does when it finds it.
type match struct {
	who  string
	when situation
	text string // a part of the message; case matters
	then string
}

// matches returns the known ones. They are from the sources of containerd 2 (checkKillError of its
// runc shim), CRI-O 1.3x, Podman 5 (the regular expressions of getOCIRuntimeError) and Docker 28
// (setExitCodeFromError). These engines also look for "os: process already finished", "no such
// process" and "invalid process". runc says none of these here. Like runc, davit says that the
// container is not running.
func matches() []match {
	return []match{
		{"containerd", noContainer, "does not exist", "takes it for gone"},
		{"containerd", hasEnded, "container not running", "kill: not found"},
		{"CRI-O", hasEnded, "container not running", "stop: it is done"},
		{"Podman", noProgram, "executable file not found in", "exit status 127"},
		{"Podman", noFile, "no such file or directory", "exit status 127"},
		{"Podman", notExecutable, "permission denied", "exit status 126"},
		{"Podman", noPrivilege, "operation not permitted", "exit status 126"},
		{"Docker", noProgram, "executable file not found", "exit status 127"},
		{"Docker", noFile, "no such file or directory", "exit status 127"},
		{"Docker", notExecutable, "permission denied", "exit status 126"},
	}
}

// Each message in which an engine looks for words contains them, on standard error and in a JSON
// log.
func TestMatches(t *testing.T) {
	b := newBench(t, `process.args=["sleep","1000"]`)
	b.try(b.davit("run", "-d", "c1"))
	b.try(editConfig(b.bundle, []string{"linux.cgroupsPath=" + subtree + "/c2", `process.args=["true"]`}))
	b.try(b.davit("run", "--keep", "c2"))
	said := map[situation][][]string{
		noContainer: {{"kill", "nope", "TERM"}, {"delete", "nope"}, {"state", "nope"}, {"start", "nope"}, {"exec", "nope", "true"}, {"pause", "nope"}},
		hasEnded: {{"kill", "c2", "TERM"}, {"kill", "c2", "KILL"}, {"exec", "c2", "true"},
			{"pause", "c2"}, {"resume", "c2"}, {"update", "c2"}},
		noProgram:     {{"exec", "c1", "nope"}},
		noFile:        {{"exec", "c1", "/nope"}, {"exec", "c1", "./nope"}},
		notExecutable: {{"exec", "c1", "/etc/passwd"}, {"exec", "c1", "/etc"}},
	}
	creations := map[situation]string{
		noProgram:     `process.args=["nope"]`,
		noFile:        `process.args=["/nope"]`,
		notExecutable: `process.args=["/etc/passwd"]`,
		noPrivilege:   `process.rlimits=[{"type":"RLIMIT_NOFILE","soft":1,"hard":4000000000}]`,
	}
	for _, m := range matches() {
		lines := said[m.when]
		if edit, ok := creations[m.when]; ok {
			b.try(editConfig(b.bundle, []string{"process.rlimits-", edit, "linux.cgroupsPath=" + subtree + "/c3"}))
			lines = append(lines, []string{"create", "c3"})
		}
		if len(lines) == 0 {
			t.Errorf("%s: nothing makes this situation", m.when)
		}
		for _, line := range lines {
			b.matches(m, line)
			b.matches(m, append([]string{"--log-format", "json"}, line...))
		}
	}
	b.try(b.davit("delete", "--force", "c1"))
	b.try(b.davit("delete", "c2"))
}

func (b *bench) matches(m match, line []string) {
	b.Helper()
	err := b.davit(line...)
	if err == nil {
		b.Errorf("%s: davit %s succeeds", m.when, strings.Join(line, " "))
	} else if !strings.Contains(err.Error(), m.text) {
		b.Errorf("%s looks for %q when %s; but: %v", m.who, m.text, m.when, err)
	}
}
