package main

import (
	"fmt"
	"strings"
	"time"

	"davit/internal/cli"
	"davit/internal/jsonx"
	"davit/internal/show"
	"davit/internal/sys"
	"davit/libcontainer"

	"golang.org/x/sys/unix"
)

// logger reports the error that davit ends with: on standard error for people, and in the log for
// engines, which read its last line.
type logger struct {
	format string
	file   int // -1 without --log
	sink   *logSocket
}

// open reads the global flags.
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
	if newRuntime(c).Root == "/" { // every directory in it would be a container, which delete could remove
		return usage(fmt.Errorf("--root: %q: it must be a directory that only davit uses, such as /run/davit", c.String("root")))
	}
	level := c.String("log-level")
	switch level {
	case "error", "warning", "debug":
	default:
		return usage(fmt.Errorf("--log-level: %q: error, warning or debug", level))
	}
	if c.Bool("debug") || level == "debug" {
		logging.Debug = func(text string) { l.write("debug", text) }
	}
	if level != "error" {
		logging.Warn = func(text string) { l.write("warning", text) }
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
	path = strings.TrimPrefix(path, "file:") // crun's form
	// os.OpenFile would set up Go's poller, which takes time, and engines always use --log.
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("--log: open %s: %w", path, err)
	}
	l.file = fd
	return nil
}

// fatal reports err. Without a log file, standard error has the format of the log.
func (l *logger) fatal(err error) {
	text, hint := withFlags(err.Error()), withFlags(libcontainer.Hint(err))
	l.keep("error", text, hint)
	if l.file < 0 && l.sink == nil && l.format == "json" {
		toStderr(l.line("error", forEngine(text, hint)))
		return
	}
	toStderr("davit: " + withFlags(show.Error(err)) + "\n")
	if hint != "" {
		toStderr("  hint: " + show.Line(hint) + "\n")
	}
}

// forEngine returns an error in the form in which an engine shows it. Engines take only the message
// from the log. So it is one line with davit's name and the hint. An id that the engine has made
// (64 hex digits) is left out, since the engine prints it itself.
func forEngine(text, hint string) string {
	for i, word := range strings.SplitN(text, " ", 3) {
		if id := strings.TrimSuffix(word, ":"); i == 1 && len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" {
			text = strings.ReplaceAll(text, " "+id, "")
		}
	}
	text = strings.ReplaceAll(text, "\n  hint: ", "; hint: ")
	if hint != "" {
		text += "; hint: " + hint
	}
	return "davit: " + strings.ReplaceAll(text, "\n", "; ")
}

// toStderr writes to standard error. It does not use os.Stderr, which would end davit by SIGPIPE if
// nobody reads that any more: after a warning davit must go on.
func toStderr(text string) { sys.WriteAll(unix.Stderr, []byte(text)) }

// write logs a message that is not an error. If there is a log file, it only goes there, because
// standard error also belongs to the container.
func (l *logger) write(level, text string) {
	text = withFlags(text)
	if !l.keep(level, text, "") {
		toStderr(l.line(level, text))
	}
}

// keep writes an entry to the log of --log. It returns false without --log.
func (l *logger) keep(level, text, hint string) bool {
	switch {
	case l.sink != nil:
		l.sink.write(level, text, hint)
	case l.file >= 0 && level == "error":
		unix.Write(l.file, []byte(l.line(level, forEngine(text, hint))))
	case l.file >= 0:
		unix.Write(l.file, []byte(l.line(level, text)))
	default:
		return false
	}
	return true
}

// subject is the id of the container that the verb is about, for the entries of --debug.
var subject string

// line returns one entry of the log, in the form of logrus, which engines read. The entries of
// --debug also say davit's version and the container.
func (l *logger) line(level, text string) string {
	now := time.Now().Format(time.RFC3339)
	debug := level == "debug"
	if l.format == "json" {
		var e jsonx.Encoder
		e.Object()
		field := func(key, value string, given bool) {
			if given {
				e.Key(key)
				e.String(value)
			}
		}
		field("id", subject, debug && subject != "")
		field("level", level, true)
		field("msg", text, true)
		field("time", now, true)
		field("version", version, debug)
		e.EndObject()
		return string(e.Bytes()) + "\n"
	}
	line := fmt.Sprintf("time=%q level=%s msg=%q", now, level, text)
	if debug {
		line += fmt.Sprintf(" id=%q version=%q", subject, version)
	}
	return strings.ReplaceAll(line, "\n", " ") + "\n"
}

// warn logs a warning.
func warn(text string) {
	if logging.Warn != nil {
		logging.Warn(text)
	}
}
