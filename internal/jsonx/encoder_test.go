package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
)

// oracle encodes v as encoding/json does, without its escaping for HTML.
func oracle(t *testing.T, v any, indent string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEncode(t *testing.T) {
	odd := "é\"\\/\b\f\n\r\t\x00\x1f\x7f\u2028\u2029𝄞\xff<&>"
	v := map[string]any{
		"a": []any{}, "b": map[string]any{}, "c": nil, "d": true, odd: odd,
		"e": []any{int64(math.MinInt64), uint64(math.MaxUint64), "x", []string{"y"}},
		"f": map[string]string{"z": "1", "w": "2"},
		"g": []float64{0, 1, -2.5, 1e-7, 1e21, 123456789.25, 1e-6, 3e-10},
	}
	for _, indent := range []string{"", "\t", "  "} {
		e := Encoder{Indent: indent}
		e.Object()
		e.Key("a")
		e.Array()
		e.EndArray()
		e.Key("b")
		e.Object()
		e.EndObject()
		e.Key("c")
		e.Null()
		e.Key("d")
		e.Bool(true)
		e.Key("e")
		e.Array()
		e.Int(math.MinInt64)
		e.Uint(math.MaxUint64)
		e.Raw(`"x"`)
		e.Strings([]string{"y"})
		e.EndArray()
		e.Key("f")
		e.StringMap(map[string]string{"z": "1", "w": "2"})
		e.Key("g")
		e.Array()
		for _, f := range v["g"].([]float64) {
			e.Float(f)
		}
		e.EndArray()
		e.Key(odd)
		e.String(odd)
		e.EndObject()
		e.Newline()
		// DEL is escaped here, too: see TestEncodePrintable. For a byte that is not UTF-8,
		// encoding/json of Go 1.27 itself writes U+FFFD.
		want := strings.NewReplacer("\x7f", `\u007f`, "\ufffd", `\ufffd`).Replace(oracle(t, v, indent))
		if got := string(e.Bytes()); got != want {
			t.Errorf("indent %q: got\n%s\nwant\n%s", indent, got, want)
		}
	}
}

// The encoder escapes characters that a terminal takes for commands, or that change the direction
// of text. Decoders return the same characters again.
func TestEncodePrintable(t *testing.T) {
	const odd = "\x7f\u009b2J \u202e\u2066 \u200b\ufeff\u00ad\u00a0 \U000e0041 größe 大 😀"
	var e Encoder
	e.String(odd)
	if got, want := string(e.Bytes()), `"\u007f\u009b2J \u202e\u2066 \u200b\ufeff\u00ad\u00a0 \udb40\udc41 größe 大 😀"`; got != want {
		t.Errorf("got %s, not %s", got, want)
	}
	var back string
	if err := json.Unmarshal(e.Bytes(), &back); err != nil || back != odd {
		t.Errorf("%q, %v", back, err)
	}
	d := NewDecoder("", e.Bytes())
	if back = d.String(); back != odd || d.End() != nil {
		t.Errorf("%q, %v", back, d.End())
	}
}

func TestEncodeNothing(t *testing.T) {
	var e Encoder
	e.Array()
	e.Strings(nil)
	e.StringMap(nil)
	e.Raw("")
	e.Float(math.NaN())
	e.Float(math.Inf(1))
	e.EndArray()
	if got := string(e.Bytes()); got != "[null,null,null,null,null]" {
		t.Errorf("got %s", got)
	}
}

func TestText(t *testing.T) {
	when := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	var e Encoder
	e.Text(when)
	if got, want := string(e.Bytes())+"\n", oracle(t, when, ""); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back time.Time
	if err := read(string(e.Bytes()), func(d *Decoder) { d.Text(&back) }); err != "" || !back.Equal(when) {
		t.Errorf("got %v, error %q", back, err)
	}
	if err := read(`["noon"]`, func(d *Decoder) { d.Array(); d.More(); d.Text(&back) }); err == "" {
		t.Error("no error")
	} else {
		t.Log(err)
	}
}

func FuzzString(f *testing.F) {
	f.Add("a\n\"\\\u2028\x00é𝄞\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var e Encoder
		e.String(s)
		var got, want string // encoding/json escapes less
		if err := errors.Join(json.Unmarshal(e.Bytes(), &got), json.Unmarshal([]byte(oracle(t, s, "")), &want)); err != nil || got != want {
			t.Fatalf("got %q, want %q: %v", got, want, err)
		}
		if i := strings.IndexFunc(string(e.Bytes()), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("not printable: %q", e.Bytes()[i:])
		}
	})
}
