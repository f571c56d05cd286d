package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile is a name that tries to mislead a terminal and its reader: with an escape sequence, one
// that is a single character, a new row, a new column, text in another direction, and text that is
// not visible.
const hostile = "\x1b]0;x\x07\u009b2J\x7f\r\nFORGED\troot\u202egnp.\u2066x\u200b\u2028y"

// unfit returns which parts of a verb's output are not fit for people.
func unfit(out string) string {
	for len(out) > 0 {
		line, rest, _ := strings.Cut(out, "\n")
		for i, r := range line {
			if r == utf8.RuneError || !unicode.IsPrint(r) {
				return fmt.Sprintf("%q", line[max(0, i-40):])
			}
		}
		if strings.HasPrefix(strings.TrimSpace(line), "FORGED") {
			return "a line of its own: " + line
		}
		out = rest
	}
	return ""
}

// asJSON is hostile as it is written within a JSON string.
var asJSON = func() string {
	data, _ := json.Marshal(hostile)
	return strings.Trim(string(data), `"`)
}()

// fit runs davit, whose output must be fit for people, and returns that output.
func (b *box) fit(args ...string) string {
	b.t.Helper()
	out, status := b.try(args...)
	if wrong := unfit(out); wrong != "" {
		b.t.Errorf("davit %q, exit status %d: %s", args, status, wrong)
	}
	if strings.Contains(out, "panic: ") {
		b.t.Errorf("davit %q: %s", args, out)
	}
	return out
}

// Whatever the names contain, each verb's output is text that a terminal only shows, and all line
// breaks are davit's. In this test the container is made and nothing fails.
func TestHostileNames(t *testing.T) {
	b := newBox(t)
	script := "evil" + hostile // the kernel's name of a process, which ps shows as CMD
	b.bundle = filepath.Join(b.work, "bundle"+hostile, "c1")
	if err := makeBundle(b.bundle); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(b.work, "source"+hostile)
	if err := os.Rename(b.path(""), b.path("../root"+hostile)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(b.bundle, "root"+hostile, script), "#!/bin/sh\nsleep 1000\n")
	mustWrite(t, source+"/file", "")
	b.edit("root.path=root"+hostile, "root.readonly=false", `process.args=["/`+"evil"+asJSON+`","`+asJSON+`"]`, `process.env+=X=`+hostile,
		`process.cwd=/cwd`+hostile, `mounts+={"destination":"/mount`+asJSON+`","type":"bind","source":"`+filepath.Join(b.work, "source")+asJSON+`","options":["bind"]}`,
		`annotations={"`+asJSON+`":"`+asJSON+`"}`, `linux.maskedPaths+=/masked`+hostile, `linux.readonlyPaths+=/mount`+hostile,
		`hooks.poststop=[{"path":"/bin/sh","args":["sh","-c","printf '`+strings.ReplaceAll(asJSON, `\u0007`, "")+`' >&2; exit 1","`+asJSON+`"]}]`)
	timeline := filepath.Join(b.work, "timeline")
	b.fit("explain")
	b.fit("explain", "--format", "json")
	b.fit("check", "--bundle", b.bundle)
	made := b.fit("--debug", "run", "-d", "--trace", timeline, "c1")
	if out, status := b.try("state", "c1"); status != 0 {
		t.Fatal(made, out)
	}
	if out := b.fit("trace", timeline); !strings.Contains(out, `FORGED\troot`) {
		t.Errorf("the test shows nothing of trace: %s", out)
	}
	b.fit("state", "c1")
	if out := b.fit("list"); !strings.Contains(out, `FORGED\troot`) || strings.Count(out, "\n") != 2 {
		t.Errorf("list: %s", out)
	}
	b.fit("list", "--format", "json")
	b.fit("ps", "c1")
	b.fit("ps", "c1", "-eo", "pid,comm,args")
	b.fit("events", "--stats", "c1")
	b.fit("events", "--stats", "--format", "table", "c1")
	b.fit("exec", "c1", "mount", "-t", "tmpfs", "none", "/mount"+hostile)
	b.edit() // the bundle's content does not matter any more
	b.fit("verify", "c1")
	b.fit("verify", "--format", "json", "c1")
	b.fit("exec", "c1", "no"+hostile)
	b.fit("exec", "--cwd", "/no"+hostile, "c1", "true")
	b.fit("exec", "--cgroup", "no"+hostile, "c1", "true")
	b.fit("--debug", "pause", "c1")
	b.fit("--debug", "resume", "c1")
	b.fit("--debug", "kill", "c1", "KILL")
	b.fit("--debug", "delete", "--force", "c1") // the hook fails
}

