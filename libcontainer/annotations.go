package libcontainer

import (
	"davit/internal/config"
	"davit/internal/process"
	"davit/internal/seccomp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What crun's annotations mean. Package spec knows their names, and checks their values.

// receiverVariable names, in davit's environment, the socket for seccomp notifications where neither
// the config nor an annotation has one.
const receiverVariable = "RUN_OCI_SECCOMP_RECEIVER"

// adaptSeccomp fills in the socket for notifications from the annotation, or from davit's environment. A config
// that names one itself keeps it.
func adaptSeccomp(s *specs.Spec) error {
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
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
	path := os.Getenv(receiverVariable)
	if path == "" || c.DefaultAction != specs.ActNotify && !slices.ContainsFunc(c.Syscalls, notify) {
		return nil
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s in the environment: %q is not an absolute path", receiverVariable, path)
	}
	c.ListenerPath = path
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
		return nil, fmt.Errorf("annotations[%s]: %w", config.AnnotationBPF, err)
	}
	c := s.Linux.Seccomp
	f := &process.Filter{Program: program, Raw: true, Notify: c.ListenerPath != ""}
	f.Flags, err = seccomp.Flags(c, f.Notify)
	return f, err
}

// unknownSyscalls is the error for names that the filter leaves out, if an annotation asks for it.
func unknownSyscalls(s *specs.Spec, ignored []string) error {
	if !config.AnnotationSet(s, config.AnnotationUnknownSyscall) {
		return nil
	}
	var names []string
	for _, name := range ignored {
		if !strings.HasPrefix(name, "SCMP_ARCH_") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return withHint(fmt.Errorf("linux.seccomp.syscalls: unknown system calls: %s", strings.Join(names, ", ")),
		"remove the annotation "+config.AnnotationUnknownSyscall+" to leave them out of the filter")
}

// pidfdReceivers returns the sockets that get the process's pidfd, each with the name that errors have for it.
func (c *creation) pidfdReceivers() []pidfdReceiver {
	list := []pidfdReceiver{{"--pidfd-socket", c.PidfdSocket}}
	if path := c.spec.Annotations[config.AnnotationPidfd]; path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Bundle, path)
		}
		list = append(list, pidfdReceiver{"annotations[" + config.AnnotationPidfd + "]", path})
	}
	return list
}

// pidfdReceiver is a socket that gets a pidfd, or nothing if the path is empty.
type pidfdReceiver struct{ name, path string }
