package sys

import (
	"strconv"
	"strings"
)

// FDPath returns the path by which a call that wants a path gets the open descriptor fd of this process (proc_pid_fd(5)).
func FDPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// mountinfoEscapes are the characters that the kernel writes in octal into mountinfo (mangle of fs/proc_namespace.c).
var mountinfoEscapes = [...][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\043`, "#"}, {`\134`, `\`}}

// UnescapeMount returns a field of /proc/PID/mountinfo as it was before the kernel wrote spaces, tabs, newlines, "#" and
// backslashes in octal (proc_pid_mountinfo(5)).
func UnescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	for _, e := range mountinfoEscapes {
		s = strings.ReplaceAll(s, e[0], e[1])
	}
	return s
}
