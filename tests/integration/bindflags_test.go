package integration

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var updateBindFlags = flag.Bool("update-bind-flags", false, "write what davit, runc and crun do to the tables of docs/spec.md")

// bindTable is one of the tables of docs/spec.md that say which flags a bind mount has.
type bindTable struct {
	marker  string   // <!-- marker --> stands before the table and after it
	user    bool     // the container has a user namespace
	sources []string // the flags of the source's mount: options of mount(8)
	options []string // options of the bind mount, separated by commas
}

var bindTables = []bindTable{
	{
		marker:  "bind-flags",
		sources: []string{"rw", "nosuid,nodev,noexec", "ro,nosuid", "noatime,nodiratime"},
		options: []string{
			"bind", "rbind,rprivate", "bind,", "rbind,rw", "rbind,rprivate,rw", "bind,ro", "bind,nosuid", "bind,exec", "bind,suid,dev,exec",
			"bind,noexec,rw", "bind,ro,rw", "bind,async", "bind,nosymfollow", "bind,noatime", "bind,relatime", "bind,strictatime",
			"bind,nodiratime", "bind,atime", "bind,diratime", "rbind,rro", "rbind,rrw", "rbind,rnosuid", "rbind,rw,rnosuid", "rbind,ro,rnoexec",
		},
	},
	{
		marker:  "bind-flags-user",
		user:    true,
		sources: []string{"rw", "nosuid,nodev,noexec", "ro,nosuid", "noatime"},
		options: []string{
			"bind", "rbind,rprivate", "rbind,rprivate,rw", "bind,ro", "bind,nosuid", "bind,exec", "bind,noatime", "bind,relatime", "bind,async",
			"rbind,rro", "rbind,rrw", "rbind,rexec",
		},
	},
}

