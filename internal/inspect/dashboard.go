package inspect

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Row is a line of the dashboard.
type Row struct {
	Level Level
	Name  string
	Text  string
}

// Dashboard is a summary of a host: what it is, which engines it has, and what will not work.
type Dashboard struct {
	Rows []Row
	Lost []Row // Name is what will not work, Text why
}

// NewDashboard makes a dashboard of the facts about a host.
func NewDashboard(facts []HostFact) *Dashboard {
	d := &Dashboard{}
	find := func(name string) *HostFact {
		i := slices.IndexFunc(facts, func(f HostFact) bool { return f.Name == name })
		return &facts[i]
	}
	row := func(name string, level Level, format string, args ...any) {
		d.Rows = append(d.Rows, Row{level, name, fmt.Sprintf(format, args...)})
	}
	bad := func(f *HostFact) Level {
		if f.OK {
			return OK
		}
		return Error
	}
	name, _ := os.Hostname()
	user := "root"
	if uid := os.Geteuid(); uid != 0 {
		user = fmt.Sprintf("the user with id %d", uid)
	}
	row("host", OK, "%s, %s, as %s", name, release(), user)
	row("kernel", bad(find("kernel")), "%s", find("kernel").Text)
	row("cgroups", bad(find("cgroups")), "%s", find("cgroups").Text)
	row("LSM", OK, "AppArmor %s, SELinux %s", find("AppArmor").Text, find("SELinux").Text)
	row("privileges", OK, "capabilities: %s; user namespace: %s", find("capabilities").Text, find("davit's user namespace").Text)
	row("entering", OK, "%s", find("entering").Text)
	for _, engine := range Engines {
		level, text := engineStatus(engine)
		row(engine, level, "%s", text)
	}
	for _, f := range facts {
		if f.Lost != "" {
			d.Lost = append(d.Lost, Row{Warning, f.Lost, f.Name + ": " + strings.TrimPrefix(f.Text, f.Name+": ")})
		}
	}
	return d
}

// release returns the name of the distribution (os-release(5)).
func release() string {
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		data, _ := os.ReadFile(file)
		for line := range strings.Lines(string(data)) {
			if value, is := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); is {
				return strings.Trim(value, `"'`)
			}
		}
	}
	return "unknown distribution"
}

// daemon returns the program that shows that an engine is installed.
func daemon(engine string) string {
	if engine == "docker" {
		return "dockerd"
	}
	return engine
}

// engineStatus sums up the findings of Check.
func engineStatus(engine string) (Level, string) {
	at := ""
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin") {
		if path, err := exec.LookPath(dir + "/" + daemon(engine)); err == nil && dir != "" {
			at = path
			break
		}
	}
	if at == "" {
		return None, "not installed"
	}
	findings, _ := Check(engine, "")
	errors, warnings, text := 0, 0, ""
	for _, f := range findings {
		switch f.Level {
		case Error:
			errors++
		case Warning:
			warnings++
		default:
			text = f.Text // the last one says which runtime is the default
		}
	}
	more := fmt.Sprintf(" (davit check --engine %s)", engine)
	unset := slices.ContainsFunc(findings, func(f Finding) bool { return f.Snippet != "" })
	switch {
	case unset:
		return Warning, at + ": davit is not in its configuration" + more
	case errors > 0:
		return Error, fmt.Sprintf("%s: %d errors, %d warnings%s", at, errors, warnings, more)
	case warnings > 0:
		return Warning, fmt.Sprintf("%s: %s; %d warnings%s", at, text, warnings, more)
	}
	return OK, at + ": " + text
}
