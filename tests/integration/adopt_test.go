package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Containers that other runtimes have made. TestAdoptPeers uses the real runtimes
// (tests/peers/root, with $DAVIT_TEST_PEERS). The other tests do not need them: they give one of
// davit's containers the files that runc or crun would have written.

// disguise replaces davit's files in the state directory of the running container c1 by those of
// maker. change may make them wrong.
func (b *box) disguise(maker string, change func(state map[string]any)) {
	b.t.Helper()
	dir := filepath.Join(b.root, "c1")
	var own struct {
		Pid    int
		Bundle string
		Rootfs string
		Cgroup struct{ Dirs map[string]string }
	}
	data, err := os.ReadFile(dir + "/davit.json")
	must(b.t, err)
	must(b.t, json.Unmarshal(data, &own))
	start := startTimeOf(b.t, own.Pid)
	config, err := os.ReadFile(filepath.Join(b.bundle, "config.json"))
	must(b.t, err)
	var seccomp any // runc's form of the filter in TestAdoptForce
	if strings.Contains(string(config), `"personality"`) {
		seccomp = map[string]any{"default_action": 4, "architectures": []string{"amd64", "arm64"}, "flags": []string{}, "default_errno_ret": nil,
			"syscalls": []any{map[string]any{"name": "personality", "action": 2, "errnoRet": 61, "args": []any{}}}}
	}
	var spec struct {
		Hooks   map[string]any
		Process struct {
			Capabilities    map[string]any
			NoNewPrivileges bool
		}
	}
	must(b.t, json.Unmarshal(config, &spec))
	var state map[string]any
	name := "status"
	if maker == "runc" {
		name = "state.json"
		capabilities := map[string]any{} // runc has no JSON tags for these
		for set, list := range spec.Process.Capabilities {
			capabilities[strings.ToUpper(set[:1])+set[1:]] = list
		}
		hooks := map[string]any{"poststop": spec.Hooks["poststop"]}
		state = map[string]any{
			"id": "c1", "init_process_pid": own.Pid, "init_process_start": start, "created": "2026-11-30T02:11:46.615314565Z", "rootless": false,
			"cgroup_paths": own.Cgroup.Dirs, "namespace_paths": map[string]string{"NEWNS": fmt.Sprintf("/proc/%d/ns/mnt", own.Pid)},
			"external_descriptors": []string{"/dev/null", "/dev/null", "/dev/null"}, "intel_rdt_path": "",
			"config": map[string]any{
				"no_pivot_root": false, "rootfs": own.Rootfs, "umask": nil, "version": "1.2.1", "no_new_privileges": spec.Process.NoNewPrivileges,
				"labels": []string{"bundle=" + own.Bundle, "who=test"}, "Hooks": hooks, "capabilities": capabilities,
				"namespaces": []map[string]string{{"type": "NEWPID", "path": ""}, {"type": "NEWNS", "path": ""}},
				"cgroups":    map[string]any{"name": "c1", "scope_prefix": ""},
				"seccomp":    seccomp,
			},
		}
	} else {
		state = map[string]any{
			"pid": own.Pid, "process-start-time": start, "cgroup-path": subtree + "/c1", "scope": "", "rootfs": "rootfs", "systemd-cgroup": false,
			"bundle": own.Bundle, "created": "2026-11-30T02:13:35.011709Z", "owner": "root", "detached": true, "external_descriptors": "[]",
		}
	}
	if change != nil {
		change(state)
	}
	data, err = json.Marshal(state)
	must(b.t, err)
	for _, file := range []string{"davit.json", "state.json", "status", "start", "config.json"} {
		os.Remove(filepath.Join(dir, file))
	}
	if maker == "crun" {
		must(b.t, os.WriteFile(dir+"/config.json", config, 0o600))
	}
	must(b.t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
}

// startTimeOf returns field 22 of /proc/PID/stat.
func startTimeOf(t *testing.T, pid int) uint64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	start, err := strconv.ParseUint(fields[19], 10, 64)
	must(t, err)
	return start
}

