// Package failure makes errors about fields of linux.resources.
package failure

import (
	"fmt"

	"davit/internal/fault"
)

// Resources is what the names of the fields begin with.
const Resources = "linux.resources."

// Refuse returns the error for a value that davit itself does not accept. The field is named
// without Resources.
func Refuse(field, hint, format string, args ...any) *fault.Error {
	return &fault.Error{Field: Resources + field, Text: fmt.Sprintf(format, args...), Hint: hint}
}
