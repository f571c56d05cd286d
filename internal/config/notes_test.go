package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	for text, want := range map[string]string{
		`{"root":{"readonly":true}}`:                     "",
		`{"root":{"readOnly":true}}`:                     "root.readOnly: is taken for readonly, as runc does, but the spec's names are in that very case, and crun ignores others; write it readonly",
		`{"process":{"capabilites":{}}}`:                 "process.capabilites: is unknown, and ignored; did you mean capabilities?",
		`{"process":{"evn":[]}}`:                         "process.evn: is unknown, and ignored; did you mean env?",
		`{"x-vendor":1,"annotations":{"x":"y"}}`:         `["x-vendor"]: is unknown, and ignored; `,
		`{"process":{"user":{"username":"joe"}}}`:        "process.user.username: is for other platforms than Linux, and ignored; ",
		`{"windows":{"a":1,"b":2}}`:                      "windows: is for other platforms than Linux, and ignored; ",
		`{"mounts":[{},{"source":"a","source":"b"}]}`:    "mounts[1].source: is there twice: the last one counts; remove one of them",
		`{"annotations":{"a":"1","b":"2"}}`:              "",
		`{"annotations":{"a":"1","a":"2"}}`:              "annotations.a: is there twice: the last one counts; remove one of them",
		`{"linux":{"sysctl":{"net.x":"1","net.x":"2"}}}`: `linux.sysctl["net.x"]: is there twice: the last one counts; remove one of them`,
		`{"root":{"readOnly":true,"readonly":false}}`: "root.readOnly: is taken for readonly, as runc does, but the spec's names are in that very case, and crun ignores others; write it readonly\n" +
			"root.readonly: is there twice: the last one counts; remove one of them",
		`{"mounts":[{"source":"a"},{"source":"a"}]}`: "",
	} {
		var got []string
		for _, n := range Notes([]byte(text)) {
			got = append(got, fmt.Sprintf("%s: %s; %s", n.Path, n.Message, n.Hint))
		}
		if s := strings.Join(got, "\n"); s != want {
			t.Errorf("%s:\n%s\nwant:\n%s", text, s, want)
		}
	}
}

// A name in another case is honoured, as runc's decoder has it: a root that somebody believes
// read-only is.
func TestNamesInAnyCase(t *testing.T) {
	s, err := Decode([]byte(`{"ROOT":{"readOnly":true},"process":{"NoNewPrivileges":true},"linux":{"maskedpaths":["/x"]}}`))
	if err != nil || !s.Root.Readonly || !s.Process.NoNewPrivileges || len(s.Linux.MaskedPaths) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}