// endDisguised ends a process that davit must leave alone.
func (b *box) endDisguised(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	exitWithin(pid, 10e9)
	os.RemoveAll(filepath.Join(b.root, "c1"))
	for _, dir := range cgroupsLeft() {
		os.Remove(dir)
	}
}

// adopted runs every verb on the running container c1, which maker has made, and deletes it.
func (b *box) adopted(maker string) {
	b.t.Helper()
	has := func(want string, args ...string) {
		b.t.Helper()
		if out := b.davit(args...); !strings.Contains(out, want) {
			b.t.Errorf("davit %s: no %q in:\n%s", strings.Join(args, " "), want, out)
		}
	}
	has(`"maker": "`+maker+`"`, "state", "c1")
	has(`"status": "running"`, "state", "c1")
	has("running", "list")
	has(`"maker":"`+maker+`"`, "list", "--format", "json")
	has("sleep", "ps", "c1")
	has("inside", "exec", "c1", "echo", "inside")
	has("NoNewPrivs:\t1", "exec", "c1", "cat", "/proc/self/status")
	has("Max open files            1024", "exec", "c1", "cat", "/proc/self/limits")
	has("CapBnd:\t0000000000000020", "exec", "c1", "cat", "/proc/self/status")
	b.davit("pause", "c1")
	has(`"status": "paused"`, "state", "c1")
	if out, status := b.try("exec", "c1", "true"); status == 0 {
		b.t.Errorf("exec in a paused container: %s", out)
	}
	b.davit("resume", "c1")
	has(`"type":"stats"`, "events", "--stats", "c1")
	b.try("verify", "c1")
	has("ok: c1: running, made by "+maker, "check", "--adopt", b.root)
	b.updates(maker)
	if out, status := b.try("delete", "c1"); status == 0 {
		b.t.Errorf("delete of a running container: %s", out)
	}
	if out, status := b.try("create", "-b", b.bundle, "c1"); status == 0 || !strings.Contains(out, "already exists") {
		b.t.Errorf("create with its id: %d, %s", status, out)
	}
	pid := b.pid()
	b.davit("kill", "c1", "KILL")
	if !exitWithin(pid, 10e9) {
		b.t.Fatalf("process %d is still there", pid)
	}
	has(`"status": "stopped"`, "state", "c1")
	b.davit("delete", "c1")
	if _, err := os.Stat(filepath.Join(b.root, "c1")); !os.IsNotExist(err) {
		b.t.Errorf("the state directory: %v", err)
	}
	hook, _ := os.ReadFile(filepath.Join(b.work, "hook"))
	if string(hook) != "stopped\n" {
		b.t.Errorf("the poststop hook left %q: it runs once", hook)
	}
}

// updates sets a limit twice, and checks that the maker's file has it and has lost nothing else.
func (b *box) updates(maker string) {
	b.t.Helper()
	if !hasController("pids") {
		return
	}
	file := "state.json"
	if maker == "crun" {
		file = "config.json"
	}
	read := func() (all map[string]any) {
		b.t.Helper()
		data, err := os.ReadFile(filepath.Join(b.root, "c1", file))
		must(b.t, err)
		must(b.t, json.Unmarshal(data, &all))
		return all
	}
	before := read()
	b.davit("update", "--pids-limit", "77", "c1")
	b.davit("update", "--cpu-share", "512", "c1")
	after := read()
	if maker == "runc" {
		limits := after["config"].(map[string]any)["cgroups"].(map[string]any)
		if fmt.Sprint(limits["pids_limit"], limits["cpu_shares"]) != "77 512" {
			b.t.Errorf("state.json: %v", limits)
		}
		after["config"].(map[string]any)["cgroups"] = before["config"].(map[string]any)["cgroups"]
	} else {
		limits := after["linux"].(map[string]any)["resources"].(map[string]any)
		if have := fmt.Sprint(limits["pids"], limits["cpu"]); have != "map[limit:77] map[shares:512]" {
			b.t.Errorf("config.json: %s", have)
		}
		after["linux"].(map[string]any)["resources"] = before["linux"].(map[string]any)["resources"]
	}
	if !reflect.DeepEqual(before, after) {
		b.t.Errorf("%s was changed otherwise:\n%v\n%v", file, before, after)
	}
	paths, _ := filepath.Glob("/sys/fs/cgroup/pids" + subtree + "/c1/pids.max")
	if isUnified() {
		paths = []string{"/sys/fs/cgroup" + subtree + "/c1/pids.max"}
	}
	if len(paths) == 0 {
		b.t.Fatal("no pids.max")
	}
	if data, err := os.ReadFile(paths[0]); string(data) != "77\n" {
		b.t.Errorf("pids.max: %q, %v", data, err)
	}
}

