package compile

import (
	"fmt"
	"path/filepath"
	"slices"

	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/plan"
	"davit/internal/process"
	"davit/internal/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ReceiverVariable names, in davit's environment, the socket for seccomp notifications where neither
// the config nor an annotation has one.
const ReceiverVariable = "RUN_OCI_SECCOMP_RECEIVER"

// adaptSeccomp fills in the socket for notifications from the annotation, or from the caller's environment (receiver). A config
// that names one itself keeps it. It changes s.Linux.Seccomp.
func adaptSeccomp(s *specs.Spec, receiver string) error {
	c := s.Linux.Seccomp
	if c == nil && s.Annotations[config.AnnotationBPF] != "" {
		c = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		s.Linux.Seccomp = c
	}
	if c == nil || c.ListenerPath != "" {
		return nil
	}
	if c.ListenerPath = s.Annotations[config.AnnotationReceiver]; c.ListenerPath != "" {
		return nil
	}
	notify := func(r specs.LinuxSyscall) bool { return r.Action == specs.ActNotify }
	if receiver == "" || c.DefaultAction != specs.ActNotify && !slices.ContainsFunc(c.Syscalls, notify) {
		return nil
	}
	if !filepath.IsAbs(receiver) {
		return fmt.Errorf("%s in the environment: %q is not an absolute path", ReceiverVariable, receiver)
	}
	c.ListenerPath = receiver
	return nil
}

// rawFilter returns the filter of an annotation, which takes the place of linux.seccomp's but for its flags;
// nil without the annotation.
func rawFilter(s *specs.Spec) (*process.Filter, error) {
	text, ok := s.Annotations[config.AnnotationBPF]
	if !ok {
		return nil, nil
	}
	program, err := config.RawFilter(text)
	if err != nil {
		return nil, fault.In(fmt.Sprintf("annotations[%s]", config.AnnotationBPF), err)
	}
	c := s.Linux.Seccomp
	f := &process.Filter{Program: program, Raw: true, Notify: c.ListenerPath != ""}
	f.Flags, err = seccomp.Flags(c, f.Notify)
	return f, err
}

// filterOf describes the filter of linux.seccomp before it is compiled. It returns nil if the config has none.
func filterOf(s *specs.Spec) (*process.Filter, error) {
	if f, err := rawFilter(s); f != nil || err != nil {
		return f, err
	}
	if s.Linux.Seccomp == nil {
		return nil, nil
	}
	flags, notify, err := seccomp.Loading(s.Linux.Seccomp)
	return &process.Filter{Flags: flags, Notify: notify}, err
}

// DescribeFilter checks linux.seccomp and writes a description of the filter to each step that loads it, for explain. Others leave
// both to FillFilter: for a usual profile it takes a tenth of the time of a start.
func DescribeFilter(p *plan.Plan, s *specs.Spec) error {
	if s.Linux.Seccomp == nil {
		return nil
	}
	late := "" // the same for all steps
	for i := range p.Steps {
		f, is := p.Steps[i].Step.(plan.Seccomp)
		if !is || f.Program != "" {
			continue
		}
		if late == "" {
			if err := seccomp.Check(s.Linux.Seccomp); err != nil {
				return err
			}
			late = seccomp.Summary(s.Linux.Seccomp)
		}
		p.Steps[i].Late = late
	}
	return nil
}

// FillFilter gives the steps of a plan that load the filter its program. A filter that forbids a system call which follows its
// loading could never let the container's program begin: that is an error. Where the filter may forbid what the stage needs to
// report a failure, the step says so. A raw program comes from an annotation, and need not be of the kind that can be judged.
func FillFilter(p *plan.Plan, program string, raw bool) error {
	for i := range p.Steps {
		f, is := p.Steps[i].Step.(plan.Seccomp)
		if !is {
			continue
		}
		f.Program = program
		p.Steps[i].Late = ""
		if raw {
			f.Reporter = true
			p.Steps[i].Step = f
			continue
		}
		exec := seccomp.Of(f.Program, unix.SYS_EXECVE)
		if exec.Refused() {
			return fault.WithHint(fault.At("linux.seccomp", "forbids execve (%s): no program can be started", exec),
				"allow execve in linux.seccomp.syscalls")
		}
		sure := exec.Allowed() && seccomp.Of(f.Program, unix.SYS_SENDMSG).Allowed() && seccomp.Of(f.Program, unix.SYS_EXIT_GROUP).Allowed()
		if !f.ForHooks && hasCapabilities(p.Steps[i+1:]) {
			capset := seccomp.Of(f.Program, unix.SYS_CAPSET)
			if capset.Refused() {
				return fault.WithHint(fault.At("linux.seccomp", "forbids capset (%s), by which the process gets its capabilities after the filter is loaded", capset),
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
