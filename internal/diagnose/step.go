// Package diagnose turns failures into errors that people understand, with the field of
// config.json, and with a hint if the errno misleads. It may read files of the host and of the
// container to find the cause. It changes nothing.
package diagnose

import (
	"fmt"
	"strings"

	"davit/internal/fault"
	"davit/internal/plan"
	"davit/internal/seccomp"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// Step returns the error for a step that failed in the stage. If a hook failed, the caller sets Err
// to what the hook has written.
func Step(p *plan.Plan, m nsenter.Message) *fault.Error {
	var entry plan.Entry
	if m.Step < len(p.Steps) {
		entry = p.Steps[m.Step]
	}
	e := &fault.Error{Field: entry.Field, Call: m.Call, Subject: m.Detail, Err: m.Errno}
	if what := subject(entry.Step); e.Field != "" && !strings.HasSuffix(e.Field, ".source") {
		e.Value = what
	}
	switch m.Call {
	case "plan":
		e.Text, e.Err = "the stage refuses the plan: "+m.Detail, nil
		return e
	case "hook exit status":
		e.Text, e.Err = fmt.Sprintf("%s: exit status %d", m.Detail, int(m.Errno)), nil
		return e
	case "hook signal":
		e.Text, e.Err = fmt.Sprintf("%s: killed by signal %d", m.Detail, int(m.Errno)), nil
		return e
	case "hook":
		e.Text, e.Err = m.Detail+": no end after its timeout", nil
		if h, ok := entry.Step.(plan.Hook); ok {
			e.Text = m.Detail + ": " + HookTimeout(int(h.Timeout))
		}
		return e
	case "killed by the filter":
		e.Text, e.Err = "linux.seccomp: the filter kills the process before its program begins (SIGSYS)", nil
	}
	why, forbidden := strings.CutPrefix(m.Call, "execve ")
	if forbidden {
		e.Call, e.Hint = "execve", hintForbidden(why)
	}
	if e.Call == "execve" {
		e.Text = fmt.Sprintf("exec: %q", m.Detail)
		if program, ok := entry.Step.(plan.Program); ok {
			programError(e, program, m.Detail, m.Errno)
		}
	}
	if e.Hint == "" {
		e.Hint = hintFilter(p, m)
	}
	if e.Hint == "" {
		e.Hint = hintStep(entry.Step, e, m.Errno)
	}
	return e
}

// HookTimeout returns the text for a hook that was killed after its timeout.
func HookTimeout(seconds int) string { return fmt.Sprintf("no end after its timeout of %d s", seconds) }

// NotFound is the text that engines look for if a program is in no directory of PATH.
const NotFound = "executable file not found in $PATH"

// programError names the file that was found, if the program was looked up. For a directory it says
// so, in addition to the errno of execve(2), which engines know.
func programError(e *fault.Error, p plan.Program, found string, errno unix.Errno) {
	missing := errno == unix.ENOENT || errno == unix.ENOTDIR
	e.Text = fmt.Sprintf("exec: %q", p.Name)
	switch {
	case missing && !strings.Contains(p.Name, "/"):
		e.Text, e.Err = e.Text+": "+NotFound, nil
		return
	case missing:
		e.Text += ": stat " + p.Name
	case found != p.Name:
		e.Text += ": " + found
	}
	if errno == unix.EISDIR {
		e.Text, e.Err = e.Text+": it is a directory", unix.EACCES
	}
}

// subject says in a few words what a step works on.
func subject(s plan.Step) string {
	switch s := s.(type) {
	case plan.Mount:
		return fmt.Sprintf("%s, %s", s.Target, s.Type)
	case plan.Filesystem:
		return fmt.Sprintf("%s, %s", s.Target, s.Type)
	case plan.Bind:
		if s.Source == "" {
			return s.Target + ", mount made beforehand"
		}
		return fmt.Sprintf("%s, bind of %s", s.Target, s.Source)
	case plan.Source:
		return "source " + s.Path
	case plan.Copy:
		return "source " + s.Source
	case plan.Gather:
		return "source " + s.Path
	case plan.Device:
		return s.Path
	case plan.Sysctl:
		return s.Value
	case plan.Rlimit:
		return fmt.Sprintf("%s, soft %d, hard %d", s.Name, s.Soft, s.Hard)
	case plan.User:
		return fmt.Sprintf("uid %d, gid %d", s.UID, s.GID)
	case plan.Label:
		return s.Text
	case plan.Mask:
		return s.Path
	case plan.ReadOnly:
		return s.Path
	case plan.Hostname:
		return s.Name
	}
	return ""
}

// hintFilter returns a hint for a system call that failed after the filter was loaded, since the
// filter may be the reason.
func hintFilter(p *plan.Plan, m nsenter.Message) string {
	var number uint32
	switch m.Call {
	case "execve":
		number = unix.SYS_EXECVE
	case "capset":
		number = unix.SYS_CAPSET
	default:
		return ""
	}
	for _, e := range p.Steps[:min(m.Step, len(p.Steps))] {
		if f, is := e.Step.(plan.Seccomp); is && seccomp.Of(f.Program, number).Gives(m.Errno) {
			return fmt.Sprintf("the filter of linux.seccomp may forbid %s: allow it in linux.seccomp.syscalls", m.Call)
		}
	}
	return ""
}
