package integration

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var adoptTable = flag.String("adopt-table", "", "append what TestAdoptPeers has seen to this `file`, in Markdown")

// adoptKind is a kind of container that another runtime makes.
type adoptKind struct {
	name    string
	edits   []string
	flags   []string         // flags of the maker, before the verb
	prepare func(a *adopted) // called before the maker
	need    func() bool      // nil: the container can be made on every host
	created bool             // the maker only creates it
	paused  bool             // the maker also pauses it
}

var adoptKinds = []adoptKind{
	{name: "created", created: true},
	{name: "running"},
	{name: "paused", paused: true},
	{name: "user namespace", prepare: func(a *adopted) { a.userNamespace() }},
	{name: "terminal", edits: []string{"process.terminal=true"}, prepare: (*adopted).console},
	{name: "seccomp", edits: []string{`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ERRNO"}]}`}},
	{name: "hooks", edits: []string{
		`hooks.createRuntime=[{"path":"/bin/true"}]`, `hooks.startContainer=[{"path":"/bin/true"}]`, `hooks.poststart=[{"path":"/bin/true"}]`}},
	{name: "volumes", prepare: (*adopted).volumes},
	{name: "host's pids", edits: []string{`linux.namespaces=[{"type":"mount"},{"type":"ipc"},{"type":"uts"},{"type":"network"}]`}},
	{name: "joined namespaces", prepare: (*adopted).join},
	{name: "systemd scope", flags: []string{"--systemd-cgroup"}, prepare: (*adopted).scope, need: func() bool {
		_, err := os.Stat("/run/systemd/system")
		return err == nil
	}},
}

// sleeper is a program that outlives a restore: CRIU interrupts system calls, and the sleep of newer versions of busybox then ends. Like
// an init, the shell reaps the processes whose parents have ended, so that their pids are free for a restore.
const sleeper = `process.args=["sh","-c","while :; do sleep 1000; done"]`

// adopted is a container of another runtime, and the properties that davit must find.
type adopted struct {
	*box
	kind  *adoptKind
	suite string // root directory of the maker
	maker string
	pid   int
	extra []string // arguments for the maker's create or run
	group string   // its cgroup below each hierarchy
	unit  string   // its systemd scope
	other func()   // ends the container whose namespaces it has joined
}

// adoptVerbs are tried in this order. A verb that does not apply to the kind returns errNone.
var adoptVerbs = []struct {
	name string
	run  func(a *adopted) error
}{
	{"state", (*adopted).state}, {"list", (*adopted).list}, {"ps", (*adopted).ps}, {"start", (*adopted).start},
	{"pause", (*adopted).pause}, {"resume", (*adopted).resume}, {"exec", (*adopted).exec}, {"exec -t", (*adopted).execTerminal},
	{"update", (*adopted).update}, {"events", (*adopted).events}, {"verify", (*adopted).verify}, {"maker's exec", (*adopted).makersExec},
	{"kill", (*adopted).kill}, {"delete", (*adopted).delete}, {"delete --force", (*adopted).force}, {"checkpoint, restore", (*adopted).checkpoint},
}

var errNone = errors.New("–")

// A real runc and a real crun make containers of each kind, and davit runs every verb on them. The
// test needs the runtimes that tests/peers/root unpacks, and $DAVIT_TEST_PEERS.
func TestAdoptPeers(t *testing.T) {
	needRoot(t)
	if os.Getenv("DAVIT_TEST_PEERS") == "" {
		t.Skip("the peers are asked for with DAVIT_TEST_PEERS")
	}
	var rows []string
	for _, suite := range []string{"bookworm", "sid"} {
		for _, maker := range []string{"runc", "crun"} {
			root := filepath.Join(peersCache(), suite)
			if found, _ := filepath.Glob(filepath.Join(root, "usr/*bin", maker)); len(found) == 0 {
				t.Logf("%s has no %s", root, maker)
				continue
			}
			version := versionOf(t, root, maker)
			for i := range adoptKinds {
				kind := &adoptKinds[i]
				if kind.need != nil && !kind.need() {
					continue
				}
				t.Run(strings.Join([]string{suite, maker, kind.name}, "/"), func(t *testing.T) {
					rows = append(rows, fmt.Sprintf("| %s | %s |%s", version, kind.name, tryVerbs(t, kind, root, maker)))
				})
			}
		}
	}
	if *adoptTable != "" && !t.Failed() {
		must(t, appendTable(rows))
	}
}

