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

func explainExec(err error, files diagnose.Files, cwd string) error {
	return diagnose.Program(err, files, cwd)
}

// Hint returns advice on how to cure err or an error that it wraps, or "" if there is none. A hint contains no words for which engines
// search in messages, because they search in hints as well (TestMatches of tests/integration).
func Hint(err error) string { return diagnose.Hint(err) }

// inBytes returns n as text, with its unit.
func inBytes(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
