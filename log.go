package main

import (
	"fmt"
	"strings"
	"time"

	"davit/cli"
	"davit/libcontainer"
	"davit/memfd"
	"davit/show"
	"davit/spec/jsonx"

	"golang.org/x/sys/unix"
)

// logger reports the error that davit ends with: on standard error for people,
// and in the log for engines, which read the last line of it.
type logger struct {
	format string
	file   int // -1 without --log
	sink   *logSocket
}

// open takes the global flags.
func (l *logger) open(c *cli.Context) error {
	l.format = c.String("log-format")
	if l.format != "text" && l.format != "json" {
		bad := l.format
		l.format = "text"
		return usage(fmt.Errorf("--log-format: %q: text or json", bad))
	}
	switch r := c.String("rootless"); r {
	case "auto", "true", "false":
	default:
		return usage(fmt.Errorf("--rootless: %q: true, false or auto", r))
	}
	if store(c).Root == "/" { // its directories would be containers, and removable
		return usage(fmt.Errorf("--root: %q: it is to be a directory of davit's own, as /run/davit is", c.String("root")))
	}
	level := c.String("log-level")
	switch level {
	case "error", "warning", "debug":
	default:
		return usage(fmt.Errorf("--log-level: %q: error, warning or debug", level))
	}
	if c.Bool("debug") || level == "debug" {
		libcontainer.Log = func(text string) { l.write("debug", text) }
	}
	libcontainer.Warn = func(string) {}
	if level != "error" {
		libcontainer.Warn = func(text string) { l.write("warning", text) }
	}
	path := c.String("log")
	if path == "" {
		return nil
	}
	if kind, id, _ := strings.Cut(path, ":"); kind == "journald" || kind == "syslog" {
		var err error
		l.sink, err = openLogSocket(kind, id)
		return err
	}
	path = strings.TrimPrefix(path, "file:") // as crun has it
	// Not os.OpenFile, which would set up Go's poller: engines always give --log.
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("--log: open %s: %w", path, err)
	}
	l.file = fd
	return nil
}

// fatal reports err. Without a log file, standard error carries the log's format.
func (l *logger) fatal(err error) {
	text, hint := err.Error(), libcontainer.Hint(err)
	l.keep("error", text, hint)
	if l.file < 0 && l.sink == nil && l.format == "json" {
		toStderr(l.line("error", text, hint))
		return
	}
	toStderr("davit: " + show.Error(err) + "\n")
	if hint != "" {
		toStderr("  hint: " + show.Line(hint) + "\n")
	}
}

// toStderr writes there; not by os.Stderr, which ends davit where nobody reads that any more: what it warns of goes on.
func toStderr(text string) { memfd.WriteAll(unix.Stderr, []byte(text)) }

// write logs what is no error. It goes to the log file alone if there is one:
// standard error is the container's, too.
func (l *logger) write(level, text string) {
	if !l.keep(level, text, "") {
		toStderr(l.line(level, text, ""))
	}
}

// keep writes an entry where --log says. It returns false without --log.
func (l *logger) keep(level, text, hint string) bool {
	switch {
	case l.sink != nil:
		l.sink.write(level, text, hint)
	case l.file >= 0:
		unix.Write(l.file, []byte(l.line(level, text, hint)))
	default:
		return false
	}
	return true
}

// line is one entry of the log, in logrus' forms, which engines read.
func (l *logger) line(level, text, hint string) string {
	now := time.Now().Format(time.RFC3339)
	if l.format == "json" {
		var e jsonx.Encoder
		e.Object()
		if hint != "" {
			e.Key("hint")
			e.String(hint)
		}
		e.Key("level")
		e.String(level)
		e.Key("msg")
		e.String(text)
		e.Key("time")
		e.String(now)
		e.EndObject()
		return string(e.Bytes()) + "\n"
	}
	line := fmt.Sprintf("time=%q level=%s msg=%q", now, level, text)
	if hint != "" {
		line += fmt.Sprintf(" hint=%q", hint)
	}
	return strings.ReplaceAll(line, "\n", " ") + "\n"
}