// Real runcs find no container in davit's state directory. They do not crash and remove nothing,
// and davit can use the container afterwards.
func TestAdoptPeersNotByRunc(t *testing.T) {
	if os.Getenv("DAVIT_TEST_PEERS") == "" {
		t.Skip("the peers are asked for with DAVIT_TEST_PEERS")
	}
	for _, suite := range []string{"bookworm", "sid"} {
		t.Run(suite, func(t *testing.T) {
			b := newBox(t, `process.args=["sleep","1000"]`)
			b.davit("run", "-d", "c1")
			for _, args := range [][]string{{"list"}, {"state", "c1"}, {"kill", "c1", "KILL"}, {"exec", "c1", "true"}, {"pause", "c1"}, {"delete", "c1"}, {"delete", "--force", "c1"}} {
				out, err := b.runFiles(exec.Command("../peers/in", append([]string{filepath.Join(peersCache(), suite), "runc", "--root", b.root}, args...)...))
				if strings.Contains(out, "panic") || strings.Contains(out, "goroutine") || args[0] != "list" && (err == nil || !strings.Contains(out, "does not exist")) {
					t.Errorf("runc %q: %v: %s", args, err, out)
				}
				if s, err := stateOf(b.root, "c1"); err != nil || s.Status != "running" {
					t.Fatalf("after runc %q the container is %q, %v", args, s.Status, err)
				}
			}
			b.davit("delete", "--force", "c1")
		})
	}
}

