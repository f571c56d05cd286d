package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"davit/cgroups/failure"
	"davit/internal/cli"
	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/plan"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// StepError is a step of the plan that failed in the stage.
type StepError struct {
	Field  string // of config.json
	Op     plan.Op
	Step   plan.Step
	Call   string
	Detail string
	Errno  unix.Errno
	Output string // what a hook has written, or the end of it
}

func (e *StepError) Unwrap() error { return e.Errno }

func (e *StepError) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		if what := subject(e.Step); what != "" && !strings.HasSuffix(e.Field, ".source") {
			b.WriteString(" (" + what + ")")
		}
		b.WriteString(": ")
	}
	switch {
	case e.Call == "plan":
		return b.String() + "the stage refuses the plan: " + e.Detail
	case e.Call == "hook exit status":
		fmt.Fprintf(&b, "%s: exit status %d", e.Detail, int(e.Errno))
		return b.String() + colon(e.Output)
	case e.Call == "hook signal":
		fmt.Fprintf(&b, "%s: killed by signal %d", e.Detail, int(e.Errno))
		return b.String() + colon(e.Output)
	case e.Call == "hook":
		if h, ok := e.Step.(plan.Hook); ok {
			return b.String() + e.Detail + ": " + hookTimeout(int(h.Timeout)) + colon(e.Output)
		}
		return e.Detail + ": no end after its timeout" + colon(e.Output)
	case e.Call == "killed by the filter":
		return b.String() + "linux.seccomp: the filter kills the process before its program begins (SIGSYS)"
	case e.Call == "execve":
		if p, ok := e.Step.(plan.Program); ok {
			return b.String() + programError(p, e.Detail, e.Errno)
		}
		fmt.Fprintf(&b, "exec: %q: %s", e.Detail, e.Errno.Error())
		return b.String()
	}
	b.WriteString(e.Call)
	if e.Detail != "" {
		b.WriteString(" " + e.Detail)
	}
	return b.String() + ": " + e.Errno.Error()
}

// Lines are those of Error: a hook's output may have several.
func (e *StepError) Lines() []string {
	alone := *e
	alone.Output = ""
	lines := told(colon(e.Output)).Lines()
	lines[0] = alone.Error() + lines[0]
	return lines
}

// colon puts text after a colon, if there is any.
func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// programError names the file that was found, if it was looked for. A directory is called so beside
// the errno that execve(2) has for it, which engines know.
func programError(p plan.Program, found string, errno unix.Errno) string {
	missing := errno == unix.ENOENT || errno == unix.ENOTDIR
	what := fmt.Sprintf("exec: %q: ", p.Name)
	switch {
	case missing && !strings.Contains(p.Name, "/"):
		return what + textNotFound
	case missing:
		return what + "stat " + p.Name + ": " + errno.Error()
	case found != p.Name:
		what += found + ": "
	}
	if errno == unix.EISDIR {
		return what + "it is a directory: " + unix.EACCES.Error()
	}
	return what + errno.Error()
}

