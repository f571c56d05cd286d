package integration

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// raceSeconds is how long TestRacedRemoval runs; see `make test-race`.
const raceSeconds = "DAVIT_RACE_SECONDS"

// removalTime returns how long the test runs in each of its two ways.
func removalTime(t *testing.T) time.Duration {
	text := os.Getenv(raceSeconds)
	if text == "" {
		return raceTime()
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", raceSeconds, err)
	}
	return time.Duration(seconds) * time.Second / 2
}

// removalKind is something that davit makes or looks up while others remove, make and exchange
// names.
type removalKind struct {
	name  string
	edits []string
	dev   bool     // the names are those of /dev in the root filesystem, and not of the volume
	names []string // names that the attacker takes, below the volume or /dev
	how   string   // "": run; else exec or terminal
}

var removalKinds = []removalKind{
	{name: "tmpfs", names: []string{"a"}, edits: []string{`mounts+={"destination":"/vol/a","type":"tmpfs","source":"tmpfs"}`}},
	{name: "read-only tmpfs", names: []string{"a"}, edits: []string{`mounts+={"destination":"/vol/a","type":"tmpfs","source":"tmpfs","options":["ro"]}`}},
	{name: "nested", names: []string{"a", "a/b", "a/b/c"}, edits: []string{`mounts+={"destination":"/vol/a/b/c","type":"tmpfs","source":"tmpfs"}`}},
	{name: "bind", names: []string{"a", "a/b"}, edits: []string{`mounts+={"destination":"/vol/a/b","type":"bind","source":"EVIL","options":["rbind"]}`}},
	{name: "recursive bind", names: []string{"a", "sub/b", "sub"}, edits: []string{
		`mounts+={"destination":"/vol/a","type":"bind","source":"VOLUME","options":["rbind"]}`,
		`mounts+={"destination":"/vol/a/sub/b","type":"bind","source":"EVIL","options":["rbind","rro"]}`}},
	{name: "file", names: []string{"a", "a/f"}, edits: []string{`mounts+={"destination":"/vol/a/f","type":"bind","source":"EVIL/hook","options":["bind"]}`}},
	{name: "tmpcopyup", names: []string{"a", "a/b", "a/b/x"}, edits: []string{`mounts+={"destination":"/vol/a/b","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`}},
	{name: "device", names: []string{"a", "a/dev"}, edits: []string{`linux.devices=[{"path":"/vol/a/dev/node","type":"c","major":1,"minor":3,"uid":1000,"gid":1000},{"path":"/vol/a/dev/fifo","type":"p","uid":1000}]`}},
	{name: "cwd", names: []string{"a", "a/b"}, edits: []string{`process.cwd=/vol/a/b/c`, "process.user.uid=1000"}},
	{name: "masks", names: []string{"a", "a/b", "a/f"}, edits: []string{`linux.maskedPaths=["/vol/a/b","/vol/a/f","/vol/a"]`}},
	{name: "read-only paths", names: []string{"a", "a/b", "a/f"}, edits: []string{`linux.readonlyPaths=["/vol/a/b","/vol/a/f","/vol/a"]`}},
	{name: "proc", names: []string{"a", "a/proc"}, edits: []string{`mounts+={"destination":"/vol/a/proc","type":"proc","source":"proc"}`}},
	{name: "exec", names: []string{"a", "a/b"}, how: "exec"},
	{name: "devices", dev: true, names: []string{"null", "pts", "shm", "fd", "full"}, edits: []string{
		`mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev/shm","type":"tmpfs","source":"shm"}]`}},
	{name: "terminal", dev: true, names: []string{"console", "pts", "ptmx"}, how: "terminal", edits: []string{"process.terminal=true",
		`mounts=[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}]`}},
}

// vandal changes names below a directory that it shares with the container that is being made. It
// never changes anything beside that directory.
type vandal struct {
	dir     int // descriptor of the volume or of /dev
	aside   int // another volume, on the same filesystem
	names   []string
	targets []string // files of the host to which its links lead
	count   atomic.Int64
}

