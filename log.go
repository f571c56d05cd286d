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
	if newRuntime(c).Root == "/" { // its directories would be containers, and removable
		return usage(fmt.Errorf("--root: %q: it is to be a directory of davit's own, as /run/davit is", c.String("root")))
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

// forEngine is an error as an engine shows it, which takes the message alone of the log: in one line, with
// davit's name and the hint. The id that an engine has made (64 hex digits) is left out: it prints that itself.
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

// toStderr writes there; not by os.Stderr, which ends davit where nobody reads that any more: what it warns of goes on.
func toStderr(text string) { sys.WriteAll(unix.Stderr, []byte(text)) }

// write logs what is no error. It goes to the log file alone if there is one:
// standard error is the container's, too.
func (l *logger) write(level, text string) {
	text = withFlags(text)
	if !l.keep(level, text, "") {
		toStderr(l.line(level, text))
	}
}

// keep writes an entry where --log says. It returns false without --log.
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

// subject is the container that the verb is about, for the lines of --debug.
var subject string

// line is one entry of the log, in logrus' forms, which engines read. Those of --debug tell
// which davit it was, and about which container.
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

// warn logs what is not as it should be.
func warn(text string) {
	if logging.Warn != nil {
		logging.Warn(text)
	}
}