func peersCache() string {
	if dir := os.Getenv("DAVIT_TEST_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/davit-tests"
}

// versionOf returns the version of a peer, as "runc 1.3.6".
func versionOf(t *testing.T, root, maker string) string {
	t.Helper()
	out, err := exec.Command("../peers/in", root, maker, "--version").Output()
	must(t, err)
	line, _, _ := strings.Cut(string(out), "\n")
	version, _, _ := strings.Cut(strings.NewReplacer("version ", "", "+ds1", "").Replace(line), "-")
	return version
}

func appendTable(rows []string) error {
	layout := "cgroup v1 and v2 side by side"
	if isUnified() {
		data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		layout = "cgroup v2 with the controllers " + strings.Join(strings.Fields(string(data)), ", ")
	}
	head, line := "\n## "+strings.ToUpper(layout[:1])+layout[1:]+"\n\n| made by | container |", "| --- | --- |"
	for _, verb := range adoptVerbs {
		head += " " + verb.name + " |"
		line += " --- |"
	}
	f, err := os.OpenFile(*adoptTable, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(head + "\n" + line + "\n" + strings.Join(rows, "\n") + "\n")
	return err
}

// tryVerbs returns the cells of a row.
func tryVerbs(t *testing.T, kind *adoptKind, root, maker string) string {
	a := &adopted{box: adoptable(t), kind: kind, suite: root, maker: maker}
	defer a.end()
	if out, err := a.made(); err != nil {
		reason := refusal(maker, out)
		if reason == "" {
			t.Fatalf("%s makes none: %v: %s", maker, err, out)
		}
		for _, dir := range a.groups() { // crun leaves them behind if it fails
			os.Remove(dir)
		}
		return " " + reason + " |" + strings.Repeat(" |", len(adoptVerbs)-1)
	}
	var row strings.Builder
	for _, verb := range adoptVerbs {
		err := verb.run(a)
		word := "ok"
		switch {
		case errors.Is(err, errNone):
			word = errNone.Error()
		case err != nil:
			word = "fails"
			t.Errorf("davit %s: %v", verb.name, err)
		}
		fmt.Fprintf(&row, " %s |", word)
	}
	return row.String()
}

// refusal returns the reason why a peer runs no containers on this host, or "" if it is not known.
func refusal(maker, out string) string {
	switch {
	case maker == "crun" && strings.Contains(out, "setrlimit"):
		return "crun wants CAP_SYS_RESOURCE"
	case maker == "crun" && !isUnified():
		return "crun takes no hybrid cgroups"
	}
	return ""
}

// peer runs the maker with these arguments.
func (a *adopted) peer(args ...string) (string, error) {
	in, err := filepath.Abs("../peers/in")
	must(a.t, err)
	all := slices.Concat([]string{a.suite, a.maker, "--root", a.box.root}, a.kind.flags, args)
	cmd := exec.Command(in, all...)
	if a.maker == "crun" {
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+a.memlock())
	}
	return a.runFiles(cmd)
}

// memlock makes a library that keeps crun 1.8 from raising RLIMIT_MEMLOCK when it loads its eBPF
// program, and returns the library's path. To raise that limit needs CAP_SYS_RESOURCE, which root
// does not have on every host. Kernels do not require it since Linux 5.11.
func (a *adopted) memlock() string {
	lib := filepath.Join(a.work, "memlock.so")
	if _, err := os.Stat(lib); err == nil {
		return lib
	}
	const source = `
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) {
	return resource == RLIMIT_MEMLOCK ? 0 : (int)syscall(SYS_prlimit64, 0, resource, limit, (void *)0);
}
`
	cc := exec.Command("cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", lib, "-x", "c", "-")
	cc.Stdin = strings.NewReader(source)
	if out, err := cc.CombinedOutput(); err != nil {
		a.t.Fatalf("cc: %v: %s", err, out)
	}
	return lib
}

// made lets the maker make c1.
func (a *adopted) made() (string, error) {
	a.group = subtree + "/c1"
	a.edit("ociVersion=1.0.2") // older versions of crun refuse newer ones
	a.edit(sleeper)
	a.edit(a.kind.edits...)
	if a.kind.prepare != nil && a.pid == 0 {
		a.kind.prepare(a)
	}
	args := append([]string{"run", "-d"}, a.extra...)
	if a.kind.created {
		args = append([]string{"create"}, a.extra...)
	}
	out, err := a.peer(append(args, "--bundle", a.bundle, "c1")...)
	if err == nil && a.kind.paused {
		out, err = a.peer("pause", "c1")
	}
	if err == nil {
		a.pid = a.box.pid()
	}
	return out, err
}

// end removes what failed verbs have left, and the container whose namespaces this one has joined.
func (a *adopted) end() {
	a.try("delete", "--force", "c1")
	for _, dir := range []string{".empty-directory", ".cache"} { // crun leaves these
		os.RemoveAll(filepath.Join(a.root, dir))
	}
	if a.other != nil {
		a.other()
	}
}

// console gives the container a terminal. The terminal's master waits in the listener's queue, and
// so stays open until the listener is closed.
func (a *adopted) console() {
	path := filepath.Join(a.work, "console")
	listener, err := net.Listen("unix", path)
	must(a.t, err)
	a.extra = []string{"--console-socket", path}
	a.other = func() { listener.Close() }
}

// volumes gives the container a directory and a file of the host, and a read-only directory with another mount below it.
func (a *adopted) volumes() {
	dir := filepath.Join(a.work, "volume")
	must(a.t, os.MkdirAll(filepath.Join(dir, "below"), 0o755))
	must(a.t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	mount := func(source, target, options string) string {
		return fmt.Sprintf(`mounts+={"source":%q,"destination":%q,"type":"bind","options":[%s]}`, source, target, options)
	}
	a.edit(mount(dir, "/mnt/rw", `"rbind","rprivate"`), mount(dir+"/file", "/mnt/file", `"bind","ro"`),
		mount(dir, "/mnt/ro", `"rbind","ro","nosuid"`), mount(dir+"/below", "/mnt/ro/below", `"bind"`))
}

// join makes another container, whose namespaces this container joins.
func (a *adopted) join() {
	pod := &box{t: a.t, work: a.work, root: a.root + "-pod", bundle: filepath.Join(a.work, "pod")}
	must(a.t, makeBundle(pod.bundle))
	pod.edit(sleeper, fmt.Sprintf("linux.cgroupsPath=%q", subtree+"/pod"))
	pod.davit("run", "-d", "-b", pod.bundle, "c1")
	a.other = func() {
		pod.davit("delete", "--force", "c1")
		os.RemoveAll(pod.root)
	}
	ns := func(name string) string { return fmt.Sprintf("/proc/%d/ns/%s", pod.pid(), name) }
	a.edit(fmt.Sprintf(`linux.namespaces=[{"type":"mount"},{"type":"pid","path":%q},{"type":"network","path":%q},{"type":"ipc","path":%q},{"type":"uts","path":%q}]`,
		ns("pid"), ns("net"), ns("ipc"), ns("uts")), "hostname=")
}

// scope puts the container in a systemd unit.
func (a *adopted) scope() {
	name := "t" + strings.TrimPrefix(subtree, "/davit-test-")
	a.edit(fmt.Sprintf("linux.cgroupsPath=%q", "system.slice:adopt:"+name))
	a.unit = "adopt-" + name + ".scope"
	a.group = "/system.slice/" + a.unit
}

// says runs davit, and returns an error unless each part is in the output.
func (a *adopted) says(parts []string, args ...string) error {
	out, status := a.try(args...)
	if status != 0 {
		return fmt.Errorf("exit status %d: %s", status, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			return fmt.Errorf("no %q in: %s", part, out)
		}
	}
	return nil
}

func (a *adopted) status() string {
	switch {
	case a.kind.created:
		return "created"
	case a.kind.paused:
		return "paused"
	}
	return "running"
}

func (a *adopted) state() error {
	return a.says([]string{`"maker": "` + a.maker + `"`, `"status": "` + a.status() + `"`, a.bundle}, "state", "c1")
}

func (a *adopted) list() error {
	if err := a.says([]string{"ok: c1: " + a.status() + ", made by " + a.maker}, "check", "--adopt", a.root); err != nil {
		return err
	}
	return a.says([]string{"c1", a.status()}, "list")
}

func (a *adopted) ps() error {
	want := fmt.Sprint(a.pid)
	return a.says([]string{want}, "ps", "c1")
}

func (a *adopted) start() error {
	if !a.kind.created {
		return errNone
	}
	if err := a.says(nil, "start", "c1"); err != nil {
		return err
	}
	return a.says([]string{`"status": "running"`}, "state", "c1")
}

func (a *adopted) pause() error {
	if a.kind.paused {
		return errNone
	}
	if err := a.says(nil, "pause", "c1"); err != nil {
		return err
	}
	return a.says([]string{`"status": "paused"`}, "state", "c1")
}

func (a *adopted) resume() error {
	if out, status := a.try("exec", "c1", "true"); status == 0 {
		return fmt.Errorf("exec in a paused container: %s", out)
	}
	if err := a.says(nil, "resume", "c1"); err != nil {
		return err
	}
	return a.says([]string{`"status": "running"`}, "state", "c1")
}

// exec checks that its process is in the namespaces and cgroups of the container, and is confined
// as the config says.
func (a *adopted) exec() error {
	parts := []string{"NoNewPrivs:\t1", "CapBnd:\t0000000000000020"}
	if a.kind.name == "seccomp" {
		parts = append(parts, "Seccomp:\t2")
	}
	if err := a.says(parts, "exec", "c1", "cat", "/proc/self/status"); err != nil {
		return err
	}
	if err := a.says([]string{"Max open files            1024"}, "exec", "c1", "cat", "/proc/self/limits"); err != nil {
		return err
	}
	file := filepath.Join(a.work, "pid")
	if err := a.says(nil, "exec", "-d", "--pid-file", file, "c1", "sleep", "999"); err != nil {
		return err
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	dir, init := "/proc/"+string(pid), fmt.Sprintf("/proc/%d", a.pid)
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		have, _ := os.Readlink(dir + "/ns/" + ns)
		if want, _ := os.Readlink(init + "/ns/" + ns); have != want || want == "" {
			return fmt.Errorf("namespace of exec's process: %q, not %q", have, want)
		}
	}
	have, _ := os.ReadFile(dir + "/cgroup")
	if want, _ := os.ReadFile(init + "/cgroup"); string(have) != string(want) || len(want) == 0 {
		return fmt.Errorf("cgroups of exec's process: %q, not %q", have, want)
	}
	return nil
}

func (a *adopted) execTerminal() error {
	out, status := a.onTerminal("exec", "-t", "c1", "tty")
	if status != 0 || !strings.Contains(out, "/dev/pts/") {
		return fmt.Errorf("exit status %d: %s", status, out)
	}
	return nil
}

func (a *adopted) update() error {
	if !hasController("pids") {
		return errNone
	}
	if err := a.says(nil, "update", "--pids-limit", "77", "c1"); err != nil {
		return err
	}
	file := "/sys/fs/cgroup/pids" + a.group + "/pids.max"
	if isUnified() {
		file = "/sys/fs/cgroup" + a.group + "/pids.max"
	}
	data, err := os.ReadFile(file)
	if err == nil && string(data) != "77\n" {
		err = fmt.Errorf("pids.max: %q", data)
	}
	if err != nil {
		return err
	}
	if out, err := a.peer("update", "--pids-limit", "78", "c1"); err != nil { // the maker can update the container, too
		return fmt.Errorf("%s update: %w: %s", a.maker, err, out)
	}
	return a.says(nil, "update", "--pids-limit", "79", "c1")
}

func (a *adopted) events() error {
	return a.says([]string{`"type":"stats"`}, "events", "--stats", "c1")
}

// verify runs davit verify. It finds differences between the maker and davit, and reports them with
// exit status 3.
func (a *adopted) verify() error {
	if out, status := a.try("verify", "c1"); status != 0 && status != 3 {
		return fmt.Errorf("exit status %d: %s", status, out)
	}
	return nil
}

// makersExec checks that the old runtime, put back in its place, still knows its container.
func (a *adopted) makersExec() error {
	if out, err := a.peer("exec", "c1", "true"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (a *adopted) kill() error {
	if err := a.says(nil, "kill", "c1", "KILL"); err != nil {
		return err
	}
	if !exitWithin(a.pid, 10e9) {
		return fmt.Errorf("process %d is still there", a.pid)
	}
	return a.says([]string{`"status": "stopped"`}, "state", "c1")
}

func (a *adopted) delete() error {
	if err := a.says(nil, "delete", "c1"); err != nil {
		return err
	}
	return a.gone("stopped\n")
}

// force makes a second container in the same way, and deletes it by force.
func (a *adopted) force() error {
	if out, err := a.made(); err != nil {
		return fmt.Errorf("%s: %w: %s", a.maker, err, out)
	}
	if err := a.says(nil, "delete", "--force", "c1"); err != nil {
		return err
	}
	if !exitWithin(a.pid, 10e9) {
		return fmt.Errorf("process %d is still there", a.pid)
	}
	return a.gone("stopped\nstopped\n")
}

// checkpoint makes a third container in the same way and checkpoints it. A restore makes a container of davit's own from that.
func (a *adopted) checkpoint() error {
	needCriu(a.t)
	a.openPath()
	if out, err := a.made(); err != nil {
		return fmt.Errorf("%s: %w: %s", a.maker, err, out)
	}
	if a.kind.created {
		if err := a.says(nil, "start", "c1"); err != nil {
			return err
		}
	}
	images := filepath.Join(a.work, "images")
	if err := a.says(nil, "checkpoint", "--image-path", images, "c1"); err != nil {
		return err
	}
	if err := a.gone("stopped\nstopped\nstopped\n"); err != nil {
		return err
	}
	restore := append([]string{"restore", "--detach", "--bundle", a.bundle, "--image-path", images}, a.extra...)
	if a.unit != "" {
		restore = append([]string{"--systemd-cgroup"}, restore...)
	}
	if err := a.says(nil, append(restore, "c1")...); err != nil {
		log, _ := os.ReadFile(filepath.Join(images, "restore.log"))
		return fmt.Errorf("%w\n%s", err, log)
	}
	if out, status := a.try("state", "c1"); status != 0 || strings.Contains(out, "maker") || !strings.Contains(out, `"status": "running"`) {
		return fmt.Errorf("state after restore: %d, %s", status, out)
	}
	if err := a.says([]string{"NoNewPrivs:\t1"}, "exec", "c1", "cat", "/proc/1/status"); err != nil && a.kind.name != "host's pids" {
		return err
	}
	if err := a.says(nil, "delete", "--force", "c1"); err != nil {
		return err
	}
	return a.gone("stopped\nstopped\nstopped\nstopped\n")
}

// groups returns those cgroups of the container that exist.
func (a *adopted) groups() []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/*" + a.group)
	v2, _ := filepath.Glob("/sys/fs/cgroup" + a.group)
	return append(v1, v2...)
}

// gone returns an error unless everything that the container had is gone, and its poststop hook has
// run once.
func (a *adopted) gone(hooks string) error {
	if _, err := os.Stat(filepath.Join(a.root, "c1")); !os.IsNotExist(err) {
		return fmt.Errorf("the state directory: %v", err)
	}
	if have, _ := os.ReadFile(filepath.Join(a.work, "hook")); string(have) != hooks {
		return fmt.Errorf("the poststop hook left %q, not %q", have, hooks)
	}
	if left := a.groups(); len(left) > 0 {
		return fmt.Errorf("cgroups: %q", left)
	}
	if a.unit != "" {
		if out, _ := exec.Command("systemctl", "is-active", a.unit).Output(); strings.TrimSpace(string(out)) == "active" {
			return fmt.Errorf("systemd's %s is still active", a.unit)
		}
	}
	return nil
}