// parent opens the directory of a name below the vandal's directory, and follows no links.
func (v *vandal) parent(name string) (int, string, error) {
	dir, last := filepath.Split(name)
	fd, err := unix.Openat2(v.dir, "./"+dir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	return fd, last, err
}

// act changes one of the names in one way.
func (v *vandal) act() {
	v.count.Add(1)
	dir, name, err := v.parent(v.names[rand.IntN(len(v.names))])
	if err != nil { // the parent is gone: make it again
		unix.Mkdirat(v.dir, v.names[0], 0o777)
		return
	}
	defer unix.Close(dir)
	other := fmt.Sprintf("old%d", rand.IntN(8))
	target := v.targets[rand.IntN(len(v.targets))]
	clear := func() {
		if unix.Unlinkat(dir, name, 0) != nil && unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) != nil {
			unix.Renameat(dir, name, v.aside, fmt.Sprintf("gone%d", rand.IntN(1000)))
		}
	}
	switch rand.IntN(10) {
	case 0:
		clear()
	case 1: // move it out of the volume, while somebody may have it open
		unix.Renameat2(dir, name, v.aside, other, unix.RENAME_NOREPLACE)
	case 2:
		unix.Renameat2(v.aside, other, dir, name, unix.RENAME_NOREPLACE)
	case 3:
		unix.Renameat2(v.aside, other, dir, name, unix.RENAME_EXCHANGE)
	case 4:
		clear()
		unix.Mkdirat(dir, name, 0o777)
	case 5:
		clear()
		if fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_WRONLY, 0o666); err == nil {
			unix.Close(fd)
		}
	case 6:
		clear()
		unix.Symlinkat(target, dir, name)
	case 7:
		clear()
		unix.Symlinkat(strings.Repeat("../", rand.IntN(20))+strings.TrimPrefix(target, "/"), dir, name)
	default: // a link of many steps to a missing file
		clear()
		first := fmt.Sprintf("d%d", rand.IntN(3))
		chain := climbingLink(first, target)
		if dots := rand.IntN(1000); rand.IntN(2) == 0 { // leave most of the steps out
			chain = first + "/" + strings.Repeat("./", dots/20) + chain[strings.Index(chain, "../"):]
		}
		unix.Symlinkat(chain, dir, name)
	}
	for i := range 3 { // davit makes these for such a link
		if rand.IntN(2) == 0 {
			unix.Unlinkat(v.dir, fmt.Sprintf("d%d", i), unix.AT_REMOVEDIR)
			unix.Unlinkat(dir, fmt.Sprintf("d%d", i), unix.AT_REMOVEDIR)
		}
	}
}

