// Package checkpoint prepares what CRIU saves and restores of a container: the directories of the images, the mounts, cgroups and
// standard streams that come from the host, and the reasons why a container cannot be saved. Package criu speaks with CRIU;
// libcontainer starts it and looks after the container.
package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/config"
	"davit/internal/criu"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ConfigFile returns the path of the file with settings for CRIU: the one that the annotation org.criu.config names, or else the first
// of two files that exists. It returns nil if there is none, or if the annotation is empty.
func ConfigFile(annotations map[string]string) *string {
	if path, set := annotations[config.AnnotationCRIU]; set {
		if path == "" { // no file at all, as with runc
			return nil
		}
		return &path
	}
	for _, path := range [...]string{"/etc/criu/davit.conf", "/etc/criu/runc.conf"} {
		if _, err := os.Stat(path); err == nil {
			return &path
		}
	}
	return nil
}

// CheckRestorable returns an error if CRIU cannot save or cannot restore such a container, or if davit lacks the privileges. The error
// names the field of config.json.
func CheckRestorable(s *specs.Spec, facts *host.Facts) error {
	if facts.UID() != 0 || !facts.InitialUserNS() {
		return errors.New("it needs root in the initial user namespace: only root may read and set what CRIU has to")
	}
	if sc := s.Linux.Seccomp; sc != nil {
		notify := func(a specs.LinuxSeccompAction) bool { return a == specs.ActNotify }
		if notify(sc.DefaultAction) {
			return errors.New("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY: CRIU cannot save a filter that has a listener")
		}
		if at := slices.IndexFunc(sc.Syscalls, func(r specs.LinuxSyscall) bool { return notify(r.Action) }); at >= 0 {
			return fmt.Errorf("linux.seccomp.syscalls[%d].action: SCMP_ACT_NOTIFY: CRIU cannot save a filter that has a listener", at)
		}
	}
	own := false
	for i, n := range s.Linux.Namespaces {
		if n.Path != "" && (n.Type == specs.CgroupNamespace || n.Type == specs.MountNamespace || n.Type == specs.UserNamespace) {
			return fault.WithHint(fmt.Errorf("linux.namespaces[%d].path: %s: CRIU cannot restore a container that joins a %s namespace", i, n.Path, n.Type),
				"give the container a "+string(n.Type)+" namespace of its own")
		}
		own = own || n.Type == specs.MountNamespace
	}
	if !own {
		return fault.WithHint(errors.New("linux.namespaces: there is no mount namespace: the container's mounts are its caller's, which CRIU cannot restore"),
			`add {"type": "mount"} to linux.namespaces`)
	}
	return nil
}

// Failed adds the errors of CRIU's log to err. log is the name of the log file in the work directory.
func Failed(err error, i *Images, log string) error {
	lines := criu.LogErrors(i.Work, log)
	var own *criu.Error
	if !errors.As(err, &own) && len(lines) == 0 {
		return err
	}
	text := err.Error()
	if len(lines) > 0 && own != nil { // CRIU's own message is the first of these lines
		text = "criu: " + strings.Join(lines, "; ")
	} else if errors.Is(err, criu.ErrEnded) && len(lines) > 0 {
		text += ": " + strings.Join(lines, "; ")
	}
	err = &criuError{text + " (" + filepath.Join(i.WorkPath, log) + ")", err}
	return fault.WithHint(err, criu.Hint(append(lines, text)))
}

// criuError is an error with another text.
type criuError struct {
	text string
	err  error
}

func (e *criuError) Error() string { return e.text }

func (e *criuError) Unwrap() error { return e.err }

// NamespaceKey returns the name in the images for a namespace that a container joins. runc uses the
// same names.
func NamespaceKey(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.NetworkNamespace:
		return "extRootNetNS"
	case specs.PIDNamespace:
		return "extRootPidNS"
	}
	return ""
}

// HasRuntimeHooks reports whether hooks set up the network namespace, whose content CRIU then leaves
// to them.
func HasRuntimeHooks(s *specs.Spec) bool {
	return s.Hooks != nil && len(s.Hooks.Prestart)+len(s.Hooks.CreateRuntime) > 0 && //nolint:staticcheck // deprecated, but engines use it
		slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace && n.Path == "" })
}

// Externals lists what CRIU does not save because it comes from the host, in the form of CRIU's
// option "external": mounts, joined namespaces and standard streams. Restore gives these to the
// container again. streams are the keys of StreamKey.
func Externals(p *plan.Plan, s *specs.Spec, pid int, rootfs string, streams []string) ([]string, error) {
	list, err := externalMounts(p, pid, rootfs)
	if err != nil {
		return nil, err
	}
	for i, n := range s.Linux.Namespaces {
		key := NamespaceKey(n.Type)
		if n.Path == "" || key == "" {
			continue
		}
		file := config.NamespaceFile(n.Type)
		var st unix.Stat_t
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, file)
		if err := unix.Stat(path, &st); err != nil {
			return nil, fmt.Errorf("linux.namespaces[%d]: stat %s: %w", i, path, err)
		}
		list = append(list, fmt.Sprintf("%s[%d]:%s", file, st.Ino, key))
	}
	for _, key := range streams {
		if isExternalStdio(key) {
			list = append(list, key)
		}
	}
	return list, nil
}
