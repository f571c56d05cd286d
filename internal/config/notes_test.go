package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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

// davit honours a name in another case, as runc's decoder does. If a user believes that the root is
// read-only, it is.
func TestNamesInAnyCase(t *testing.T) {
	s, err := Decode([]byte(`{"ROOT":{"readOnly":true},"process":{"NoNewPrivileges":true},"linux":{"maskedpaths":["/x"]}}`))
	if err != nil || !s.Root.Readonly || !s.Process.NoNewPrivileges || len(s.Linux.MaskedPaths) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// properties calls each for every property of an object, and of the objects below it, that the spec
// names. It leaves out the names in maps (b and a.c, see fill), because they can be anything.
func properties(v any, each func(object map[string]any, key string)) {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			properties(v[0], each)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if key != "b" && key != "a.c" {
				each(v, key)
			}
			properties(v[key], each)
		}
	}
}

// TestNotesEverywhere takes every property of a config in turn. It misspells the property, writes
// it in capitals, and gives it twice. Each time davit reports that, with the property's place, and
// nothing else.
func TestNotesEverywhere(t *testing.T) {
	text, err := json.Marshal(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&config); err != nil {
		t.Fatal(err)
	}
	seen := 0
	const again = "again"
	properties(config, func(object map[string]any, key string) {
		seen++
		for _, change := range []struct{ name, message, hint string }{
			{key[:1] + key, "is unknown, and ignored", "did you mean " + key + "?"},
			{strings.ToUpper(key), "is taken for " + key + ", as runc does, but the spec's names are in that very case, and crun ignores others", "write it " + key},
			{again, "is there twice: the last one counts", "remove one of them"},
		} {
			object[change.name] = object[key]
			if change.name != again {
				delete(object, key)
			}
			changed, _ := json.Marshal(config)
			if _, is := object[key]; !is {
				object[key] = object[change.name]
			}
			delete(object, change.name)
			name := change.name
			if name == again {
				changed, name = bytes.Replace(changed, []byte(`"again":`), []byte(`"`+key+`":`), 1), key
			}
			notes := Notes(changed)
			if len(notes) != 1 || !strings.HasSuffix("."+notes[0].Path, "."+name) || notes[0].Message != change.message || notes[0].Hint != change.hint {
				t.Errorf("%s as %s: %+v", key, change.name, notes)
			}
		}
	})
	if seen < 200 {
		t.Errorf("only %d properties", seen)
	}
}