// canary returns everything about a tree that must stay as it is.
func canary(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %o %d:%d links %d size %d changed %d.%09d", path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// arena has a host with a canary, a volume, and bundles without and with a user namespace.
type arena struct {
	t                   *testing.T
	boxes               [2]*box
	host, volume, aside string
	mountinfo, breach   string
	configs             [2][]string // for each box, the configs of removalKinds
	before              string
}

func newArena(t *testing.T) *arena {
	t.Helper()
	a := &arena{t: t}
	for i := range a.boxes {
		a.boxes[i] = newBox(t, "root.readonly=false", `process.args=["true"]`)
	}
	work := a.boxes[0].work
	a.host, a.volume, a.aside = filepath.Join(work, "host"), filepath.Join(work, "volume"), filepath.Join(work, "aside")
	// The container's users may enter and write everywhere, so that only davit's own checks protect
	// the host.
	for _, dir := range []string{a.host, a.host + "/hooks", a.host + "/dir", a.volume, a.aside, a.volume + "/evil", a.aside + "/old0", a.aside + "/old1"} {
		if err := errorsOf(os.MkdirAll(dir, 0o777), os.Chmod(dir, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	a.mountinfo, a.breach = filepath.Join(work, "mountinfo"), filepath.Join(work, "breach")
	mustWrite(t, a.host+"/secret", "secret\n")
	mustWrite(t, a.host+"/dir/file", "file\n")
	mustWrite(t, a.host+"/hooks/hook", "#!/bin/sh\ncat /proc/self/mountinfo >>"+a.mountinfo+"\n")
	mustWrite(t, a.volume+"/evil/hook", "#!/bin/sh\nid >>"+a.breach+"\n")
	for _, path := range []string{a.mountinfo, a.breach} {
		mustWrite(t, path, "")
		os.Chmod(path, 0o666)
	}
	for i, b := range a.boxes {
		if i == 1 {
			b.userNamespace()
			for dir, mode := range map[string]os.FileMode{b.path("dev"): 0o777, filepath.Dir(b.bundle): 0o755, work: 0o755, filepath.Dir(work): 0o755} {
				if err := os.Chmod(dir, mode); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.edit("linux.cgroupsPath="+fmt.Sprintf("%s/removal%d", subtree, i), `hooks={"createContainer":[{"path":"`+a.host+`/hooks/hook"}]}`)
		a.compileConfigs(i)
	}
	a.before = canary(t, a.host)
	return a
}

// compileConfigs writes the config of each kind.
func (a *arena) compileConfigs(i int) {
	a.t.Helper()
	b := a.boxes[i]
	path := filepath.Join(b.bundle, "config.json")
	common, err := os.ReadFile(path)
	if err != nil {
		a.t.Fatal(err)
	}
	replace := strings.NewReplacer("EVIL", a.volume+"/evil", "VOLUME", a.volume)
	for _, k := range removalKinds {
		if err := os.WriteFile(path, common, 0o644); err != nil {
			a.t.Fatal(err)
		}
		for _, e := range k.edits {
			b.edit(replace.Replace(e))
		}
		// These come before all other mounts, except those of the default config.
		var volumes []string
		for name, dir := range map[string]string{"vol": a.volume, "aside": a.aside} {
			volumes = append(volumes, `{"destination":"/`+name+`","type":"bind","source":"`+dir+`","options":["rbind"]}`)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			a.t.Fatal(err)
		}
		at := strings.Index(string(data), `"mounts": [`) + len(`"mounts": [`)
		a.configs[i] = append(a.configs[i], string(data[:at])+strings.Join(volumes, ",")+","+string(data[at:]))
	}
}

// escaped returns the mount on the host's canary, if there is one, in the mount namespace of a
// thread that has not left the host's root yet.
func (a *arena) escaped(mountinfo, rootfs string) string {
	if !strings.Contains(mountinfo, " "+rootfs+" ") {
		return ""
	}
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 && (fields[4] == a.host || strings.HasPrefix(fields[4], a.host+"/")) {
			return line
		}
	}
	return ""
}

// check fails the test if something has happened that must not happen.
func (a *arena) check(b *box, what, out string, status int) {
	a.t.Helper()
	if status < 0 || strings.Contains(out, "the stage ended") || strings.Contains(out, "panic") {
		a.t.Fatalf("%s: exit status %d: %s", what, status, out)
	}
	if after := canary(a.t, a.host); after != a.before {
		a.t.Fatalf("%s: the host's files changed:\n%s\nfrom\n%s\n%s", what, after, a.before, out)
	}
	if data, _ := os.ReadFile(a.breach); len(data) > 0 {
		a.t.Fatalf("%s: the attacker's program has run as a hook: %s", what, data)
	}
	data, _ := os.ReadFile(a.mountinfo)
	if line := a.escaped(string(data), b.path("")); line != "" {
		a.t.Fatalf("%s: mounted on the host's directory: %s", what, line)
	}
	if err := os.Truncate(a.mountinfo, 0); err != nil {
		a.t.Fatal(err)
	}
}

// restore makes the volume and /dev usable again, from time to time, so that some containers can be
// made.
func (a *arena) restore(v *vandal) {
	for _, dir := range []string{a.aside, a.volume} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if name := e.Name(); strings.HasPrefix(name, "gone") || dir == a.volume && name != "evil" {
				os.RemoveAll(filepath.Join(dir, name))
			}
		}
	}
	for _, name := range []string{"old0", "old1"} {
		os.MkdirAll(filepath.Join(a.aside, name), 0o777)
	}
	unix.Mkdirat(v.dir, v.names[0], 0o777)
}

// round makes one container, or process, while the vandal acts, and returns whether davit
// succeeded.
func (a *arena) round(kind int, userns, byCall bool) bool {
	k, b := &removalKinds[kind], a.boxes[0]
	if userns {
		b = a.boxes[1]
	}
	what := fmt.Sprintf("%s, user namespace %t, at each call %t", k.name, userns, byCall)
	config := a.configs[map[bool]int{true: 1}[userns]][kind]
	if rand.IntN(2) == 0 { // with the hook, the host's mounts stay; without it, the stage leaves them first
		config = strings.Replace(config, `"createContainer"`, `"none"`, 1)
		what += ", without a hook"
	}
	if err := os.WriteFile(filepath.Join(b.bundle, "config.json"), []byte(config), 0o644); err != nil {
		a.t.Fatal(err)
	}
	dir := a.volume
	if k.dev {
		dir = b.path("dev")
	}
	v := &vandal{names: k.names, targets: []string{a.host + "/hooks", a.host + "/dir", a.host + "/made/by/davit", a.host}}
	for fd, path := range map[*int]string{&v.dir: dir, &v.aside: a.aside} {
		var err error
		if *fd, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			a.t.Fatal(err)
		}
		defer unix.Close(*fd)
	}
	a.restore(v)
	for range rand.IntN(4) {
		v.act()
	}
	args := []string{"run", "c1"}
	if k.how == "exec" {
		args = []string{"exec", "--cwd", "/vol/a/b", "c0", "true"}
	}
	var out string
	status := 1
	switch {
	case byCall && k.how != "terminal":
		out = a.byCall(b, v, what, args)
		if !strings.Contains(out, "davit: ") {
			status = 0
		}
	default:
		stop := a.meanwhile(v)
		if k.how == "terminal" {
			out, status = b.onTerminal(args...)
		} else {
			out, status = b.try(args...)
		}
		stop()
	}
	a.check(b, what, out, status)
	return status == 0
}

// byCall lets the vandal act before each of the stage's system calls.
func (a *arena) byCall(b *box, v *vandal, what string, args []string) string {
	a.t.Helper()
	eager := rand.IntN(3) // how much the vandal does at a call; it does not always do everything at once
	out, _ := b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
		if commOf(thread) != "davit-stage" {
			return true
		}
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", thread)); err == nil {
			if line := a.escaped(string(data), b.path("")); line != "" {
				a.t.Errorf("%s: mounted on the host's directory: %s", what, line)
			}
		}
		if eager > 0 || rand.IntN(8) == 0 {
			for range 1 + eager {
				v.act()
			}
		}
		return true
	}, args...)
	return out
}

