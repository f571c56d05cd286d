package sample

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// full is a Sample with a value in every field.
func full() *Sample {
	yes, text, limit := true, "<&>", int64(-1)
	when := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	numbers := []number{-1, 2}
	return &Sample{
		Embedded: Embedded{Major: 8}, Text: "é\n", Untagged: "u", Dash: "d", Word: "w", Number: -7, Flag: true, Float: 0.5,
		Uintptr: 1 << 40, Int8: -128, Words: []word{"a", ""}, Lines: []string{"x"}, Grid: [][]string{{"a"}, nil, {}},
		Pointers: []*inner{{Name: "p"}, nil}, Inner: inner{Name: "i", Next: &inner{Name: "n", Count: 255}},
		Far: &inner{}, Maybe: &yes, MaybeText: &text, Labels: map[string]string{"b": "1", "a.c": "2"},
		Groups: map[word][]inner{"g": {{Name: "1"}, {Name: "2"}}, "e": nil}, Deep: map[string]*[]number{"k": &numbers, "n": nil},
		Raw: `{"any":[1,2.5,null]}`, When: when, Later: &when, Times: []time.Time{when},
		Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, Status: specs.StateRunning,
	}
}

// reference returns s as encoding/json writes it. It tells encoding/json what a jsonx.Raw is.
func reference(t *testing.T, s *Sample) string {
	t.Helper()
	type told struct {
		*Sample
		Raw json.RawMessage `json:"raw"`
	}
	v := told{Sample: s}
	if s.Raw != "" {
		v.Raw = json.RawMessage(s.Raw)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// generic decodes a text, so that texts can be compared whatever the order of their properties is.
func generic(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestRoundTrip(t *testing.T) {
	for _, s := range []*Sample{full(), {}} {
		var e jsonx.Encoder
		encodeSample(&e, s)
		text := string(e.Bytes())
		if want := reference(t, s); !reflect.DeepEqual(generic(t, text), generic(t, want)) {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
		var back Sample
		d := jsonx.NewDecoder("sample", []byte(text))
		decodeSample(&d, &back)
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
		if back.Raw == "null" {
			back.Raw = ""
		}
		if !reflect.DeepEqual(&back, s) {
			t.Errorf("came back as\n%+v\nwant\n%+v", back, s)
		}
	}
}

func TestMemoryIsReused(t *testing.T) {
	room := inner{Name: "old", Count: 3, Next: &inner{Name: "older"}}
	next := room.Next
	s := Sample{Text: "old", Far: &room, Pointers: make([]*inner, 0, 2), Labels: map[string]string{"old": ""}}
	d := jsonx.NewDecoder("sample", []byte(`{"far": {"name": "new", "next": {}}}`))
	decodeSample(&d, &s)
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if s.Far != &room || room.Next != next || !reflect.DeepEqual(room, inner{Name: "new", Next: &inner{}}) {
		t.Errorf("far is %+v", s.Far)
	}
	if s.Text != "" || s.Labels != nil || s.Pointers != nil {
		t.Errorf("something old is left: %+v", s)
	}
}
