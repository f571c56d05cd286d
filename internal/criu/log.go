package criu

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLog is how many bytes at the end of a log are searched.
const maxLog = 1 << 20

// maxErrors is how many lines of a log are quoted at most. The first ones show the cause.
const maxErrors = 4

// LogErrors returns the first lines with errors in one of CRIU's logs, without their time stamps.
// If it cannot read the log, it returns no lines.
func LogErrors(dir int, name string) []string {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	data := make([]byte, min(st.Size, maxLog))
	n, err := unix.Pread(fd, data, st.Size-int64(len(data)))
	if err != nil {
		return nil
	}
	return errorLines(string(data[:n]))
}

// errorLines returns the lines "(00.012345) Error (criu/file.c:12): text" of a log, each text once. CRIU does not call it an error that
// it cannot reach the page server.
func errorLines(log string) []string {
	var found []string
	for line := range strings.SplitSeq(log, "\n") {
		if len(found) == maxErrors {
			break
		}
		_, text, is := strings.Cut(line, "Error (")
		if !is {
			if _, text, is = strings.Cut(line, ") Can't connect to server "); !is {
				continue
			}
			text = "Can't connect to server " + text
		} else if isHarmless(text) {
			continue
		} else if _, message, ok := strings.Cut(text, "): "); ok {
			text = message
		}
		if text = strings.TrimSpace(text); text != "" && !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	return found
}

// isHarmless reports whether CRIU goes on after an error: on many hosts it may not raise the limit
// of open files, and it tries several programs for packet filters.
func isHarmless(text string) bool {
	return strings.Contains(text, "RLIMIT_NOFILE") || strings.Contains(text, "restore -V failed") || strings.Contains(text, `execvp("ip`)
}

func firstLine(text []byte) string {
	text, _, _ = bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return string(text)
}

// hints has cures for the most frequent errors of CRIU.
var hints = [...]struct{ text, hint string }{
	{"Connected TCP socket", "the container has TCP connections: give option TCPEstablished, or option TCPClose"},
	{"in-flight TCP connection", "give option TCPSkipInFlight"},
	{"Dumping shell", "give option ShellJob"},
	{"is not set. Consider using", "give option ShellJob"},
	{"session leader", "give option ShellJob"},
	{"external stream unix", "give option ExtUnixSk"},
	{"External socket", "give option ExtUnixSk"},
	{"external socket", "give option ExtUnixSk"},
	{"file-locks", "the container holds file locks: give option FileLocks"},
	{"file locks", "the container holds file locks: give option FileLocks"},
	{"link-remap", "the container has open files that were removed: give option LinkRemap"},
	{"Can't create link remap", "the container has open files that were removed: give option LinkRemap"},
	{"soft-dirty", "this kernel does not track changed memory (CONFIG_MEM_SOFT_DIRTY): dump all at once, without option PreDump and option ParentPath"},
	{"mem_dirty_track", "this kernel does not track changed memory (CONFIG_MEM_SOFT_DIRTY): dump all at once, without option PreDump and option ParentPath"},
	{"Unseizable non-zombie", "a process could not be stopped (state D): it may have been in the middle of a vfork(2), and then another try helps"},
	{"has bad size", "a file that a process has open was longer or shorter at the checkpoint; for standard output give restore the same file (>>)"},
	{"Can't connect to server", "option PageServer: no page server listens there; `criu page-server` is one, and must be started first"},
	{"Illegal seek", "a standard stream that was a file at the checkpoint must be one again: give restore the same file (>>), not a pipe"},
	{"has bad mode", "a standard stream that was a file or a pipe with a name must be one again, with the same mode"},
	{"without peer", "a process is connected to a unix socket in another network namespace, which CRIU cannot save: end that connection"},
	{"Can't connect", "in the container, the socket must have the path at which the host's server has it"},
	{"Can't lookup mount=", "a process has a file open that is on none of the container's mounts"},
	{"anon_inode:[io_uring]", "CRIU cannot save io_uring"},
	{"iptables", "CRIU blocks the network with iptables: install it, or give option NetworkLock nftables or skip"},
	{"No mapping for", "the checkpoint has a mount that this config.json does not have"},
	{"cpu_cap", "the checkpoint was made on another kind of processor"},
	{"FPU", "the checkpoint may have been made on another kind of processor"},
	{"Abort restore of existing cgroups", "davit makes the container's cgroup, which option CgroupsMode strict does not allow: give full"},
	{"Failed to resolve hostname", "option PageServer: give its address"},
	{"execvp(\"tar\"", "CRIU saves the content of a tmpfs with tar: install it"},
	{"exec(tar", "CRIU saves the content of a tmpfs with tar: install it"},
}

// Hint returns a cure for the errors in lines of a log, or "".
func Hint(lines []string) string {
	for _, h := range hints {
		for _, line := range lines {
			if strings.Contains(line, h.text) {
				return h.hint
			}
		}
	}
	return ""
}
