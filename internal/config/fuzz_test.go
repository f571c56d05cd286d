package config

import (
	"bytes"
	"slices"
	"testing"

	"davit/internal/fault"
)

// FuzzValidate passes every config that can be decoded through Check and Write. Nothing may panic,
// problems come in the same order each time, and a config that was written reads back as the same.
func FuzzValidate(f *testing.F) {
	for _, text := range fuzzSeeds {
		f.Add([]byte(text), byte(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, options byte) {
		s, err := Decode(text)
		if err != nil {
			return
		}
		o := Options{Rootless: options&1 != 0, Exec: options&2 != 0, SystemdCgroup: options&4 != 0}
		problems, warnings := Check(s, o)
		again, warnedAgain := Check(s, o)
		same := func(a, b *fault.Error) bool { return *a == *b }
		if !slices.EqualFunc(problems, again, same) || !slices.EqualFunc(warnings, warnedAgain, same) {
			t.Fatalf("first\n%v\nthen\n%v", problems, again)
		}
		for _, p := range slices.Concat(problems, warnings) {
			if p.Field == "" || p.Text == "" {
				t.Fatalf("a problem without words: %#v", p)
			}
		}
		var one, two bytes.Buffer
		if err := Write(&one, s); err != nil {
			t.Fatal(err)
		}
		back, err := Decode(bytes.Clone(one.Bytes()))
		if err != nil {
			t.Fatalf("%v in what was written:\n%s", err, one.Bytes())
		}
		if err := Write(&two, back); err != nil {
			t.Fatal(err)
		}
		if one.String() != two.String() {
			t.Fatalf("wrote\n%s\nthen\n%s", one.Bytes(), two.Bytes())
		}
	})
}
