package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestLogSocket checks what --log journald:ID and syslog:ID send: each entry is one datagram.
func TestLogSocket(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	for _, c := range []struct{ kind, text, want string }{
		{"journald", "one line", "PRIORITY=4\nMESSAGE=one line\nID=web\nSYSLOG_IDENTIFIER=davit\n"},
		{"journald", "two\nlines", "PRIORITY=4\nMESSAGE\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\nID=web\nSYSLOG_IDENTIFIER=davit\n"},
		{"syslog", "two\nlines", "<28>web[" + pid + "]: two lines"},
	} {
		path := filepath.Join(t.TempDir(), "socket")
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		old := logSocketPaths[c.kind]
		logSocketPaths[c.kind] = path
		defer func() { logSocketPaths[c.kind] = old }()
		sink, err := openLogSocket(c.kind, "web")
		if err != nil {
			t.Fatal(err)
		}
		log := &logger{format: "text", file: -1, sink: sink}
		log.write("warning", c.text)
		var buf [1024]byte
		n, err := l.Read(buf[:])
		if err != nil || string(buf[:n]) != c.want {
			t.Errorf("%s: %q, not %q: %v", c.kind, buf[:n], c.want, err)
		}
	}
	logSocketPaths["syslog"] = "/nope"
	if _, err := openLogSocket("syslog", "web"); err == nil || !strings.Contains(err.Error(), "--log: syslog: connect to /nope: no such file or directory") {
		t.Errorf("%v", err)
	}
}
