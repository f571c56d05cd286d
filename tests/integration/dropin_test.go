package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var updateDropIn = flag.Bool("update-drop-in", false, "write what TestDropIn has seen to docs/drop-in.md")

const dropInPage = "../../docs/drop-in.md"

// dropInCase is a situation in which davit, runc and crun are compared.
type dropInCase struct {
	number string // its number in docs/drop-in.md
	tried  string
	test   string   // the test of davit without the peers: a script or a function of this package
	edits  []string // edits of the bundle's config; @/ is the case's directory
	script string   // run by sh in the case's directory; its output is compared
	why    string   // why davit differs from runc or crun
}

// dropInPrelude begins every script: rt is the runtime, run runs the bundle. An error becomes the
// word "error"; its text goes to the test's log.
const dropInPrelude = `
rt() { "$RT" --root "$PWD/state" "$@"; }
try() { if "$@" 2>"$PWD/err" </dev/null; then :; else status=$?; echo error; { echo "status $status"; cat "$PWD/err"; } >&2; return $status; fi; }
run() { try rt run --bundle "$PWD/b" "$@" "$ID"; }
up() { try rt $FLAGS run --detach --bundle "$PWD/b" "$ID" >"$PWD/out"; cat "$PWD/out"; }
end() { rt delete --force "$ID" >/dev/null 2>&1 || :; [ "$NAME" = davit ] || rmdir /sys/fs/cgroup$SUBTREE/$ID /sys/fs/cgroup/*$SUBTREE/$ID 2>/dev/null || :; }
await() { n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 200 ] || { echo "never: $*"; return 0; }; sleep 0.05; done; }
stopped() { await sh -c '"$RT" --root "$PWD/state" state "$ID" | grep -q stopped'; }
trap end EXIT
`

// dropInPlace returns which part of docs/drop-in.md this host can write, its cases, and the
// runtimes that run here.
func dropInPlace() (mark string, cases []dropInCase, runtimes []string) {
	runtimes = []string{"davit", "runc", "crun"}
	if _, err := os.Stat("/run/systemd/system"); err == nil && isUnified() {
		return "systemd", dropInSystemd, runtimes
	}
	if isUnified() {
		return "v2", append(dropInCases, dropInCrun...), runtimes
	}
	return "v1", dropInV1, runtimes[:2] // crun refuses a layout that has cgroup v1 and v2
}

// TestDropIn compares what davit, runc and crun do in the same run, and compares the result with
// docs/drop-in.md. Where davit differs from a peer, the case says why. The test needs the peers of
// tests/peers/root, and $DAVIT_TEST_PEERS (`make test-peers`).
func TestDropIn(t *testing.T) {
	needRoot(t)
	if os.Getenv("DAVIT_TEST_PEERS") == "" {
		t.Skip("the peers are asked for with DAVIT_TEST_PEERS")
	}
	root := filepath.Join(peersCache(), "sid")
	mark, cases, runtimes := dropInPlace()
	page, err := os.ReadFile(dropInPage)
	must(t, err)
	mark = "<!-- " + mark + " -->\n"
	parts := strings.Split(string(page), mark)
	if len(parts) != 3 {
		t.Fatalf("%s: want %q twice", dropInPage, mark)
	}
	head := "| number | tried | davit |"
	for _, rt := range runtimes[1:] {
		head += " " + versionOf(t, root, rt) + " |"
	}
	binary, err := os.ReadFile(davit)
	must(t, err)
	path := filepath.Join(os.TempDir(), "davit") // the peers' root has this path, too
	must(t, os.WriteFile(path, binary, 0o755))
	for at := os.TempDir(); len(at) > 1; at = filepath.Dir(at) {
		if at != "/tmp" {
			must(t, os.Chmod(at, 0o755))
		}
	}
	table := head + " test of davit |\n|" + strings.Repeat(" --- |", len(runtimes)+3) + "\n"
	for i := range cases {
		c := &cases[i]
		row := c.rowOf(parts[1]) // used if this case is not run
		t.Run(c.number+"/"+c.tried, func(t *testing.T) {
			checkLeaks(t, t.TempDir())
			var did []string
			for _, rt := range runtimes {
				at := rt
				if rt == "davit" {
					at = path
				}
				did = append(did, c.try(t, root, rt, at, fmt.Sprintf("dropin%d", i)))
			}
			t.Logf("%q", did)
			row = c.row(t, did)
			if !*updateDropIn && !strings.Contains(parts[1], row) {
				t.Errorf("not in %s (make test-peers UPDATE=1): %s", dropInPage, row)
			}
		})
		table += row
	}
	if *updateDropIn {
		page, err := os.ReadFile(dropInPage) // another view may have written its table meanwhile
		must(t, err)
		parts = strings.Split(string(page), mark)
		parts[1] = table
		must(t, os.WriteFile(dropInPage, []byte(strings.Join(parts, mark)), 0o644))
	}
}

