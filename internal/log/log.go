// Package log has the logger that the packages below the command line use. There is no logger for
// the whole process: each Runtime has its own, and two in one process may differ.
package log

import "fmt"

// Logger gets the messages, one line for each call. Its zero value drops them.
type Logger struct {
	Debug func(text string) // gets what davit does, step by step; nil: nobody reads it
	Warn  func(text string) // gets warnings about something that is wrong although davit goes on
}

// Debugf logs a step.
func (l Logger) Debugf(format string, args ...any) {
	if l.Debug != nil {
		l.Debug(fmt.Sprintf(format, args...))
	}
}

// Warnf logs a warning.
func (l Logger) Warnf(format string, args ...any) {
	if l.Warn != nil {
		l.Warn(fmt.Sprintf(format, args...))
	}
}
