package libcontainer

import (
	"fmt"

	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/plan"
	"davit/nsenter"
)

func withHint(err error, hint string) error { return fault.WithHint(err, hint) }

func stepError(p *plan.Plan, m nsenter.Message) error { return diagnose.Step(p, m) }

func explainExec(err error, root, cwd string) error { return diagnose.Program(err, root, cwd) }

// Hint returns the cure of an error, or of what it wraps: "" if nobody knows one. No hint has words in it that
// engines match (TestMatches of tests/integration): they read it, too.
func Hint(err error) string { return diagnose.Hint(err) }

// inBytes is a number of bytes in words.
func inBytes(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