// rowOf returns the case's line of a table, or "".
func (c *dropInCase) rowOf(table string) string {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, fmt.Sprintf("| %s | %s |", c.number, c.tried)) {
			return line
		}
	}
	return ""
}

// row returns the case's line of the table. It is an error if davit differs without a reason, or if
// the reason no longer holds.
func (c *dropInCase) row(t *testing.T, did []string) string {
	differs := false
	line := fmt.Sprintf("| %s | %s |", c.number, c.tried)
	for i, what := range did {
		if i > 0 && what == did[0] {
			what = "same"
		}
		differs = differs || i > 0 && what != "same"
		line += " " + strings.ReplaceAll(what, "|", "\\|") + " |"
	}
	if differs && c.why == "" {
		t.Errorf("davit does otherwise, without a reason: %q", did)
	}
	if !differs && c.why != "" {
		t.Errorf("davit does the same: %q is no reason any more", c.why)
	}
	line += " " + c.test
	if c.why != "" {
		line += ". " + c.why
	}
	return line + " |\n"
}

// try runs the script with one runtime, in the peers' root, and returns its output as one line.
func (c *dropInCase) try(t *testing.T, root, rt, path, id string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "case")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	defer os.RemoveAll(dir)
	bundle := filepath.Join(dir, "b")
	must(t, makeBundle(bundle))
	edits := append([]string{"root.readonly=false", "process.rlimits-", "linux.cgroupsPath=" + subtree + "/" + id}, c.edits...)
	for i := range edits {
		edits[i] = strings.NewReplacer("@/", dir+"/", "$ID", id).Replace(edits[i])
	}
	must(t, editConfig(bundle, edits))
	cmd := exec.Command("../peers/in", root, "sh", "-c", "cd "+dir+"\n"+dropInPrelude+c.script)
	// In the peers' root systemctl believes that it is in a chroot, and reloads nothing.
	cmd.Env = append(os.Environ(), "SYSTEMD_IGNORE_CHROOT=1", "RT="+path, "NAME="+rt, "ID="+id, "SUBTREE="+subtree, "FLAGS=",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.WaitDelay = time.Second
	var said strings.Builder
	cmd.Stderr = &said
	timer := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
	out, err := cmd.Output()
	if !timer.Stop() {
		out = append(out, "hangs"...)
	}
	if err != nil || said.Len() > 0 {
		t.Logf("%s: %v: %s", rt, err, said.String())
	}
	out = regexp.MustCompile(`(?ms)^Incorrect Usage.*?^error$`).ReplaceAll(out, []byte("error")) // runc's help
	text := strings.NewReplacer(dir, "@", subtree, "$SUBTREE", id, "$ID").Replace(string(out))
	text = regexp.MustCompile(`\s+`).ReplaceAllString(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "), " ")
	if text == "" {
		text = "nothing"
	}
	return text
}

// All tests that docs/drop-in.md names exist.
func TestDropInNames(t *testing.T) {
	scripts, functions := regexp.MustCompile(`^[a-z_]+\.txtar$`), regexp.MustCompile(`^Test\w+$`)
	sources, err := filepath.Glob("*_test.go")
	must(t, err)
	var all strings.Builder
	for _, source := range sources {
		data, err := os.ReadFile(source)
		must(t, err)
		all.Write(data)
	}
	for _, list := range [][]dropInCase{dropInCases, dropInCrun, dropInV1, dropInSystemd} {
		for _, c := range list {
			for name := range strings.SplitSeq(c.test, ", ") {
				directory, function, elsewhere := strings.Cut(name, ":")
				switch {
				case scripts.MatchString(name):
					if _, err := os.Stat(filepath.Join("testdata/script", name)); err != nil {
						t.Errorf("%s, %s: no script %s", c.number, c.tried, name)
					}
				case elsewhere && functions.MatchString(function):
					if exec.Command("grep", "-q", "^func "+function+"(", "-r", "--include=*_test.go", filepath.Join("../..", directory)).Run() != nil {
						t.Errorf("%s, %s: no test %s", c.number, c.tried, name)
					}
				case !functions.MatchString(name) || !strings.Contains(all.String(), "\nfunc "+name+"("):
					t.Errorf("%s, %s: no test %s", c.number, c.tried, name)
				}
			}
		}
	}
}
