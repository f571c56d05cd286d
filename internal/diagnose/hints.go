package diagnose

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"davit/internal/cli"
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/plan"

	"golang.org/x/sys/unix"
)

const (
	hintRoot         = "the root filesystem must exist: by default it is the directory rootfs beside config.json"
	hintSource       = `the source must exist on the host; check "source" in config.json`
	hintNoMountPoint = "davit's / is no mount point, as in a plain chroot: bind the directory on itself before chroot, or pivot_root to it"

	hintRecursive = `in a user namespace a bind mount takes along what is mounted below its source: use "rbind"`
)

// HintOpen explains why a descriptor cannot be opened; "" if the error is clear by itself.
func HintOpen(d *plan.Descriptor, err error) string {
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
		return "a detached container with process.terminal true needs option ConsoleSocket"
	}
	return ""
}

// HintMap explains why a tree cannot have mappings.
func HintMap(err error) string {
	switch {
	case errors.Is(err, unix.EINVAL):
		return "the source's filesystem does not support idmapped mounts on this kernel"
	case errors.Is(err, unix.EPERM):
		return "an idmapped mount takes privileges over the source's filesystem, and a source that is not idmapped already"
	}
	return ""
}

// hintEnter explains why the stage cannot make a mount namespace of the root filesystem alone.
func hintEnter(s plan.Enter, e *fault.Error, errno unix.Errno) string {
	switch {
	case errno == unix.EACCES:
		return hintPassage(s.Path)
	case errno == unix.ENOENT && e.Call == "open_tree":
		return hintRoot
	case errno == unix.ENOTDIR:
		return "the root filesystem must be a directory"
	case errno == unix.ENOSPC:
		return "a limit on namespaces or mounts is reached: see /proc/sys/user/max_mnt_namespaces and fs.mount-max"
	case errno == unix.EINVAL && e.Call == "mount":
		return hintNoMountPoint
	}
	return ""
}

// enotsupp is ENOTSUPP of the kernel's linux/errno.h. It is not meant for user space and has no
// text there, but seccomp(2) returns it if the JIT compiler has no room left.
const enotsupp = unix.Errno(524)

// hintStep explains an errno that misleads.
func hintStep(step plan.Step, e *fault.Error, errno unix.Errno) string {
	switch s := step.(type) {
	case plan.Mount:
		if hint := hintMount(s.Type, s.Data, e, errno); hint != "" {
			return hint
		}
	case plan.Root:
		switch {
		case errno == unix.EACCES:
			return hintPassage(s.Path)
		case errno == unix.ENOENT && e.Call == "open_tree":
			return hintRoot
		}
	case plan.Enter:
		if hint := hintEnter(s, e, errno); hint != "" {
			return hint
		}
	case plan.Label:
		if errno == unix.ENOENT && strings.Contains(s.File, "apparmor") {
			return fmt.Sprintf("the AppArmor profile %q is not loaded on this host: load it with apparmor_parser, or ask aa-status which ones are", strings.TrimPrefix(s.Text, "exec "))
		}
	case plan.StdioOwner:
		if e.Subject == "/dev/null" {
			return "the host's /dev/null, which is its stdin, stdout or stderr, is not given to a container; the container needs a /dev/null, or other stdio"
		}
	case plan.Propagation:
		if errno == unix.EINVAL {
			return hintNoMountPoint
		}
	case plan.Source:
		switch {
		case errno == unix.ENOENT:
			return hintSource
		case errno == unix.EINVAL && !s.Recursive:
			return hintRecursive
		}
	case plan.Copy:
		if errno == unix.EINVAL && !s.Recursive {
			return hintRecursive
		}
	case plan.Gather:
		if errno == unix.ENOTDIR && e.Field == "root.path" {
			return "the root filesystem must be a directory"
		}
	case plan.Bind:
		if hint := hintBind(s, e, errno); hint != "" {
			return hint
		}
	case plan.CopyUp:
		if errno == unix.EAGAIN && e.Call == "openat" {
			return "another process holds a lease on the file, and has not given it up within a second: see LEASE in /proc/locks"
		}
	case plan.Options:
		if errno == unix.EINVAL && e.Call == "fsconfig" {
			return hintOption(s.Type, e)
		}
	case plan.Remount:
		if errno == unix.EINVAL && e.Call == "mount_setattr" {
			return "a remount changes a mount that is there already, and nothing is mounted there"
		}
	case plan.Mask, plan.ReadOnly:
		if errno == unix.ENOTDIR {
			return "a component of the path is a file, so that there is nothing below it"
		}
	case plan.Sysctl:
		if errno == unix.ENOENT {
			return "this kernel has no such sysctl in the container's namespaces, or the module that has it is not loaded"
		}
	case plan.Device:
		if errno == unix.EEXIST {
			return "something else than this device has that path in the root filesystem: remove it there, or the device from linux.devices"
		}
	case plan.Filesystem:
		return hintMount(s.Type, "", e, errno)
	case plan.Pivot, plan.Confine:
		switch errno {
		case unix.EINVAL:
			return "the host's root may be an initramfs: try option NoPivot"
		case unix.ENOTDIR:
			return "the root filesystem must be a directory"
		}
	default:
		if hint := hintProcess(step, errno); hint != "" {
			return hint
		}
	}
	if errno == unix.ELOOP && e.Call == "openat2" {
		return "a symbolic link in the root filesystem stands where none may be followed"
	}
	return ""
}

