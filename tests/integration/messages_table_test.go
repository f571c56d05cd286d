package integration

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var messagesPage = flag.String("messages", "", "write what davit, runc and crun say to the entries of testdata/misuses.txt to this `file` (make messages)")

const messagesHead = `# What davit, crun and runc say when something is wrong

Each mistake of [misuses.txt](../tests/integration/testdata/misuses.txt), made with each runtime: the message, with the exit status
if that is not 1. $WORK is the directory that the test works in. ` + "`make messages`" + ` writes this page; it fails if davit accepts
what both others refuse, or refuses without a word.
`

// TestMessagesTable writes docs/messages.md.
func TestMessagesTable(t *testing.T) {
	if *messagesPage == "" {
		t.Skip("make messages writes docs/messages.md")
	}
	needRoot(t)
	data, err := os.ReadFile("testdata/misuses.txt")
	if err != nil {
		t.Fatal(err)
	}
	in := enterPeers(t)
	_, blocks := parseMisuses(string(data))
	var page strings.Builder
	page.WriteString(messagesHead)
	for i := range blocks {
		m := &blocks[i]
		t.Run(strings.ReplaceAll(m.title, " ", "_"), func(t *testing.T) {
			fmt.Fprintf(&page, "\n## %s\n\n", m.title)
			refused := 0
			for _, name := range [...]string{"davit", "crun", "runc"} {
				runtime := []string{davit}
				if name != "davit" && m.path != "" { // where the peers are, PATH has to find them
					continue
				}
				if name != "davit" {
					runtime = in(name)
				}
				says, status := m.made(t, runtime)
				fmt.Fprintf(&page, "%s", name)
				if status != 1 {
					fmt.Fprintf(&page, ", exit status %d", status)
				}
				fmt.Fprintf(&page, ":\n\n```\n%s\n```\n\n", strings.TrimSpace(says))
				switch {
				case name == "davit" && status != 0 && strings.TrimSpace(says) == "":
					t.Error("davit refuses without a word")
				case name == "davit" && status == 0:
					refused = -2
				case status != 0:
					refused++
				}
			}
			_ = os.WriteFile(*messagesPage, []byte(page.String()), 0o644) // write what there is, so that one can see how far it is
			if refused == 0 && m.status != 0 {
				t.Error("davit accepts what the others refuse")
			}
		})
	}
	if err := os.WriteFile(*messagesPage, []byte(page.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// enterPeers returns a function that makes commands run where the peers are installed. It sets that
// place up once, because this takes longer than the commands.
func enterPeers(t *testing.T) func(name string) []string {
	script, err := filepath.Abs("../peers/in")
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(script, "sh", "-c", "echo there; exec cat")
	stay, err := holder.StdinPipe() // the holder ends when this is closed
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stay.Close()
		holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "there\n" {
		t.Fatalf("tests/peers/in: %q, %v", line, err)
	}
	return func(name string) []string {
		return []string{"nsenter", "--mount", "--root", "--target", strconv.Itoa(holder.Process.Pid), "--", "sh", "-c", `cd "$0" && exec "$@"`, workMark, name}
	}
}

// workMark stands for the directory in which a mistake is made.
const workMark = "$WORK"

// made makes the mistake with a runtime, and returns the runtime's message and exit status.
func (m *misuse) made(t *testing.T, runtime []string) (string, int) {
	work := t.TempDir()
	if err := m.prepare(work); err != nil {
		t.Fatal(err)
	}
	runtime = append(runtime[:len(runtime):len(runtime)], "--root", filepath.Join(work, "root"))
	for i := range runtime {
		if runtime[i] == workMark {
			runtime[i] = work
		}
	}
	// stderr is a file and not a pipe: if the container is made nevertheless, it would hold the
	// pipe open.
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	firstFailed := m.makeFirst(work, runtime)
	cmd := m.command(work, runtime)
	cmd.Stderr = stderr
	status := exitCode(runSoon(cmd))
	remove := exec.Command(runtime[0], append(runtime[1:len(runtime):len(runtime)], "delete", "--force", "c1")...)
	remove.Dir = work
	remove.Run()
	text, err := os.ReadFile(stderr.Name())
	if err != nil {
		t.Fatal(err)
	}
	says := string(text)
	if firstFailed != nil {
		t.Logf("%s: %v", filepath.Base(runtime[0]), firstFailed)
	}
	if i := strings.LastIndex(says, ` level=error msg="`); i >= 0 { // runc's log
		says = says[i+len(" level=error msg="):]
		if text, err := strconv.QuotedPrefix(says); err == nil {
			says, _ = strconv.Unquote(text)
		}
	}
	says = regexp.MustCompile(`(?m)^(cgroups in hybrid mode|\d{4}-\d\d-\d\dT[^ ]* )`).ReplaceAllString(says, "")
	return strings.ReplaceAll(strings.ReplaceAll(says, work, "$WORK"), subtree, "$SUBTREE"), status
}
