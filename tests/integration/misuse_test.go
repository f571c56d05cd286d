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

var update = flag.Bool("update", false, "write what davit says now into testdata/misuses.txt")

// misuse is an entry of testdata/misuses.txt.
type misuse struct {
	title  string
	edits  []string   // of the default config
	files  []string   // NAME TEXT, in the bundle
	links  []string   // NAME TARGET, in the bundle
	modes  []string   // NAME MODE, in the bundle
	first  [][]string // davit commands that run before, and succeed
	nofile string     // the limit on open files, "" for the usual one
	path   string     // the directory, in the working directory, that is PATH; "" for the usual one
	args   []string   // davit's arguments
	status int
	says   string // the expected standard error
}

// loader matches the path of a dynamic loader, which differs by machine.
var loader = regexp.MustCompile(`"/lib[^"]*/ld[^"]*"`)

// TestMisuse makes the mistakes of testdata/misuses.txt and compares davit's messages. After each
// mistake, nothing is left.
func TestMisuse(t *testing.T) {
	needRoot(t)
	const table = "testdata/misuses.txt"
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	head, blocks := parseMisuses(string(data))
	if len(blocks) < 25 {
		t.Errorf("only %d entries", len(blocks))
	}
	for i := range blocks {
		m := &blocks[i]
		t.Run(strings.ReplaceAll(m.title, " ", "_"), func(t *testing.T) { m.try(t) })
	}
	if *update {
		if err := os.WriteFile(table, []byte(head+formatMisuses(blocks)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *misuse) try(t *testing.T) {
	work := t.TempDir()
	root := filepath.Join(work, "root")
	checkLeaks(t, root)
	if err := m.prepare(work); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	runtime := []string{davit, "--root", root}
	if err := m.makeFirst(work, runtime); err != nil {
		t.Fatal(err)
	}
	cmd := m.command(work, runtime)
	cmd.Stderr = &stderr
	status := exitCode(runSoon(cmd))
	if m.first != nil {
		if err := exec.Command(davit, "--root", root, "delete", "--force", "c1").Run(); err != nil {
			t.Error(err)
		}
	}
	says := strings.ReplaceAll(strings.ReplaceAll(stderr.String(), work, "$WORK"), subtree, "$SUBTREE")
	says = loader.ReplaceAllString(says, `"$$LOADER"`)
	said, hints := "", ""
	for line := range strings.Lines(says) {
		if strings.HasPrefix(line, "  hint: ") {
			hints += line
		} else {
			said += line
		}
	}
	for _, match := range matches() { // engines look at hints, too
		if strings.Contains(hints, match.text) && !strings.Contains(said, match.text) {
			t.Errorf("only the hint has %q, which %s matches: %s", match.text, match.who, hints)
		}
	}
	if *update {
		m.status, m.says = status, says
		return
	}
	if status != m.status {
		t.Errorf("exit status %d, not %d", status, m.status)
	}
	if says != m.says {
		t.Errorf("davit says\n%snot\n%s", says, m.says)
	}
}

// prepare makes the bundle b, with which the mistake is made, in the directory work.
func (m *misuse) prepare(work string) error {
	bundle := filepath.Join(work, "b")
	if err := makeBundle(bundle); err != nil {
		return err
	}
	if err := editConfig(bundle, m.edits); err != nil {
		return err
	}
	for _, f := range m.files {
		name, text, _ := strings.Cut(f, " ")
		if text == "-" {
			os.RemoveAll(filepath.Join(work, name))
		} else if err := os.WriteFile(filepath.Join(work, name), []byte(strings.NewReplacer(`\r`, "\r", `\\n`, "\n").Replace(text)+"\n"), 0o755); err != nil {
			return err
		}
	}
	for _, l := range m.links {
		name, to, _ := strings.Cut(l, " ")
		path := filepath.Join(work, name)
		os.RemoveAll(path)
		if err := os.Symlink(to, path); err != nil {
			return err
		}
	}
	for _, l := range m.modes {
		name, mode, _ := strings.Cut(l, " ")
		bits, err := strconv.ParseUint(mode, 8, 12)
		if err == nil {
			err = os.Chmod(filepath.Join(work, name), os.FileMode(bits))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeFirst runs, with a runtime, the commands that must have run before the mistake.
func (m *misuse) makeFirst(work string, runtime []string) error {
	for _, args := range m.first {
		cmd := exec.Command(runtime[0], append(runtime[1:len(runtime):len(runtime)], args...)...)
		cmd.Dir = work
		if err := runSoon(cmd); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}

// command returns the command that makes the mistake with a runtime.
func (m *misuse) command(work string, runtime []string) *exec.Cmd {
	var line []string
	if m.nofile != "" {
		line = []string{"prlimit", "--nofile=" + m.nofile + ":" + m.nofile}
	}
	if m.path != "" {
		line = append(line, "/usr/bin/env", "PATH="+filepath.Join(work, m.path))
	}
	line = append(append(line, runtime...), m.args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = work
	return cmd
}

// parseMisuses reads the table; head is the text before the first entry.
func parseMisuses(text string) (head string, list []misuse) {
	var m *misuse
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if word == "#" {
			list = append(list, misuse{title: rest, status: 1, args: strings.Fields("run --bundle b c1")})
			m = &list[len(list)-1]
			continue
		}
		switch {
		case m == nil:
			head += line
		case word == "edit":
			m.edits = append(m.edits, rest)
		case word == "file":
			m.files = append(m.files, rest)
		case word == "link":
			m.links = append(m.links, rest)
		case word == "mode":
			m.modes = append(m.modes, rest)
		case word == "nofile":
			m.nofile = rest
		case word == "path":
			m.path = rest
		case word == "first":
			m.first = append(m.first, strings.Fields(strings.TrimPrefix(rest, "davit")))
		case word == "$":
			m.args = strings.Fields(strings.TrimPrefix(rest, "davit"))
		case word == "status":
			m.status, _ = strconv.Atoi(rest)
		case word == "|":
			m.says += rest + "\n"
		}
	}
	return head, list
}

func formatMisuses(list []misuse) string {
	var b strings.Builder
	for i, m := range list {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("# " + m.title + "\n")
		for _, e := range m.edits {
			b.WriteString("edit " + e + "\n")
		}
		for _, f := range m.files {
			b.WriteString("file " + f + "\n")
		}
		for _, l := range m.links {
			b.WriteString("link " + l + "\n")
		}
		for _, l := range m.modes {
			b.WriteString("mode " + l + "\n")
		}
		if m.nofile != "" {
			b.WriteString("nofile " + m.nofile + "\n")
		}
		if m.path != "" {
			b.WriteString("path " + m.path + "\n")
		}
		for _, args := range m.first {
			b.WriteString("first davit " + strings.Join(args, " ") + "\n")
		}
		b.WriteString("$ davit " + strings.Join(m.args, " ") + "\n")
		if m.status != 1 {
			b.WriteString("status " + strconv.Itoa(m.status) + "\n")
		}
		for line := range strings.Lines(m.says) {
			b.WriteString("| " + line)
		}
	}
	return b.String()
}
