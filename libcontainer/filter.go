package libcontainer

import (
	"davit/internal/plan"
	"davit/internal/process"
	"davit/internal/seccomp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// judgeFilter looks at what follows the loading of the filter in a plan. A filter that forbids a system call
// of that could never let the program begin. Where it may forbid what the stage needs to report a failure,
// the stage is told so.
func judgeFilter(p *plan.Plan, filter *process.Filter) error {
	for i := range p.Steps {
		f, is := p.Steps[i].Step.(plan.Seccomp)
		if !is {
			continue
		}
		if filter.Raw { // it need not be of the kind that can be judged
			f.Reporter = true
			p.Steps[i].Step = f
			continue
		}
		exec := seccomp.Of(f.Program, unix.SYS_EXECVE)
		if exec.Refused() {
			return withHint(fmt.Errorf("linux.seccomp: forbids execve (%s): no program can be started", exec),
				"allow execve in linux.seccomp.syscalls")
		}
		sure := exec.Allowed() && seccomp.Of(f.Program, unix.SYS_SENDMSG).Allowed() && seccomp.Of(f.Program, unix.SYS_EXIT_GROUP).Allowed()
		if !f.ForHooks && hasCapabilities(p.Steps[i+1:]) {
			capset := seccomp.Of(f.Program, unix.SYS_CAPSET)
			if capset.Refused() {
				return withHint(fmt.Errorf("linux.seccomp: forbids capset (%s), by which the process gets its capabilities after the filter is loaded", capset),
					"set process.noNewPrivileges to true, or allow capset in linux.seccomp.syscalls")
			}
			sure = sure && capset.Allowed()
		}
		f.Reporter = !sure
		p.Steps[i].Step = f
	}
	return nil
}

func hasCapabilities(steps []plan.Entry) bool {
	return slices.ContainsFunc(steps, func(e plan.Entry) bool {
		_, is := e.Step.(plan.Capabilities)
		return is
	})
}

// hintFilter: a system call that failed after the filter was loaded may have failed because of it.
func hintFilter(p *plan.Plan, failed int, call string, errno unix.Errno) string {
	var number uint32
	switch call {
	case "execve":
		number = unix.SYS_EXECVE
	case "capset":
		number = unix.SYS_CAPSET
	default:
		return ""
	}
	for _, e := range p.Steps[:failed] {
		if f, is := e.Step.(plan.Seccomp); is && seccomp.Of(f.Program, number).Gives(errno) {
			return fmt.Sprintf("the filter of linux.seccomp may forbid %s: allow it in linux.seccomp.syscalls", call)
		}
	}
	return ""
}