// subject says in a few words what a step is about.
func subject(s plan.Step) string {
	switch s := s.(type) {
	case plan.Mount:
		return fmt.Sprintf("%s, %s", s.Target, s.Type)
	case plan.Bind:
		if s.Source == "" {
			return s.Target + ", mount made beforehand"
		}
		return fmt.Sprintf("%s, bind of %s", s.Target, s.Source)
	case plan.Source:
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

// stepError turns a stage's message into the error that people read.
func stepError(p *plan.Plan, m nsenter.Message) error {
	if m.Step >= len(p.Steps) {
		return &StepError{Call: m.Call, Detail: m.Detail, Errno: m.Errno}
	}
	entry := p.Steps[m.Step]
	err := &StepError{Field: entry.Field, Op: plan.OpOf(entry.Step), Step: entry.Step, Call: m.Call, Detail: m.Detail, Errno: m.Errno}
	if why, is := strings.CutPrefix(m.Call, "execve "); is {
		err.Call = "execve"
		return withHint(err, hintForbidden(why))
	}
	hint := compile.HintFilter(p, m.Step, m.Call, m.Errno)
	if hint == "" {
		hint = hintStep(err)
	}
	return withHint(err, hint)
}

func withHint(err error, hint string) error { return fault.WithHint(err, hint) }

// Hint returns the cure of an error, or of what it wraps: "" if nobody knows one. No hint has words in it that
// engines match (Matches): they read it, too.
func Hint(err error) string {
	if hint := fault.Hint(err); hint != "" {
		return hint
	}
	if hint := failure.Hint(err); hint != "" {
		return hint
	}
	switch {
	case errors.Is(err, unix.EMFILE):
		return "davit's limit of open files is reached: raise it (ulimit -n, or LimitNOFILE= of the service that calls davit)"
	case errors.Is(err, unix.ENFILE):
		return "the host's limit of open files is reached: raise the sysctl fs.file-max"
	}
	return ""
}

// inBytes is a number of bytes in words.
func inBytes(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

const (
	hintRoot      = "the root filesystem must exist: by default it is the directory rootfs beside config.json"
	hintSource    = `the source must exist on the host; check "source" in config.json`
	hintRecursive = `in a user namespace a bind mount takes along what is mounted below its source: use "rbind"`
)

func hintOpen(d *plan.Descriptor, err error) string {
	switch {
	case d.Field == "root.path" && errors.Is(err, fs.ErrNotExist):
		return hintRoot
	case (d.Kind == plan.Tree || d.Kind == plan.TreeRecursive) && errors.Is(err, fs.ErrNotExist):
		return hintSource
	case d.Within && d.Kind == plan.Tree && errors.Is(err, unix.EINVAL):
		return hintRecursive
	case d.Kind == plan.Namespace && errors.Is(err, fs.ErrNotExist):
		return "the process or the file that held the namespace is gone"
	case d.Kind == plan.Connect && errors.Is(err, unix.ECONNREFUSED):
		return "nobody listens on that socket"
	case d.Kind == plan.Connect && d.Path == "":
		return "a detached container with process.terminal true needs --console-socket"
	}
	return ""
}

// hintMap explains why a tree cannot have mappings.
func hintMap(err error) string {
	switch {
	case errors.Is(err, unix.EINVAL):
		return "the source's filesystem does not support idmapped mounts on this kernel"
	case errors.Is(err, unix.EPERM):
		return "an idmapped mount takes privileges over the source's filesystem, and a source that is not idmapped already"
	}
	return ""
}

// enotsupp is ENOTSUPP of the kernel's linux/errno.h. It is not meant for user space, and has no
// text there, but seccomp(2) returns it where the JIT compiler has no room left.
const enotsupp = unix.Errno(524)

// hintStep explains an errno that misleads.
func hintStep(e *StepError) string {
	switch s := e.Step.(type) {
	case plan.Mount:
		if hint := hintMount(s, e); hint != "" {
			return hint
		}
	case plan.Root:
		switch {
		case e.Errno == unix.EACCES:
			return hintPassage(s.Path)
		case e.Errno == unix.ENOENT && e.Call == "open_tree":
			return hintRoot
		}
	case plan.Label:
		if e.Errno == unix.ENOENT && strings.Contains(s.File, "apparmor") {
			return fmt.Sprintf("the AppArmor profile %q is not loaded on this host: load it with apparmor_parser, or ask aa-status which ones are", strings.TrimPrefix(s.Text, "exec "))
		}
	case plan.Propagation:
		if e.Errno == unix.EINVAL {
			return "davit's / is no mount point, as in a plain chroot: bind the directory on itself before chroot, or pivot_root to it"
		}
	case plan.Source:
		switch {
		case e.Errno == unix.ENOENT:
			return hintSource
		case e.Errno == unix.EINVAL && !s.Recursive:
			return hintRecursive
		}
	case plan.Bind:
		if hint := hintBind(s, e); hint != "" {
			return hint
		}
	case plan.CopyUp:
		if e.Errno == unix.EAGAIN && e.Call == "openat" {
			return "another process holds a lease on the file, and has not given it up within a second: see LEASE in /proc/locks"
		}
	case plan.Options:
		if e.Errno == unix.EINVAL && e.Call == "fsconfig" {
			return hintOption(s.Type, e)
		}
	case plan.Remount:
		if e.Errno == unix.EINVAL && e.Call == "mount_setattr" {
			return "a remount changes a mount that is there already, and nothing is mounted there"
		}
	case plan.Mask, plan.ReadOnly:
		if e.Errno == unix.ENOTDIR {
			return "a component of the path is a file, so that there is nothing below it"
		}
	case plan.Scheduler:
		if e.Errno == unix.EPERM {
			return "it needs CAP_SYS_NICE; with cgroups v1, real-time policies also need linux.resources.cpu.realtimeRuntime"
		}
	case plan.Rlimit:
		if e.Errno == unix.EPERM {
			return "raising a hard limit above davit's own needs CAP_SYS_RESOURCE"
		}
	case plan.Capabilities, plan.Bounding:
		if e.Errno == unix.EPERM {
			return "davit cannot give capabilities that it does not have itself (CapPrm in /proc/self/status)"
		}
	case plan.Pivot:
		if e.Errno == unix.EINVAL {
			return "the host's root may be an initramfs: try --no-pivot"
		}
	case plan.Seccomp:
		if e.Errno == enotsupp {
			return "524: the kernel's limit for compiled filters is reached: raise the sysctl net.core.bpf_jit_limit"
		}
	case plan.Keyring:
		if e.Errno == unix.EDQUOT {
			return "the user's quota of keys is used up (kernel.keys.maxkeys), or use --no-new-keyring"
		}
	case plan.Exec:
		switch e.Errno {
		case unix.ENOEXEC:
			return "the program is for another architecture, or a script without a #! line"
		case unix.ENOENT:
			return "the program is there: its interpreter (the #! line, or the dynamic loader) is not"
		}
	}
	if e.Errno == unix.ELOOP && e.Call == "openat2" {
		return "a symbolic link in the root filesystem stands where none may be followed"
	}
	return ""
}

func hintBind(s plan.Bind, e *StepError) string {
	if e.Call == "device" {
		return fmt.Sprintf("in a user namespace a device is the host's own node, and there it is not %d:%d", s.Rdev>>32, uint32(s.Rdev))
	}
	switch e.Errno {
	case unix.ENOTDIR:
		return "source and destination are of different kinds: bind a directory on a directory, a file on a file"
	case unix.EACCES:
		return hintPassage(s.Source)
	case unix.EPERM:
		if e.Call == "mount_setattr" {
			return "flags that the source has in another user namespace cannot be taken away"
		}
	case unix.ELOOP:
		if e.Call == "move_mount" {
			return "a mount namespace is bound to a file below the source (as snapd does, see /proc/self/mountinfo): bind what lies beside it, or bind and not rbind"
		}
	}
	return ""
}

// hintForbidden tells what keeps the program's file from being executed, as the stage has found it.
func hintForbidden(why string) string {
	if why == "noexec" {
		return "the file system that it is on is mounted noexec: remove that from the options of the mount in config.json, or of the host's below it"
	}
	return "it has no x bit: chmod +x it in the image"
}

// hintPassage names the directory above a path of the host that keeps a container's root in a user namespace from it.
func hintPassage(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err == nil && st.Mode&0o001 == 0 {
			return fmt.Sprintf("the users of the container's user namespace may not pass %s (mode %04o): chmod o+x it, or move what lies below it", dir, st.Mode&0o7777)
		}
		if dir == "/" || dir == "." {
			return ""
		}
	}
}

// suggestOption finds what is nearly an option of mount(8) among those that were left to the filesystem.
func suggestOption(data string) string {
	for o := range strings.SplitSeq(data, ",") {
		if s := cli.Suggest(o, config.MountOptions()); s != "" {
			return s
		}
	}
	return ""
}

func hintOption(fstype string, e *StepError) string {
	return fmt.Sprintf("the filesystem %s does not know this option, or not with this value", fstype) + suggestOption(e.Detail)
}

func hintMount(s plan.Mount, e *StepError) string {
	switch e.Errno {
	case unix.ENODEV:
		return fmt.Sprintf("this kernel does not know the filesystem %q: is its module loaded?", s.Type)
	case unix.ENOTDIR:
		return "a component of the path, or the root filesystem itself, is not a directory"
	case unix.EROFS:
		return "the mount point is missing, and the filesystem that it should be in is read-only"
	case unix.ENOSPC:
		return "the limit of mounts is reached: sysctl fs.mount-max"
	case unix.EPERM:
		return "in a user namespace this may need a namespace of the container's own (proc: pid, sysfs: network), or the host's own one may be masked"
	case unix.EINVAL:
		if e.Call == "fsconfig" {
			return hintOption(s.Type, e)
		}
		if s.Data != "" {
			return fmt.Sprintf("the filesystem may not know one of the options %q", s.Data) + suggestOption(s.Data)
		}
	}
	return ""
}
