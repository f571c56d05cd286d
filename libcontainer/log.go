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
