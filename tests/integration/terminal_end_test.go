package integration

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A program on a terminal sees the end of davit's input, whatever that input is (cron, CI, a pipe).
// It sees it however it reads: by lines, by keys as a shell with a line editor does, or in several
// programs one after the other. Nothing hangs.
func TestTerminalEndOfInput(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  string // arguments of the process
		input string // if empty, the input is /dev/null
		how   string
		says  string
	}{
		{"a shell that edits lines", `["sh"]`, "", "", ""},
		{"a shell that edits lines, and a command", `["sh"]`, "id -u; echo so $((40+2))\n", "", "so 42"},
		{"by lines", `["cat"]`, "one\ntwo\n", "", "one\ntwo\n"},
		{"a line without an end", `["cat"]`, "one", "", "oneone"},
		{"one after the other", `["sh","-c","cat; cat; echo all done"]`, "one\n", "", "all done"},
		{"a shell in a shell", `["sh","-c","sh; sh; echo all done"]`, "", "", "all done"},
		{"nobody reads", `["sh","-c","usleep 100000; echo all done"]`, "", "", "all done"},
		{"closed", `["sh","-c","sh; cat; echo all done"]`, "", "closed", "all done"},
		{"without a controlling terminal", `["sh","-c","sh; cat; echo all done"]`, "", "session", "all done"},
		{"end of input is switched off", `["sh","-c","stty -icanon eof undef; dd bs=1 count=1 2>/dev/null | od -tx1; echo all done"]`, "", "", "all done"},
	} {
		for _, verb := range []string{"run", "exec"} {
			t.Run(verb+" "+c.name, func(t *testing.T) {
				b := newBox(t, "process.terminal=true", "process.args="+c.args)
				args := []string{"run", "c1"}
				if verb == "exec" {
					b.edit("process.terminal=false", `process.args=["sleep","1000"]`)
					b.davit("run", "--detach", "c1")
					defer b.davit("delete", "--force", "c1")
					if err := os.WriteFile(b.path("process.json"), []byte(`{"terminal":true,"cwd":"/","env":["PATH=/bin"],"args":`+c.args+`}`), 0o600); err != nil {
						t.Fatal(err)
					}
					args = []string{"exec", "--process", b.path("process.json"), "c1"}
				}
				cmd := b.command(args...)
				if c.how == "closed" {
					cmd = exec.Command("sh", append([]string{"-c", `exec "$@" <&-`, "sh", cmd.Path}, cmd.Args[1:]...)...)
					cmd.Dir = b.bundle
				}
				if c.input != "" {
					cmd.Stdin = strings.NewReader(c.input)
				}
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: c.how == "session"}
				if status := exitCode(runSoon(cmd)); status != 0 {
					t.Errorf("exit status %d: %q", status, out.String())
				}
				if says := strings.ReplaceAll(out.String(), "\r", ""); !strings.Contains(says, c.says) {
					t.Errorf("no %q in %q", c.says, says)
				}
			})
		}
	}
}

// Without a terminal of its own, davit passes Ctrl-C on as a signal.
func TestTerminalSignalWithoutInput(t *testing.T) {
	b := newBox(t, "process.terminal=true", `process.args=["sh","-c","trap 'exit 42' INT; echo >/up; while :; do usleep 20000; done"]`, "root.readonly=false")
	cmd := b.command("run", "c1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := awaitFile(b.path("up")); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(unix.SIGINT)
	if status := exitCode(cmd.Wait()); status != 42 {
		t.Errorf("exit status %d", status)
	}
}
