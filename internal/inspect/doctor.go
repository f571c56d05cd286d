// Package inspect reads the configuration of an engine, and reports whether davit is set up in it
// and what is wrong. docs/engines.md shows what it should look like.
package inspect

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// Level says how bad a finding is.
type Level string

// The engine does not use davit (Error), or only in part (Warning).
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Error   Level = "error"
	None    Level = "-" // there is nothing to report
)

// Finding is one thing to know about an engine's configuration.
type Finding struct {
	Level Level
	Where string // the file, with the line if there is one
	Text  string
	Hint  string
	// Snippet is what to put into the file that the hint names, "" if there is nothing to add.
	Snippet string
}

// Engines are the names of engines that Check knows.
var Engines = []string{"containerd", "crio", "docker", "podman"}

// examination is one run of Check.
type examination struct {
	root     string // a prefix of every path, for tests; "" is the host
	findings []Finding
	broken   bool // a file cannot be read
}

// Check examines the configuration of an engine below root ("" is the host). It only returns an
// error if it does not know the engine.
func Check(engine, root string) ([]Finding, error) {
	x := &examination{root: root}
	switch engine {
	case "containerd":
		x.containerd()
	case "docker":
		x.docker()
	case "podman":
		x.podman()
	case "crio":
		x.crio()
	default:
		return nil, fmt.Errorf("unknown engine %q: one of %s", engine, strings.Join(Engines, ", "))
	}
	return x.findings, nil
}

func (x *examination) add(level Level, where, hint, format string, args ...any) {
	x.findings = append(x.findings, Finding{Level: level, Where: where, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// unset reports that davit is not in the configuration, and what to add.
func (x *examination) unset(where string, s *snippet, format string, args ...any) {
	hint := "add to " + s.file + ", and restart the engine:"
	if s.name == podmanSnippet.name { // podman has no daemon to restart
		hint = "add to " + s.file + ":"
	}
	x.add(Error, where, hint, format, args...)
	x.findings[len(x.findings)-1].Snippet = s.text()
}

// read returns a file's text. It returns false if the file does not exist, or if it cannot be read,
// which it reports.
func (x *examination) read(path string) (string, bool) {
	data, err := os.ReadFile(x.root + path)
	if os.IsNotExist(err) {
		return "", false
	}
	if err != nil {
		x.add(Error, path, "run as the user that the engine runs as", "cannot be read: %v", err)
		x.broken = true
		return "", false
	}
	return string(data), true
}

// toml returns the settings of a file, each with its place in the form of Where; nil if there is no
// file. A file that cannot be read is a finding, and makes the examination broken: nobody knows
// what it says about davit.
func (x *examination) toml(path string) []placed {
	text, ok := x.read(path)
	if !ok {
		return nil
	}
	settings, err := parseTOML(text)
	if err != nil {
		x.add(Error, path, "the engine does not start with it, or ignores the whole file", "%v", err)
		x.broken = true
		return nil
	}
	out := make([]placed, len(settings))
	for i := range settings {
		out[i] = placed{settings[i], fmt.Sprintf("%s:%d", path, settings[i].line)}
	}
	return out
}

type placed struct {
	setting
	where string
}

// glob returns the files of a drop-in directory, in order.
func (x *examination) glob(pattern string) []string {
	found, _ := filepath.Glob(x.root + pattern)
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], x.root)
	}
	sort.Strings(found)
	return found
}

// runtime checks the path of a runtime. It reports whether the path is meant to be davit.
func (x *examination) runtime(where, name, path string) bool {
	if name != "davit" && filepath.Base(path) != "davit" {
		return false
	}
	if !strings.HasPrefix(path, "/") {
		x.add(Warning, where, "give the absolute path", "runtime %s: %q is looked up in the engine's PATH", name, path)
		return true
	}
	info, err := os.Stat(x.root + path)
	switch {
	case err != nil:
		x.add(Error, where, "install davit there, or correct the path", "runtime %s: %s: no such file", name, path)
	case info.Mode()&0o111 == 0 || !info.Mode().IsRegular():
		x.add(Error, where, "chmod 755 "+path, "runtime %s: %s is not an executable file", name, path)
	case info.Mode()&0o022 != 0:
		x.add(Error, where, "chmod go-w "+path, "runtime %s: %s can be written by others than its owner, and engines run it as root", name, path)
	default:
		x.version(where, name, path)
	}
	return true
}

// version runs the runtime, which must answer that it is davit.
func (x *examination) version(where, name, path string) {
	out, err := exec.Command(x.root+path, "--version").CombinedOutput()
	first, _, _ := strings.Cut(string(out), "\n")
	switch {
	case err != nil:
		x.add(Error, where, "", "runtime %s: %s --version: %v: %s", name, path, err, first)
	case !strings.HasPrefix(first, "davit version "):
		x.add(Error, where, "point it to davit, or give the runtime another name", "runtime %s: %s is not davit: %q", name, path, first)
	default:
		x.add(OK, where, "", "runtime %s: %s, %s", name, path, first)
	}
}

// needsSystemd adds an error if the engine is configured to let systemd make the cgroups, but
// systemd does not run.
func (x *examination) needsSystemd(where, setting, instead string) {
	if !x.systemd() {
		x.add(Error, where, instead, "%s, but systemd is not the init of this host: no container can start", setting)
	}
}

// systemd reports whether systemd is the init of this host.
func (x *examination) systemd() bool {
	_, err := os.Stat(x.root + "/run/systemd/system")
	return err == nil
}
