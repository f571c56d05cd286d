package inspect

import (
	"reflect"
	"strings"
	"testing"
)

// TestParseTOML has the parts of TOML that a parser easily gets wrong.
func TestParseTOML(t *testing.T) {
	for text, want := range map[string][]setting{
		"a = 1 # one\n[b.'c.d']\ne = true\n": {
			{name: []string{"a"}, value: "1", line: 1}, {name: []string{"b", "c.d", "e"}, value: "true", line: 3}},
		`a = {b = "x", c.d = ["y", "z"], e = {f = 1}}`: {
			{name: []string{"a", "b"}, value: "x", line: 1}, {name: []string{"a", "c", "d"}, list: []string{"y", "z"}, line: 1},
			{name: []string{"a", "e", "f"}, value: "1", line: 1}},
		"a = \"\"\"\none\ntwo\"\"\"\nb = '''\nx = 1\n'''\nc = 3": {
			{name: []string{"a"}, value: "one\ntwo", line: 1}, {name: []string{"b"}, value: "x = 1\n", line: 4},
			{name: []string{"c"}, value: "3", line: 7}},
		"a = [\n  # none\n  [\"x\"], \"y\", # ]\n  \"z\",\n]\nb = 2": {
			{name: []string{"a"}, list: []string{"y", "z"}, line: 1}, {name: []string{"b"}, value: "2", line: 6}},
		`a = "\u00e4\t\\\"]#"`: {{name: []string{"a"}, value: "ä\t\\\"]#", line: 1}},
		"[[a.b]]\nc = 1\n[[a.b]]\nc = 2": {
			{name: []string{"a", "b", "c"}, value: "1", line: 2}, {name: []string{"a", "b", "c"}, value: "2", line: 4}},
		"\"a.b\" . 'c' = 'd'\r\n": {{name: []string{"a.b", "c"}, value: "d", line: 1}},
	} {
		got, err := parseTOML(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestParseTOMLRefuses(t *testing.T) {
	for text, line := range map[string]string{
		"a = \"x\" y":            "line 1: ",
		"a = 1\nb = 'x' 'y'":     "line 2: ",
		"a = true false":         "line 1: ",
		"a = [1 2]":              "line 1: ",
		"a = [1, 2":              "line 1: ",
		"a = nothing":            "line 1: ",
		"[a\n":                   "line 1: ",
		"[a] b = 1":              "line 1: ",
		"a = 1\n\na = 2":         "line 3: ",
		"[a]\nb = 1\n[a]\nc = 1": "line 3: ",
		`a = "\q"`:               "line 1: ",
		"a = \"one\ntwo\"":       "line 1: ",
	} {
		got, err := parseTOML(text)
		if err == nil || !strings.HasPrefix(err.Error(), line) {
			t.Errorf("%q: %+v, %v; want an error that begins with %q", text, got, err, line)
		}
	}
}
