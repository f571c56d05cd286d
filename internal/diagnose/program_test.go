package diagnose

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The head of a program says what kind it is. Nothing in a container's root may make the reader
// hang, or lead it out of the root.
func TestProgramAt(t *testing.T) {
	root := t.TempDir()
	files := map[string]string{
		"script": "#!/bin/nope -x\necho\n", "spaces": "#! \t/bin/nope\t-x", "crlf": "#!/bin/sh\r\necho\r\n", "empty": "", "text": "echo\n",
		"elf": "\x7fELF\x02\x01", "lies": "\x7fELF\x02\x01" + strings.Repeat("\xff", 200), "elsewhere/bin/x": "#!/outside\n",
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, l := range [][2]string{{"link", "/script"}, {"out", "../../../../../../../../../../bin/sh"}, {"magic", "/proc/self/exe"}, {"dir", "elsewhere"}} {
		if err := os.Symlink(l[1], filepath.Join(root, l[0])); err != nil {
			t.Fatal(err)
		}
	}
	in := &Files{Root: root}
	for _, c := range []struct{ name, interpreter, hint string }{
		{"/script", "/bin/nope", `the script's interpreter "/bin/nope" (its #! line) is not in the container`},
		{"script", "/bin/nope", `the script's interpreter "/bin/nope" (its #! line) is not in the container`},
		{"/spaces", "/bin/nope", `the script's interpreter "/bin/nope" (its #! line) is not in the container`},
		{"/link", "/bin/nope", `the script's interpreter "/bin/nope" (its #! line) is not in the container`},
		{"/crlf", "/bin/sh\r", `the script has Windows line ends (CRLF), so that the kernel looks for "/bin/sh\r": convert it with dos2unix`},
		{"/dir/bin/x", "/outside", `the script's interpreter "/outside" (its #! line) is not in the container`},
		{"/empty", "", ""}, {"/text", "", ""}, {"/elf", "", ""}, {"/lies", "", ""}, {"/fifo", "", ""}, {"/out", "", ""}, {"/magic", "", ""}, {"/nope", "", ""}, {"/", "", ""},
	} {
		p := in.Image(path.Join("/", c.name))
		if p.Interpreter != c.interpreter || p.HintInterpreter() != c.hint {
			t.Errorf("%s: %+v, %q", c.name, p, p.HintInterpreter())
		}
	}
	sh, err := os.ReadFile("/usr/bin/env") // linked dynamically on Debian
	if err != nil {
		t.Skip(err)
	}
	if p := parseProgram(sh[:4096]); !p.Binary || !strings.HasPrefix(p.Interpreter, "/lib") || p.Machine == "" {
		t.Errorf("/usr/bin/env: %+v", p)
	}
	for n := range 512 { // the file may be cut off anywhere
		parseProgram(sh[:n])
	}
}
