package jsonx

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzSkip compares which texts the decoder and encoding/json accept as well-formed.
func FuzzSkip(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,-0,2.5e+3,true,false,null,"\u00e9\n\"",{}],"":[]}`, "[[[]]]", ` "x" `, `01`, `[1,]`, `{"a":1,}`, "tru", `"\x"`, "{\"a\" :\t1\r\n}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := NewDecoder("f", text)
		d.Skip()
		err := d.End()
		// Here they differ on purpose: see the package's documentation.
		if !utf8.Valid(text) || bytes.Contains(bytes.ToLower(text), []byte(`\ud`)) || bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > MaxDepth {
			return
		}
		if valid := json.Valid(text); (err == nil) != valid {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, valid)
		}
		if err != nil {
			if e := err.(*Error); e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("%q: %#v", text, e)
			}
		}
	})
}
