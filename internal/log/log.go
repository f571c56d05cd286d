// Package log is what the packages below the command line say besides errors. There is no logger of the process: each
// runtime is given one, and two in one process may differ.
package log

import "fmt"

// Logger takes what is said, one line at a time. Its zero value drops everything.
type Logger struct {
	Debug func(text string) // each step that is taken; nil: nobody reads it
	Warn  func(text string) // what is not as it should be, but done all the same
}

// Debugf logs a step.
func (l Logger) Debugf(format string, args ...any) {
	if l.Debug != nil {
		l.Debug(fmt.Sprintf(format, args...))
	}
}

// Warnf logs what is not as it should be.
func (l Logger) Warnf(format string, args ...any) {
	if l.Warn != nil {
		l.Warn(fmt.Sprintf(format, args...))
	}
}