// adoptable makes a bundle whose poststop hook writes a line to a file.
func adoptable(t *testing.T) *box {
	b := newBox(t, `process.args=["sleep","1000"]`, `process.capabilities={"bounding":["CAP_KILL"]}`)
	b.edit(fmt.Sprintf(`hooks={"poststop":[{"path":"/bin/sh","args":["sh","-c","echo stopped >>%s/hook"]}]}`, b.work))
	return b
}

// Every verb works on a container whose state runc or crun has written.
func TestAdoptVerbs(t *testing.T) {
	for _, maker := range []string{"runc", "crun"} {
		t.Run(maker, func(t *testing.T) {
			b := adoptable(t)
			b.davit("run", "-d", "-b", b.bundle, "c1")
			b.disguise(maker, nil)
			b.adopted(maker)
		})
	}
}

// delete --force ends a running container. exec uses the seccomp profile of runc's state, where
// actions are numbers, and not that of the bundle.
func TestAdoptForce(t *testing.T) {
	b := adoptable(t)
	b.edit(`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ERRNO"}]}`)
	b.davit("run", "-d", "-b", b.bundle, "c1")
	b.disguise("runc", nil)
	if out := b.davit("exec", "c1", "cat", "/proc/self/status"); !strings.Contains(out, "Seccomp:\t2") {
		t.Errorf("exec without the state's seccomp profile:\n%s", out)
	}
	b.davit("delete", "--force", "c1")
}

// exec takes runc's program from a bundle only if nobody else could have changed it: neither the file or a directory, nor a link on the
// way there.
func TestAdoptForeignBundle(t *testing.T) {
	const stranger = 54321
	for _, c := range []struct {
		name, want string
		bundle     func(theirs, bundle string) (string, error) // returns the bundle that the state names
	}{
		{"their link", "/link is a symbolic link of user 54321's", func(theirs, bundle string) (string, error) {
			link := filepath.Join(theirs, "link")
			return link, errorsOf(os.Symlink(bundle, link), os.Lchown(link, stranger, 0))
		}},
		{"a link below their directory", "theirs belongs to user 54321", func(theirs, bundle string) (string, error) {
			link := filepath.Join(theirs, "link")
			return link, errorsOf(os.Symlink(bundle, link), os.Chown(theirs, stranger, 0))
		}},
		{"a link by way of theirs", "theirs/second is a symbolic link of user 54321's", func(theirs, bundle string) (string, error) {
			first, second := filepath.Join(filepath.Dir(theirs), "first"), filepath.Join(theirs, "second")
			return first, errorsOf(os.Symlink(bundle, second), os.Symlink("theirs/second", first), os.Lchown(second, stranger, 0))
		}},
		{"a link to a link below their directory", "theirs belongs to user 54321", func(theirs, bundle string) (string, error) {
			first, second := filepath.Join(filepath.Dir(theirs), "first"), filepath.Join(theirs, "second")
			return first, errorsOf(os.Symlink(bundle, second), os.Symlink(second, first), os.Chown(theirs, stranger, 0))
		}},
		{"links of the caller", "", func(theirs, bundle string) (string, error) {
			first, second := filepath.Join(filepath.Dir(theirs), "first"), filepath.Join(theirs, "second")
			return first, errorsOf(os.Symlink(bundle, second), os.Symlink("theirs/second", first))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			needRoot(t)
			b := adoptable(t)
			b.davit("run", "-d", "-b", b.bundle, "c1")
			theirs := filepath.Join(b.work, "theirs")
			must(t, os.Mkdir(theirs, 0o755))
			bundle, err := c.bundle(theirs, b.bundle)
			must(t, err)
			b.disguise("runc", func(s map[string]any) {
				s["config"].(map[string]any)["labels"] = []string{"bundle=" + bundle}
			})
			out, status := b.try("exec", "c1", "true")
			if c.want == "" && status != 0 || c.want != "" && (status == 0 || !strings.Contains(out, c.want)) {
				t.Errorf("exec: status %d, no %q in: %s", status, c.want, out)
			}
			b.davit("delete", "--force", "c1")
		})
	}
}

