package integration

import (
	"strings"
	"testing"

	"davit/libcontainer"
)

// Each message in which an engine looks for words has them, on standard error and in a JSON log.
func TestMatches(t *testing.T) {
	b := newBench(t, `process.args=["sleep","1000"]`)
	b.try(b.davit("run", "-d", "c1"))
	b.try(editConfig(b.bundle, []string{"linux.cgroupsPath=" + subtree + "/c2", `process.args=["true"]`}))
	b.try(b.davit("run", "--keep", "c2"))
	said := map[libcontainer.Situation][][]string{
		libcontainer.NoContainer: {{"kill", "nope", "TERM"}, {"delete", "nope"}, {"state", "nope"}, {"start", "nope"}, {"exec", "nope", "true"}, {"pause", "nope"}},
		libcontainer.HasEnded: {{"kill", "c2", "TERM"}, {"kill", "c2", "KILL"}, {"exec", "c2", "true"},
			{"pause", "c2"}, {"resume", "c2"}, {"update", "c2"}},
		libcontainer.NoProgram:     {{"exec", "c1", "nope"}},
		libcontainer.NoFile:        {{"exec", "c1", "/nope"}, {"exec", "c1", "./nope"}},
		libcontainer.NotExecutable: {{"exec", "c1", "/etc/passwd"}, {"exec", "c1", "/etc"}},
	}
	creations := map[libcontainer.Situation]string{
		libcontainer.NoProgram:     `process.args=["nope"]`,
		libcontainer.NoFile:        `process.args=["/nope"]`,
		libcontainer.NotExecutable: `process.args=["/etc/passwd"]`,
		libcontainer.NoPrivilege:   `process.rlimits=[{"type":"RLIMIT_NOFILE","soft":1,"hard":4000000000}]`,
	}
	for _, m := range libcontainer.Matches() {
		lines := said[m.When]
		if edit, ok := creations[m.When]; ok {
			b.try(editConfig(b.bundle, []string{"process.rlimits-", edit, "linux.cgroupsPath=" + subtree + "/c3"}))
			lines = append(lines, []string{"create", "c3"})
		}
		if len(lines) == 0 {
			t.Errorf("%s: nothing makes this situation", m.When)
		}
		for _, line := range lines {
			b.matches(m, line)
			b.matches(m, append([]string{"--log-format", "json"}, line...))
		}
	}
	b.try(b.davit("delete", "--force", "c1"))
	b.try(b.davit("delete", "c2"))
}

func (b *bench) matches(m libcontainer.Match, line []string) {
	b.Helper()
	err := b.davit(line...)
	if err == nil {
		b.Errorf("%s: davit %s succeeds", m.When, strings.Join(line, " "))
	} else if !strings.Contains(err.Error(), m.Text) {
		b.Errorf("%s looks for %q when %s; but: %v", m.Who, m.Text, m.When, err)
	}
}