// meanwhile lets the vandal act until stop is called.
func (a *arena) meanwhile(v *vandal) (stop func()) {
	var over atomic.Bool
	done := make(chan struct{})
	pause := time.Duration(rand.IntN(3)) * 50 * time.Microsecond
	go func() {
		defer close(done)
		for !over.Load() {
			v.act()
			time.Sleep(pause)
		}
	}()
	return func() { over.Store(true); <-done }
}

// TestRacedRemoval: while a container is made, names in a volume (or in the image's /dev) are
// removed, made again, exchanged and led elsewhere. Nothing of the host may change, and nothing may
// be mounted there. The test does this without and with a user namespace, while davit runs and
// before each system call of the stage, with links that lead nowhere, by a thousand steps, and up.
// `make test-race SECONDS=3600` runs it for an hour.
func TestRacedRemoval(t *testing.T) {
	a := newArena(t)
	for i, b := range a.boxes { // exec uses these containers
		at := slices.IndexFunc(removalKinds, func(k removalKind) bool { return k.how == "exec" })
		config := a.configs[i][at]
		if err := os.WriteFile(filepath.Join(b.bundle, "config.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		b.edit(`process.args=["sleep","100000"]`, "linux.cgroupsPath="+fmt.Sprintf("%s/removal-exec%d", subtree, i))
		b.davit("run", "-d", "c0")
		t.Cleanup(func() { b.try("delete", "--force", "c0") })
	}
	os.Truncate(a.mountinfo, 0)
	var tried, made, rounds int
	latest := time.Now().Add(2*removalTime(t) + time.Minute)
	for _, byCall := range []bool{false, true} {
		end := time.Now().Add(removalTime(t))
		// On a busy host the attacker may win the first rounds. So the test continues until
		// something was made.
		goesOn := func() bool {
			now := time.Now()
			return !t.Failed() && (now.Before(end) || made == 0 && now.Before(latest))
		}
		for ; goesOn(); rounds++ {
			for kind := range removalKinds {
				userns := rand.IntN(2) == 0
				if userns && removalKinds[kind].name == "device" { // in a user namespace, the host's node with that path is bound
					userns = false
				}
				tried++
				if a.round(kind, userns, byCall) {
					made++
				}
				if !goesOn() {
					break
				}
			}
		}
	}
	report := fmt.Sprintf("%d rounds, %d containers and processes tried, %d of them made; %s\n", rounds, tried, made, map[bool]string{
		true: "SOMETHING OF THE HOST CHANGED", false: "nothing of the host changed"}[t.Failed()])
	t.Log(report)
	if os.Getenv(raceSeconds) != "" {
		fmt.Print(report)
	}
	if made == 0 {
		t.Error("nothing was made: the test shows nothing")
	}
}