// A state that names a cgroup in which davit itself is called is refused: kill and delete would end davit's caller.
func TestAdoptOwnCgroup(t *testing.T) {
	for _, maker := range []string{"runc", "crun"} {
		t.Run(maker, func(t *testing.T) {
			b := adoptable(t)
			b.davit("run", "-d", "-b", b.bundle, "c1")
			pid := b.pid()
			defer b.endDisguised(pid)
			b.disguise(maker, nil)
			groups := cgroupsLeft()
			if len(groups) == 0 {
				t.Fatal("the container has no cgroup")
			}
			enter := ""
			for _, dir := range groups {
				enter += "echo $$ >" + dir + "/cgroup.procs; "
			}
			for _, verb := range []string{"state c1", "kill --all c1 KILL", "delete --force c1", "exec c1 true"} {
				cmd := b.command(strings.Fields(verb)...)
				inside := exec.Command("sh", append([]string{"-ec", enter + `exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)...)
				inside.Env, inside.Dir = cmd.Env, cmd.Dir
				if out, err := b.runFiles(inside); exitCode(err) < 1 || !strings.Contains(out, "davit itself is in it") {
					t.Errorf("davit %s: %v: %s", verb, err, out)
				}
			}
			if exitWithin(pid, 1) {
				t.Error("the container's process has ended")
			}
		})
	}
}

// If the files of a foreign container contain something wrong, every verb refuses it with the
// reason, and touches nothing.
func TestAdoptRefuses(t *testing.T) {
	config := func(state map[string]any) map[string]any { return state["config"].(map[string]any) }
	cases := []struct {
		name, maker, want string
		change            func(b *box, state map[string]any)
	}{
		{"another process", "runc", "but /proc/", func(b *box, s map[string]any) {
			s["init_process_pid"], s["init_process_start"] = os.Getpid(), startTimeOf(b.t, os.Getpid())
		}},
		{"another process", "crun", "but /proc/", func(b *box, s map[string]any) {
			s["pid"], s["process-start-time"] = os.Getpid(), startTimeOf(b.t, os.Getpid())
		}},
		{"another cgroup", "runc", "but /proc/", func(b *box, s map[string]any) {
			for name, dir := range s["cgroup_paths"].(map[string]string) {
				s["cgroup_paths"].(map[string]string)[name] = filepath.Dir(dir) + "/c2"
			}
		}},
		{"another cgroup", "crun", "but /proc/", func(b *box, s map[string]any) { s["cgroup-path"] = subtree + "/c2" }},
		{"the root cgroup", "crun", "is not the path of a cgroup", func(b *box, s map[string]any) { s["cgroup-path"] = "/" }},
		{"no clean path", "crun", "is not the path of a cgroup", func(b *box, s map[string]any) { s["cgroup-path"] = "/a/../" + subtree + "/c1" }},
		{"not of cgroups", "runc", "is not below /sys/fs/cgroup", func(b *box, s map[string]any) {
			for name := range s["cgroup_paths"].(map[string]string) {
				s["cgroup_paths"].(map[string]string)[name] = b.work
			}
		}},
		{"newer runc", "runc", "config.new_thing: not known in runc 1.0 to 1.5", func(b *box, s map[string]any) { config(s)["new_thing"] = map[string]any{"x": 1} }},
		{"newer runc's state", "runc", "format: not known in runc 1.0 to 1.5", func(b *box, s map[string]any) { s["format"] = 2 }},
		{"newer spec", "runc", `config.version: "2.0.0", but davit only knows 1.x`, func(b *box, s map[string]any) { config(s)["version"] = "2.0.0" }},
		{"newer crun", "crun", "version: not known in crun 1.x", func(b *box, s map[string]any) { s["version"] = 2 }},
		{"wrong type", "runc", "init_process_pid: expected", func(b *box, s map[string]any) { s["init_process_pid"] = "seven" }},
		{"wrong type", "crun", "pid: expected", func(b *box, s map[string]any) { s["pid"] = []int{1} }},
		{"no process", "crun", "they name no process", func(b *box, s map[string]any) { delete(s, "process-start-time") }},
		{"action", "runc", "seccomp: action 77 is none of runc's", func(b *box, s map[string]any) { config(s)["seccomp"] = map[string]any{"default_action": 77} }},
		{"namespace", "runc", `"NEWSPACE" is no namespace`, func(b *box, s map[string]any) { config(s)["namespaces"] = []map[string]string{{"type": "NEWSPACE"}} }},
		{"no mount namespace", "runc", "no mount namespace of its own", func(b *box, s map[string]any) { config(s)["namespaces"] = []map[string]string{{"type": "NEWPID"}} }},
		{"a process of another start", "runc", "they name no process", func(b *box, s map[string]any) { s["init_process_start"] = 0 }},
		{"a negative process", "crun", "they name no process", func(b *box, s map[string]any) { s["pid"] = -1 }},
		{"a large process", "crun", "pid: ", func(b *box, s map[string]any) { s["pid"] = uint64(1)<<32 + uint64(s["pid"].(int)) }},
		{"the host's init", "runc", "but /proc/1/cgroup", func(b *box, s map[string]any) {
			s["init_process_pid"], s["init_process_start"] = 1, startTimeOf(b.t, 1)
		}},
		{"the root cgroup", "runc", "it is not below /sys/fs/cgroup", func(b *box, s map[string]any) {
			for name := range s["cgroup_paths"].(map[string]string) {
				s["cgroup_paths"].(map[string]string)[name] = "/sys/fs/cgroup"
			}
		}},
		{"no clean path", "runc", "it is not below /sys/fs/cgroup", func(b *box, s map[string]any) {
			for name, dir := range s["cgroup_paths"].(map[string]string) {
				s["cgroup_paths"].(map[string]string)[name] = dir + "/../c1"
			}
		}},
		{"a hierarchy's root", "runc", "is not below /sys/fs/cgroup", func(b *box, s map[string]any) {
			for name, dir := range s["cgroup_paths"].(map[string]string) {
				s["cgroup_paths"].(map[string]string)[name] = strings.TrimSuffix(dir, subtree+"/c1")
			}
		}},
		{"another unit", "crun", "is not in cgroup-path", func(b *box, s map[string]any) { s["systemd-cgroup"], s["scope"] = true, "other.scope" }},
		{"a unit above", "crun", "it is not of the systemd unit", func(b *box, s map[string]any) {
			s["systemd-cgroup"], s["scope"] = true, strings.TrimPrefix(subtree, "/")
		}},
		{"a unit above", "runc", "it is not of the systemd unit", func(b *box, s map[string]any) {
			config(s)["cgroups"] = map[string]any{"systemd": true, "name": strings.TrimPrefix(subtree, "/") + ".slice"}
		}},
		{"resctrl", "runc", "intel_rdt_path: ", func(b *box, s map[string]any) { s["intel_rdt_path"] = b.work + "/empty" }},
		{"resctrl's above", "runc", "intel_rdt_path: ", func(b *box, s map[string]any) { s["intel_rdt_path"] = "/sys/fs/resctrl/../" + b.work }},
		{"control characters", "runc", `"config.\x1b[31m\nnew": not known`, func(b *box, s map[string]any) { config(s)["\x1b[31m\nnew"] = 1 }},
		{"control characters", "crun", `"/\x1b[31m\n/../c1" is not the path of a cgroup`, func(b *box, s map[string]any) { s["cgroup-path"] = "/\x1b[31m\n/../c1" }},
		{"another id", "runc", `id: "c2"`, func(b *box, s map[string]any) { s["id"] = "c2" }},
		{"bundle", "runc", "bundle: ", func(b *box, s map[string]any) { config(s)["labels"] = []string{"bundle=b"} }},
	}
	b := newBox(t, `process.args=["sleep","1000"]`)
	b.davit("run", "-d", "-b", b.bundle, "c1")
	pid, own := b.pid(), filepath.Join(b.root, "c1", "davit.json")
	defer b.endDisguised(pid)
	state, err := os.ReadFile(own)
	must(t, err)
	for _, test := range cases {
		t.Run(test.maker+" "+test.name, func(t *testing.T) {
			b := *b
			b.t = t
			must(t, os.WriteFile(own, state, 0o600))
			b.disguise(test.maker, func(s map[string]any) { test.change(&b, s) })
			b.refused(test.maker, test.want)
		})
	}
	if exitWithin(pid, 1) {
		t.Error("the container's process has ended")
	}
}

// refusals counts the calls of refused.
var refusals int

// refused runs the verbs, which must all fail for that reason, and checks that the state directory
// stays as it is.
func (b *box) refused(maker, want string) {
	b.t.Helper()
	dir := filepath.Join(b.root, "c1")
	before := listing(b.t, dir)
	verbs := []string{"state c1", "start c1", "kill c1 KILL", "delete c1", "exec c1 true", "pause c1", "resume c1", "update --pids-limit 9 c1", "ps c1",
		"events --stats c1", "verify c1", "checkpoint c1", "exec -t c1 true"}
	if os.Getenv("DAVIT_FAULTS") != "all" { // make test-peers tries all verbs each time; other runs try a third of them, in turn
		refusals++
		sample := []string{}
		for i := refusals % 3; i < len(verbs); i += 3 {
			sample = append(sample, verbs[i])
		}
		verbs = sample
	}
	for _, verb := range append(verbs, "kill --all c1", "delete --force c1") {
		out, status := b.try(strings.Fields(verb)...)
		if status == 0 || !strings.Contains(out, "made by "+maker) || !strings.Contains(out, want) {
			b.t.Errorf("davit %s: status %d, no %q in: %s", verb, status, want, out)
		}
		if strings.ContainsRune(out, '\x1b') {
			b.t.Errorf("davit %s: control characters in %q", verb, out)
		}
	}
	if out := b.davit("list"); !strings.Contains(out, "foreign") {
		b.t.Errorf("list: %s", out)
	}
	if out, status := b.try("check", "--adopt", b.root, "--format", "json"); status != 3 || !strings.Contains(out, `"level":"error","where":"c1"`) {
		b.t.Errorf("check --adopt: %d, %s", status, out)
	}
	if after := listing(b.t, dir); after != before {
		b.t.Errorf("the state directory has changed:\n%s\n%s", before, after)
	}
}

// davit does not read anything but a small regular file with JSON. Each verb fails at once and says
// why, and nothing is touched.
func TestAdoptOddFiles(t *testing.T) {
	text := func(s string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
	}
	odd := []struct {
		kind, want string
		make       func(path string) error
	}{
		{"fifo", "is not a regular file", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"link", "too many levels of symbolic links", func(path string) error { return os.Symlink("/etc/passwd", path) }},
		{"link to the file", "too many levels of symbolic links", func(path string) error {
			return errorsOf(os.Rename(path+".was", path+".moved"), os.Symlink(filepath.Base(path)+".moved", path))
		}},
		{"large", "has 104857600 bytes, more than the 16777216", func(path string) error {
			return errorsOf(os.WriteFile(path, []byte(`{"pid":1`), 0o600), os.Truncate(path, 100<<20))
		}},
		{"directory", "is not a regular file", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"empty", "", text("")},
		{"array", "", text("[]")},
		{"deep", "", text(strings.Repeat(`{"config":`, 1<<16))},
		{"binary", "", text("\x7fELF\x00\xff")},
	}
	for _, file := range []string{"state.json", "status", "config.json"} {
		maker := "crun"
		if file == "state.json" {
			maker = "runc"
		}
		t.Run(file, func(t *testing.T) {
			b := newBox(t, `process.args=["sleep","1000"]`)
			b.davit("run", "-d", "-b", b.bundle, "c1")
			pid := b.pid()
			defer b.endDisguised(pid)
			b.disguise(maker, nil)
			path := filepath.Join(b.root, "c1", file)
			for _, o := range odd {
				t.Run(o.kind, func(t *testing.T) {
					b := *b
					b.t = t
					must(t, os.Rename(path, path+".was"))
					must(t, o.make(path))
					who := maker
					if file == "state.json" && o.want == "" { // nothing in the file says which runtime it belongs to
						who = "another runtime"
					}
					b.refused(who, o.want)
					must(t, os.RemoveAll(path))
					if os.Rename(path+".was", path) != nil {
						must(t, os.Rename(path+".moved", path))
					}
				})
			}
			if exitWithin(pid, 1) {
				t.Error("the container's process has ended")
			}
		})
	}
}

// When a container has ended, nothing can tell its cgroup from another one with the same name. So
// processes in it are left alone.
func TestAdoptEnded(t *testing.T) {
	for _, maker := range []string{"runc", "crun"} {
		t.Run(maker, func(t *testing.T) {
			b := adoptable(t)
			b.davit("run", "-d", "-b", b.bundle, "c1")
			pid := b.pid()
			b.disguise(maker, nil)
			b.davit("kill", "c1", "KILL")
			if !exitWithin(pid, 10e9) {
				t.Fatal("the container's process has not ended")
			}
			stranger := exec.Command("sleep", "1000")
			must(t, stranger.Start())
			defer func() { stranger.Process.Kill(); stranger.Wait() }()
			groups := cgroupsLeft()
			if len(groups) == 0 {
				t.Fatal("the container's cgroup is gone")
			}
			for _, dir := range groups {
				must(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(stranger.Process.Pid)), 0o600))
			}
			dir := filepath.Join(b.root, "c1")
			before := listing(t, dir)
			for _, verb := range []string{"kill c1 KILL", "kill --all c1 KILL", "delete c1", "delete --force c1"} {
				out, status := b.try(strings.Fields(verb)...)
				if strings.HasPrefix(verb, "delete") && (status == 0 || !strings.Contains(out, "but the cgroup that its state names has process")) {
					t.Errorf("davit %s: %d, %s", verb, status, out)
				}
			}
			if err := stranger.Process.Signal(syscall.Signal(0)); err != nil || exitWithin(stranger.Process.Pid, 1) {
				t.Error("another's process was killed")
			}
			if after := listing(t, dir); after != before {
				t.Errorf("the state directory has changed:\n%s\n%s", before, after)
			}
			must(t, stranger.Process.Kill())
			stranger.Wait()
			b.davit("delete", "c1")
			if left := cgroupsLeft(); len(left) > 0 {
				t.Errorf("cgroups: %q", left)
			}
		})
	}
}
