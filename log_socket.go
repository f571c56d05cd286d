package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// logSocket is a connection to systemd's journal or to the system log, for --log journald:ID and
// syslog:ID, which crun has, too.
type logSocket struct {
	kind, id string
	fd       int
}

// logSocketPaths are the sockets of systemd's "Native Journal Protocol" and of syslog(3).
var logSocketPaths = map[string]string{"journald": "/run/systemd/journal/socket", "syslog": "/dev/log"}

func openLogSocket(kind, id string) (*logSocket, error) {
	path := logSocketPaths[kind]
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("--log: socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("--log: %s: connect to %s: %w", kind, path, err)
	}
	return &logSocket{kind, id, fd}, nil
}

// priorities are the levels of syslog(3).
var priorities = map[string]int{"error": 3, "warning": 4, "debug": 7}

// write sends one entry. It does not wait for a reader: davit must never depend on a log.
func (s *logSocket) write(level, text, hint string) {
	if hint != "" {
		text += "\n  hint: " + hint
	}
	var entry []byte
	if s.kind == "journald" {
		for _, field := range [...][2]string{
			{"PRIORITY", strconv.Itoa(priorities[level])}, {"MESSAGE", text}, {"ID", s.id}, {"SYSLOG_IDENTIFIER", programName()},
		} {
			entry = appendField(entry, field[0], field[1])
		}
	} else {
		const daemon = 3 << 3 // the facility LOG_DAEMON
		entry = fmt.Appendf(nil, "<%d>%s[%d]: %s", daemon|priorities[level], s.id, os.Getpid(), strings.ReplaceAll(text, "\n", " "))
	}
	unix.Sendto(s.fd, entry, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
}

// appendField adds a field to an entry of the journal: NAME=value and a line break. If the value
// has line breaks, the field is the name, a line break, the length of the value as 8 bytes
// (little-endian), the value and a line break.
func appendField(entry []byte, name, value string) []byte {
	entry = append(entry, name...)
	if strings.IndexByte(value, '\n') < 0 {
		entry = append(append(entry, '='), value...)
		return append(entry, '\n')
	}
	entry = binary.LittleEndian.AppendUint64(append(entry, '\n'), uint64(len(value)))
	return append(append(entry, value...), '\n')
}
