package main

import (
	"os"
	"regexp"
	"testing"
)

// The guide must not name what is gone: every `file:function` of it exists.
func TestDesignNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`([a-z/_]+\\.(?:go|c)):([A-Za-z_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 10 {
		t.Fatalf("only %d functions named: the table is gone, or written differently", len(names))
	}
	for _, n := range names {
		source, err := os.ReadFile(n[1])
		if err != nil {
			t.Errorf("docs/design.md: %v", err)
			continue
		}
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?` + n[2] + `\(|[a-z_].*\b` + n[2] + `\()`)
		if !declared.Match(source) {
			t.Errorf("docs/design.md names %s in %s, which has no such function", n[2], n[1])
		}
	}
}