// hintProcess explains an errno of the steps for the process, not for its root filesystem.
func hintProcess(step plan.Step, errno unix.Errno) string {
	switch step.(type) {
	case plan.Scheduler:
		if errno == unix.EPERM {
			return "it needs CAP_SYS_NICE; with cgroups v1, real-time policies also need linux.resources.cpu.realtimeRuntime"
		}
	case plan.Rlimit:
		if errno == unix.EPERM {
			return "raising a hard limit above davit's own needs CAP_SYS_RESOURCE"
		}
	case plan.Capabilities, plan.Bounding:
		if errno == unix.EPERM {
			return "davit cannot give capabilities that it does not have itself (CapPrm in /proc/self/status)"
		}
	case plan.Seccomp:
		if errno == enotsupp {
			return "524: the kernel's limit for compiled filters is reached: raise the sysctl net.core.bpf_jit_limit"
		}
	case plan.Keyring:
		if errno == unix.EDQUOT {
			return "the user's quota of keys is used up (kernel.keys.maxkeys), or use option NoNewKeyring"
		}
	case plan.Exec:
		switch errno {
		case unix.ENOEXEC:
			return "the program is for another architecture, or a script without a #! line"
		case unix.ENOENT:
			return "the program is there: its interpreter (the #! line, or the dynamic loader) is not"
		}
	}
	return ""
}

func hintBind(s plan.Bind, e *fault.Error, errno unix.Errno) string {
	if e.Call == "device" {
		return fmt.Sprintf("in a user namespace a device is the host's own node, and there it is not %d:%d", s.Rdev>>32, uint32(s.Rdev))
	}
	switch errno {
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

// hintForbidden says why the program's file may not be executed, as the stage has found out.
func hintForbidden(why string) string {
	if why == "noexec" {
		return "the file system that it is on is mounted noexec: remove that from the options of the mount in config.json, or of the host's below it"
	}
	return "it has no x bit: chmod +x it in the image"
}

// hintPassage finds a directory above a path of the host that the root user of a container in a
// user namespace may not pass.
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

// suggestOption finds an option that was passed to the filesystem, but looks like a misspelt option
// of mount(8).
func suggestOption(data string) string {
	for o := range strings.SplitSeq(data, ",") {
		if s := cli.Suggest(o, config.MountOptions()); s != "" {
			return s
		}
	}
	return ""
}

func hintOption(fstype string, e *fault.Error) string {
	return fmt.Sprintf("the filesystem %s does not know this option, or not with this value", fstype) + suggestOption(e.Subject)
}

func hintMount(fstype, data string, e *fault.Error, errno unix.Errno) string {
	switch errno {
	case unix.ENODEV:
		return fmt.Sprintf("this kernel does not know the filesystem %q: is its module loaded?", fstype)
	case unix.ENOENT:
		if fstype == "overlay" {
			return fmt.Sprintf("a directory is missing that the options %q name", data)
		}
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
			return hintOption(fstype, e)
		}
		if data != "" {
			return fmt.Sprintf("the filesystem may not know one of the options %q", data) + suggestOption(data)
		}
	}
	return ""
}

// Hint returns the cure of an error, or of an error that it wraps; "" if there is none. Engines
// read hints, too, so no hint contains words that engines look for in errors (TestMatches of
// tests/integration).
func Hint(err error) string {
	if hint := fault.Hint(err); hint != "" {
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
