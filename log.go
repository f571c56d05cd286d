package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"davit/cgroups"
	"davit/cli"
	"davit/libcontainer"
	"davit/spec/jsonx"
)

// logger reports the error that davit ends with: on standard error for people,
// and in the log for engines, which read the last line of it.
type logger struct {
	format string
	file   *os.File
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
	if c.Bool("debug") {
		libcontainer.Log = l.debug
	}
	path := c.String("log")
	if path == "" {
		return nil
	}
	var err error
	l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_SYNC, 0o644)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	return nil
}

// fatal reports err. Without a log file, standard error carries the log's format.
func (l *logger) fatal(err error) {
	text := err.Error()
	var hinted *libcontainer.Hinted
	hint := cgroups.Hint(err)
	if errors.As(err, &hinted) {
		hint = hinted.Hint
	}
	if l.file != nil {
		l.file.WriteString(l.line("error", text, hint))
	}
	if l.file == nil && l.format == "json" {
		os.Stderr.WriteString(l.line("error", text, hint))
		return
	}
	os.Stderr.WriteString("davit: " + text + "\n")
	if hint != "" {
		os.Stderr.WriteString("  hint: " + hint + "\n")
	}
}

// debug logs a step that was taken. It goes to the log file alone if there is one:
// standard error is the container's, too.
func (l *logger) debug(text string) {
	if l.file != nil {
		l.file.WriteString(l.line("debug", text, ""))
		return
	}
	os.Stderr.WriteString(l.line("debug", text, ""))
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
