// Package gorunc calls davit, and Debian's newest runc beside it, with containerd's own library: it
// makes every call of github.com/containerd/go-runc, with the options that containerd's shim gives.
//
//	make test-gorunc          prints the table of calls and results
//	UPDATE=1 make test-gorunc writes it to docs/gorunc.md
package gorunc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	runc "github.com/containerd/go-runc"
)

// differs lists the calls whose results differ from runc's, and why.
var differs = map[string]string{
	"Version":           "davit's own; called by the name runc, it says so in runc's words",
	"Features":          "spec 1.3 where this runc has 1.2",
	"List, none":        "runc's --root must be there; davit has no containers without it, as crun",
	`Top, ""`:           "no options are the default ones",
	"Restore, detached": "with runc, CRIU cannot make its directory in /tmp, which this read-only root filesystem lacks; davit makes it",
}

func TestGoRunc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	davit := os.Getenv("DAVIT")
	if davit == "" {
		davit = filepath.Join(root, "bin/davit")
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "runc") // the usual way to install it
	must(t, os.Symlink(davit, link))
	peer := filepath.Join(dir, "peer")
	must(t, os.WriteFile(peer, fmt.Appendf(nil, "#!/bin/sh\nexec %s/tests/peers/in runc \"$@\"\n", root), 0o755))

	ours := drive(t, link, "davit")
	theirs := drive(t, peer, "runc")
	table := compare(t, ours, theirs)
	t.Log("\n" + table)
	if os.Getenv("UPDATE") != "" {
		text := "# davit driven by containerd's go-runc\n\nWritten by `UPDATE=1 make test-gorunc`, which fails where a result is not runc's without a reason.\n\n" + table
		must(t, os.WriteFile(filepath.Join(root, "docs/gorunc.md"), []byte(text), 0o644))
	}
}

// compare makes the table, and fails for each difference that has no reason.
func compare(t *testing.T, ours, theirs []result) string {
	var b strings.Builder
	b.WriteString("| call | davit | runc | the same |\n| --- | --- | --- | --- |\n")
	if len(ours) != len(theirs) {
		t.Errorf("%d calls of davit, %d of runc", len(ours), len(theirs))
	}
	for i := range min(len(ours), len(theirs)) {
		o, r := ours[i], theirs[i]
		same := "yes"
		if o.text != r.text {
			why, known := differs[o.call]
			same = "no: " + why
			if !known {
				same = "NO"
				t.Errorf("%s: davit %s; runc %s", o.call, o.text, r.text)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", o.call, o.text, r.text, same)
	}
	return b.String()
}

type result struct{ call, text string }

// driver makes the calls, and records the result of each.
type driver struct {
	*testing.T
	*runc.Runc
	ctx     context.Context
	dir     string // the bundle and everything else
	id      string
	results []result
}

// note records a call's result: a value, or the essence of an error.
func (d *driver) note(call string, err error, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if err != nil {
		text = "error: " + essence(err)
	}
	d.results = append(d.results, result{call, text})
}

// essence returns the part of an error that containerd looks at: certain words, or the exit status.
func essence(err error) string {
	for _, words := range []string{
		"does not exist", "stopped container", "container not running", "process already finished", "already exists", "not stopped: running",
		"executable file not found in $PATH", "already running", "paused container", "not paused", "not supported", "garbage option",
	} {
		if strings.Contains(err.Error(), words) {
			return words
		}
	}
	var exit *runc.ExitError
	if errors.As(err, &exit) {
		return fmt.Sprintf("exit status %d", exit.Status)
	}
	return "another: " + strings.ReplaceAll(err.Error(), "\n", " ")
}

// logged adds the log's last line to an error, as the shim does, because the error says only "exit
// status".
func (d *driver) logged(err error) error {
	if err == nil {
		return nil
	}
	data, _ := os.ReadFile(d.Runc.Log)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bundle makes a bundle around a busybox, with the config that the runtime itself writes.
func (d *driver) bundle(name string, args ...string) string {
	dir := filepath.Join(d.dir, name)
	bin := filepath.Join(dir, "rootfs/bin")
	must(d.T, os.MkdirAll(bin, 0o755))
	busybox, err := os.ReadFile("/bin/busybox")
	must(d.T, err)
	must(d.T, os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755))
	for _, applet := range []string{"sh", "sleep", "true", "false", "echo", "cat", "tty"} {
		must(d.T, os.Symlink("busybox", filepath.Join(bin, applet)))
	}
	out, err := exec.Command(d.Command, "spec", "--bundle", dir).CombinedOutput()
	if err != nil {
		d.Fatalf("spec: %v: %s", err, out)
	}
	d.edit(dir, d.id+name, args)
	return dir
}
