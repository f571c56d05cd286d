package integration

import (
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
	in, err := filepath.Abs("../peers/in")
	if err != nil {
		t.Fatal(err)
	}
	_, blocks := parseMisuses(string(data))
	var page strings.Builder
	page.WriteString(messagesHead)
	for i := range blocks {
		m := &blocks[i]
		t.Run(strings.ReplaceAll(m.title, " ", "_"), func(t *testing.T) {
			fmt.Fprintf(&page, "\n## %s\n\n", m.title)
			refused := 0
			for _, runtime := range [...][]string{{davit}, {in, "crun"}, {in, "runc"}} {
				says, status := m.made(t, runtime)
				name := filepath.Base(runtime[len(runtime)-1])
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
			if refused == 0 && m.status != 0 {
				t.Error("davit accepts what the others refuse")
			}
		})
	}
	if err := os.WriteFile(*messagesPage, []byte(page.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// made makes the mistake with a runtime, and returns what it says and its exit status.
func (m *misuse) made(t *testing.T, runtime []string) (string, int) {
	work := t.TempDir()
	if err := m.prepare(work); err != nil {
		t.Fatal(err)
	}
	args := append(runtime[1:len(runtime):len(runtime)], "--root", filepath.Join(work, "root"))
	var stderr strings.Builder
	cmd := exec.Command(runtime[0], append(args, m.args...)...)
	cmd.Dir, cmd.Stderr = work, &stderr
	status := exitCode(runSoon(cmd))
	remove := exec.Command(runtime[0], append(args, "delete", "--force", "c1")...)
	remove.Dir = work
	remove.Run()
	says := stderr.String()
	if i := strings.LastIndex(says, ` level=error msg="`); i >= 0 { // runc's log
		says = says[i+len(" level=error msg="):]
		if text, err := strconv.QuotedPrefix(says); err == nil {
			says, _ = strconv.Unquote(text)
		}
	}
	says = regexp.MustCompile(`(?m)^(cgroups in hybrid mode|\d{4}-\d\d-\d\dT[^ ]* )`).ReplaceAllString(says, "")
	return strings.ReplaceAll(strings.ReplaceAll(says, work, "$WORK"), subtree, "$SUBTREE"), status
}
