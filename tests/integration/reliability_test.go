package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// exhaustive reports whether the tests must leave nothing out (make test-faults). Otherwise they
// take a sample of some seconds.
func exhaustive() bool { return os.Getenv("DAVIT_FAULTS") == "all" }

// recordLine adds a line to a table of docs/reliability.md, if this run writes that document.
func recordLine(t *testing.T, table, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	dir := os.Getenv("DAVIT_RELIABILITY")
	if dir == "" {
		return
	}
	f, err := os.OpenFile(filepath.Join(dir, table), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "| %s | %s\n", os.Getenv(viewVariable), line)
}
