package sys

import (
	"fmt"
	"strconv"
	"strings"
)

// FDPath returns the path by which a call that wants a path gets the open descriptor fd of this process (proc_pid_fd(5)).
func FDPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Mount is a line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID      uint64
	Device  string // of the filesystem, MAJOR:MINOR
	Root    string // what of the filesystem is mounted: "/" for all of it
	Point   string // where the mount is, from the root directory of the process
	Options string // of this mount alone, separated by commas
	Type    string // of the filesystem
}

// Mounts returns the mounts of a process, as that process sees them, in the order of the kernel: where several are at one
// point, the last is on top. pid is a number, "self" or "thread-self".
func Mounts(pid string) ([]Mount, error) {
	file := "/proc/" + pid + "/mountinfo"
	data, err := ReadWhole(file)
	if err != nil {
		return nil, err
	}
	list, err := parseMounts(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

// Status returns the lines of /proc/PID/status (proc_pid_status(5)) by their names. pid is a number or "self".
func Status(pid string) (map[string]string, error) {
	data, err := ReadWhole("/proc/" + pid + "/status")
	if err != nil {
		return nil, err
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines[name] = strings.TrimSpace(value)
		}
	}
	return lines, nil
}

func parseMounts(text string) ([]Mount, error) {
	var list []Mount
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 6 || len(g) < 1 {
			return nil, fmt.Errorf("a line is not as proc_pid_mountinfo(5) says: %q", line)
		}
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the mount id %q is not a number", f[0])
		}
		list = append(list, Mount{ID: id, Device: f[2], Root: unescapeMount(f[3]), Point: unescapeMount(f[4]), Options: f[5], Type: g[0]})
	}
	return list, nil
}

// mountinfoEscapes are the characters that the kernel writes in octal into mountinfo (mangle of fs/proc_namespace.c).
var mountinfoEscapes = [...][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\043`, "#"}, {`\134`, `\`}}

// unescapeMount returns a field of /proc/PID/mountinfo as it was before the kernel wrote spaces, tabs, newlines, "#" and
// backslashes in octal (proc_pid_mountinfo(5)).
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	for _, e := range mountinfoEscapes {
		s = strings.ReplaceAll(s, e[0], e[1])
	}
	return s
}