// The same holds for errors and warnings: each edit causes one in create, check and explain.
func TestHostileErrors(t *testing.T) {
	for _, edit := range []string{
		"ociVersion=1.0" + hostile, "root.path=no" + hostile, `process.args=["no` + asJSON + `"]`, `process.args=["/no` + asJSON + `"]`, "process.cwd=no" + hostile,
		"process.env+=" + hostile, "hostname=" + hostile, "domainname=" + hostile, `mounts+={"destination":"/x` + asJSON + `","type":"bind","source":"/no` + asJSON + `","options":["bind"]}`,
		`mounts+={"destination":"/x","type":"` + asJSON + `","source":"x"}`, `mounts+={"destination":"/x","type":"tmpfs","options":["` + asJSON + `"]}`,
		`mounts+={"destination":"x` + asJSON + `","type":"tmpfs"}`, `hooks.createRuntime=[{"path":"/no` + asJSON + `"}]`, `hooks.createContainer=[{"path":"/no` + asJSON + `"}]`,
		`hooks.createRuntime=[{"path":"/bin/ls","args":["ls","/no` + asJSON + `"]}]`, `hooks.prestart=[{"path":"no` + asJSON + `"}]`,
		`linux.sysctl={"` + asJSON + `":"1"}`, `linux.sysctl={"net.ipv4.ip_forward":"` + asJSON + `"}`, "linux.cgroupsPath=/" + hostile, "linux.cgroupsPath=../" + hostile,
		`linux.namespaces+={"type":"` + asJSON + `"}`, `linux.namespaces+={"type":"network","path":"/no` + asJSON + `"}`, `linux.devices=[{"path":"/dev/` + asJSON + `","type":"` + asJSON + `"}]`,
		`linux.devices=[{"path":"/no` + asJSON + `","type":"b","major":999999,"minor":1}]`, `linux.resources.unified={"` + asJSON + `":"` + asJSON + `"}`,
		`linux.resources.hugepageLimits=[{"pageSize":"` + asJSON + `","limit":1}]`, `linux.resources.devices=[{"allow":true,"type":"` + asJSON + `","access":"` + asJSON + `"}]`,
		"linux.rootfsPropagation=" + hostile, "linux.mountLabel=" + hostile, "process.apparmorProfile=" + hostile, "process.selinuxLabel=" + hostile, `process.capabilities.bounding=["` + asJSON + `"]`,
		`process.rlimits=[{"type":"` + asJSON + `","soft":1,"hard":1}]`, `linux.seccomp={"defaultAction":"` + asJSON + `"}`, `linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["` + asJSON + `"],"action":"` + asJSON + `"}]}`,
		`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/no` + asJSON + `","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}`,
		`linux.intelRdt={"closID":"` + asJSON + `"}`, `linux.netDevices={"` + asJSON + `":{"name":"` + asJSON + `"}}`, `process.scheduler={"policy":"` + asJSON + `"}`, `process.ioPriority={"class":"` + asJSON + `"}`,
		`linux.personality={"domain":"` + asJSON + `"}`, "process.user.uid=" + hostile, asJSON[:4] + "x=1", `linux.timeOffsets={"` + asJSON + `":{"secs":1}}`,
	} {
		t.Run(edit[:min(len(edit), 30)], func(t *testing.T) {
			b := newBox(t, "root.readonly=false", `process.args=["true"]`)
			b.edit(edit)
			b.fit("--log-format", "json", "create", "c1")
			b.fit("delete", "--force", "c1")
			log := filepath.Join(b.work, "log")
			b.fit("--debug", "--log", log, "create", "c1")
			if text, err := os.ReadFile(log); err != nil || unfit(string(text)) != "" {
				t.Errorf("--log: %s %v", unfit(string(text)), err)
			}
			b.fit("check", "--bundle", b.bundle)
			b.fit("explain")
			b.fit("delete", "--force", "c1")
		})
	}
}

// The same holds for arguments on the command line, and for broken states.
func TestHostileArguments(t *testing.T) {
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("create", "c1")
	for _, args := range [][]string{{"state", hostile}, {"delete", hostile}, {"delete", "--force", hostile}, {"run", hostile}, {"exec", hostile, "true"}, {hostile}, {"--" + hostile},
		{"state", "--" + hostile}, {"state", "c1", hostile}, {"kill", "c1", hostile}, {"--root", "/no" + hostile, "state", "c1"}, {"--log", "/no" + hostile + "/x", "list"}, {"--log-format", hostile, "list"},
		{"--rootless", hostile, "list"}, {"--cgroup-manager", hostile, "create", "c2"}, {"create", "--bundle", "/no" + hostile, "c2"}, {"create", "--pid-file", "/no" + hostile + "/x", "c2"},
		{"create", "--console-socket", "/no" + hostile, "c2"}, {"exec", "--process", "/no" + hostile, "c1"}, {"exec", "--user", hostile, "c1", "true"}, {"exec", "--cap", hostile, "c1", "true"}, {"exec", "--env", hostile, "c1", "true"},
		{"update", "--resources", "/no" + hostile, "c1"}, {"update", "--memory", hostile, "c1"}, {"update", "--cpuset-cpus", hostile, "c1"}, {"list", "--format", hostile}, {"ps", "c1", hostile}, {"ps", "--format", hostile, "c1"},
		{"trace", "/no" + hostile}, {"check", "--engine", hostile}, {"events", "--interval", hostile, "c1"}, {"completion", hostile}, {"spec", "--bundle", "/no" + hostile}, {"checkpoint", hostile}} {
		b.fit(args...)
	}
	b.davit("delete", "--force", "c1")
	dir := filepath.Join(b.root, "broken")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"davit.json": `{"` + asJSON + `":` + hostile, "state.json": `{"ociVersion":"` + asJSON + `","id":"` + asJSON + `","bundle":` + hostile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"state", "ps", "kill", "delete", "verify", "start", "resume"} {
			b.fit(verb, "broken")
		}
		b.fit("list")
		b.fit("list", "--format", "json")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
