package libcontainer

import "fmt"

// Log gets a line for each step that is taken, if it is set (--debug).
var Log func(text string)

// logf logs a step; without --debug it does nothing.
func logf(format string, args ...any) {
	if Log != nil {
		Log(fmt.Sprintf(format, args...))
	}
}

// Warn gets a line for what is not as it should be, but done all the same.
var Warn func(text string)

func warnf(format string, args ...any) {
	if Warn != nil {
		Warn(fmt.Sprintf(format, args...))
	}
}
