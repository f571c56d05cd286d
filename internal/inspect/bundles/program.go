package bundles

import (
	"fmt"
	"path"
	"runtime"
	"strings"

	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/process"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// program looks in the root filesystem for the program, and for what the kernel starts in its
// place: a script's interpreter, or a dynamic loader.
func (e *examination) program(p *specs.Process) {
	if e.spec.Root == nil || e.spec.Root.Path == "" || len(p.Args) == 0 {
		return
	}
	files := diagnose.Files{Root: rootfs.Path(e.spec, e.options.Bundle), Mounts: e.spec.Mounts, Bundle: e.options.Bundle}
	if unix.Access(files.Root, unix.F_OK) != nil {
		return
	}
	candidates, err := process.Candidates(p)
	if err != nil {
		e.fail("", err)
		return
	}
	const field = "process.args[0]"
	unusable := ""
	for _, name := range candidates {
		if !path.IsAbs(name) {
			name = path.Join("/", p.Cwd, name)
		}
		mode, found := files.Mode(name)
		switch {
		case !found || mode&unix.S_IFMT == unix.S_IFDIR && len(candidates) > 1:
			continue
		case mode&unix.S_IFMT != unix.S_IFREG:
			unusable = fmt.Sprintf("%s is no regular file", name)
		case mode&0o111 == 0:
			unusable = fmt.Sprintf("%s has no execute permission", name)
		default:
			e.image(files, p.Cwd, name)
			return
		}
	}
	if unusable == "" {
		e.absent(field, fmt.Sprintf("%q is not in the root filesystem", p.Args[0]), "")
		return
	}
	hint := "chmod +x it there, or correct process.args"
	e.fail(field, fault.WithHint(fmt.Errorf("%s", unusable), hint))
}

// image examines the file of a program that was found.
func (e *examination) image(files diagnose.Files, cwd, name string) {
	const field = "process.args[0]"
	p := files.Image(name)
	if p.Machine != "" && p.Machine != runtime.GOARCH && !(p.Machine == "386" && runtime.GOARCH == "amd64") {
		e.warn(field, "%s is for %s, this machine is %s: that needs an interpreter in binfmt_misc", name, p.Machine, runtime.GOARCH)
		return
	}
	if p.Interpreter == "" {
		return
	}
	if strings.HasSuffix(p.Interpreter, "\r") {
		e.fail(field, fmt.Errorf("%s: %s", name, p.HintInterpreter()))
		return
	}
	if what := files.Missing(p, cwd); what != "" {
		e.absent(field, name+": "+what, "")
	}
}

// absent reports that something is missing in the root filesystem. That is an error, unless a mount
// or a hook may still bring it.
func (e *examination) absent(field, what, hint string) {
	if e.mayBring() {
		e.warn(field, "%s: a mount or a hook has to bring it", what)
		return
	}
	e.findings = append(e.findings, Finding{Field: field, Message: what, Hint: hint})
}

// mayBring reports whether the config has something that may bring programs into the root
// filesystem.
func (e *examination) mayBring() bool {
	if h := e.spec.Hooks; h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0 { //nolint:staticcheck // deprecated, but used
		return true
	}
	for _, m := range e.spec.Mounts {
		switch m.Type {
		case "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs", "securityfs":
		default:
			return true
		}
	}
	return false
}