// TestBindFlags binds sources that have each of several sets of flags, with each of several sets of
// options, and compares the flags of the resulting mounts with the tables of docs/spec.md. It
// compares davit's, and with $DAVIT_TEST_PEERS also those of runc and crun, which tests/peers/root
// has installed (`make test-peers`).
func TestBindFlags(t *testing.T) {
	needRoot(t)
	runtimes := []string{"davit"}
	in, err := filepath.Abs("../peers/in")
	must(t, err)
	cache := "/var/cache/davit-tests"
	if dir := os.Getenv("DAVIT_TEST_CACHE"); dir != "" {
		cache = dir
	}
	if _, err := os.Stat(filepath.Join(cache, "sid/usr/bin/crun")); err == nil && isUnified() && os.Getenv("DAVIT_TEST_PEERS") != "" { // crun needs cgroup v2
		runtimes = append(runtimes, "runc", "crun")
	} else if *updateBindFlags {
		t.Fatal("-update-bind-flags needs tests/peers/root, DAVIT_TEST_PEERS=1 and DAVIT_VIEW=unified")
	}
	const path = "../../docs/spec.md"
	data, err := os.ReadFile(path)
	must(t, err)
	doc := string(data)
	for _, table := range bindTables {
		t.Run(table.marker, func(t *testing.T) {
			b := newBinder(t, table, in)
			have := map[string]string{}
			for _, source := range sampled(table.sources, len(table.sources)) {
				for _, rt := range runtimes {
					b.measure(rt, source, have)
				}
			}
			mark := "<!-- " + table.marker + " -->\n"
			parts := strings.Split(doc, mark)
			if len(parts) != 3 {
				t.Fatalf("%s: want %q twice", path, mark)
			}
			if *updateBindFlags {
				parts[1] = table.format(have)
				doc = strings.Join(parts, mark)
				must(t, os.WriteFile(path, []byte(doc), 0o644))
				return
			}
			want := table.parse(parts[1])
			if len(want) != len(table.sources)*len(table.options)*3 {
				t.Fatalf("%s has %d results: run this test with -update-bind-flags", path, len(want))
			}
			for key, flags := range have {
				if flags != want[key] {
					t.Errorf("%s: %q, not %q", key, flags, want[key])
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// binder runs containers that bind one source by some options.
type binder struct {
	*testing.T
	bindTable
	in, bundle, source string
	config             []byte // without the mounts that the test measures
}

func newBinder(t *testing.T, table bindTable, in string) *binder {
	dir := t.TempDir()
	b := &binder{T: t, bindTable: table, in: in, bundle: filepath.Join(dir, "bind"), source: filepath.Join(dir, "source")}
	must(t, makeBundle(b.bundle))
	must(t, os.Mkdir(b.source, 0o755))
	edits := []string{`root.readonly=false`, `process.args=["cat","/proc/self/mountinfo"]`, "process.rlimits-"}
	if table.user {
		for at := dir; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
			must(t, os.Chmod(at, 0o755))
		}
		edits = append(edits, `linux.namespaces+={"type":"user"}`, `linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`,
			`linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`)
	}
	for i := range table.options {
		must(t, os.MkdirAll(filepath.Join(b.bundle, "rootfs/m", fmt.Sprint(i)), 0o755))
	}
	must(t, editConfig(b.bundle, edits))
	data, err := os.ReadFile(filepath.Join(b.bundle, "config.json"))
	must(t, err)
	b.config = data
	return b
}

// measure stores the flags of the mounts in have. It uses one container for all options, or if a
// runtime refuses one of them, one for each.
func (b *binder) measure(rt, source string, have map[string]string) {
	must(b, exec.Command("mount", "-t", "tmpfs", "-o", source, "source", b.source).Run())
	defer unix.Unmount(b.source, unix.MNT_DETACH)
	all := make([]int, len(b.options))
	for i := range all {
		all[i] = i
	}
	if b.run(rt, source, all, have) == nil {
		return
	}
	for _, i := range all {
		if b.run(rt, source, []int{i}, have) != nil {
			have[key(rt, source, b.options[i])] = "error"
		}
	}
}

func key(rt, source, options string) string { return rt + " of " + source + " by " + options }

func (b *binder) run(rt, source string, which []int, have map[string]string) error {
	var mounts []string
	for _, i := range which {
		words := `"` + strings.ReplaceAll(b.options[i], ",", `","`) + `"`
		mounts = append(mounts, fmt.Sprintf(`mounts+={"destination":"/m/%d","type":"bind","source":%q,"options":[%s]}`, i, b.source, words))
	}
	must(b, os.WriteFile(filepath.Join(b.bundle, "config.json"), b.config, 0o644))
	must(b, editConfig(b.bundle, mounts))
	command := []string{davit}
	if rt != "davit" {
		command = []string{b.in, rt}
	}
	state := b.TempDir()
	out, err := exec.Command(command[0], append(command[1:], "--root", state, "run", "--bundle", b.bundle, "bind")...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			b.Logf("%s: %s", key(rt, source, fmt.Sprint(which)), exit.Stderr)
		}
		return err
	}
	for _, i := range which {
		m := regexp.MustCompile(fmt.Sprintf(`(?m)^\d+ \d+ \S+ \S+ /m/%d (\S+) `, i)).FindSubmatch(out)
		if m == nil {
			return fs.ErrNotExist
		}
		have[key(rt, source, b.options[i])] = string(m[1])
	}
	return nil
}

// format writes a table. A cell has what davit does, then in parentheses what runc or crun does
// differently.
func (b *bindTable) format(have map[string]string) string {
	var s strings.Builder
	s.WriteString("| options | source " + strings.Join(b.sources, " | source ") + " |\n|" + strings.Repeat(" --- |", len(b.sources)+1) + "\n")
	for _, options := range b.options {
		s.WriteString("| " + options + " |")
		for _, source := range b.sources {
			cell := have[key("davit", source, options)]
			for _, rt := range []string{"runc", "crun"} {
				if flags := have[key(rt, source, options)]; flags != have[key("davit", source, options)] {
					cell += fmt.Sprintf(" (%s: %s)", rt, flags)
				}
			}
			s.WriteString(" " + cell + " |")
		}
		s.WriteString("\n")
	}
	return s.String()
}

// parse reverses format.
func (b *bindTable) parse(text string) map[string]string {
	want := map[string]string{}
	peer := regexp.MustCompile(`\((runc|crun): ([a-z,]+)\)`)
	for line := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != len(b.sources)+1 || strings.Contains(line, "---") || strings.Contains(line, "options") {
			continue
		}
		options := strings.TrimSpace(cells[0])
		for i, source := range b.sources {
			davits, _, _ := strings.Cut(strings.TrimSpace(cells[i+1]), " ")
			for _, rt := range []string{"davit", "runc", "crun"} {
				want[key(rt, source, options)] = davits
			}
			for _, m := range peer.FindAllStringSubmatch(cells[i+1], -1) {
				want[key(m[1], source, options)] = m[2]
			}
		}
	}
	return want
}
