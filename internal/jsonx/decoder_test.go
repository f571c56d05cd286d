package jsonx

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// read decodes text with f and returns the error.
func read(text string, f func(d *Decoder)) string {
	d := NewDecoder("f", []byte(text))
	f(&d)
	if err := d.End(); err != nil {
		return err.Error()
	}
	return ""
}

func TestScalars(t *testing.T) {
	str := func(d *Decoder) any { return d.String() }
	boolean := func(d *Decoder) any { return d.Bool() }
	i64 := func(d *Decoder) any { return d.Int(64) }
	i8 := func(d *Decoder) any { return d.Int(8) }
	u64 := func(d *Decoder) any { return d.Uint(64) }
	u16 := func(d *Decoder) any { return d.Uint(16) }
	float := func(d *Decoder) any { return d.Float() }
	for _, c := range []struct {
		text string
		read func(*Decoder) any
		want any
		err  string
	}{
		{`"a"`, str, "a", ""},
		{" \t\r\n\"\" ", str, "", ""},
		{`null`, str, "", ""},
		{`"\"\\\/\b\f\n\r\tA"`, str, "\"\\/\b\f\n\r\tA", ""},
		{`"\u00e9\u20AC\uD834\uDD1E\uFFFD"`, str, "é€𝄞\ufffd", ""},
		{`"é€𝄞` + "\ufffd" + `"`, str, "é€𝄞\ufffd", ""},
		{`"\u0000"`, str, "\x00", ""},
		{`"`, str, "", `f:1:2: a string does not end: expected ", found the end of the file`},
		{`"\`, str, "", `f:1:3: a string does not end: expected ", found the end of the file`},
		{`"ab\x"`, str, "", `f:1:4: a string contains "\\x", which is no escape of JSON`},
		{`"\u12g4"`, str, "", `f:1:2: a string contains "\\u12g4", which is no escape of JSON`},
		{`"\u12"`, str, "", `f:1:2: a string contains "\\u12", which is no escape of JSON`},
		{`"\ud800"`, str, "", `f:1:2: a string contains "\\ud800", half of a surrogate pair`},
		{`"\ud800A"`, str, "", `f:1:2: a string contains "\\ud800", half of a surrogate pair`},
		{`"\ud800\u0041"`, str, "", `f:1:2: a string contains "\\ud800", half of a surrogate pair`},
		{`"\ud800\udbff"`, str, "", `f:1:2: a string contains "\\ud800", half of a surrogate pair`},
		{`"\ud800\ue000"`, str, "", `f:1:2: a string contains "\\ud800", half of a surrogate pair`},
		{`"\udc00"`, str, "", `f:1:2: a string contains "\\udc00", half of a surrogate pair`},
		{"\"a\tb\"", str, "", `f:1:3: a string contains 0x09, which must be written as an escape such as \n or \u0000`},
		{"\"\\n\n\"", str, "", `f:1:4: a string contains a line break, which must be written as an escape such as \n or \u0000`},
		{"\"a\xff\"", str, "", `f:1:3: a string contains the byte 0xff, which is not UTF-8`},
		{"\"\\n\xc3\"", str, "", `f:1:4: a string contains the byte 0xc3, which is not UTF-8`},
		{"\"\xed\xa0\x80\"", str, "", `f:1:2: a string contains the byte 0xed, which is not UTF-8`},
		{`7`, str, "", `f:1:1: expected a string, found 7`},
		{`true`, boolean, true, ""},
		{`false`, boolean, false, ""},
		{`null`, boolean, false, ""},
		{`"true"`, boolean, false, `f:1:1: expected true or false, found "true"`},
		{`True`, boolean, false, `f:1:1: expected true or false, found True`},
		{`truex`, boolean, true, `f:1:5: expected the end of the file, found x`},
		{`0`, i64, int64(0), ""},
		{`-0`, i64, int64(0), ""},
		{`9223372036854775807`, i64, int64(math.MaxInt64), ""},
		{`-9223372036854775808`, i64, int64(math.MinInt64), ""},
		{`9223372036854775808`, i64, int64(0), `f:1:1: expected an integer from -9223372036854775808 to 9223372036854775807, found 9223372036854775808`},
		{`-9223372036854775809`, i64, int64(0), `f:1:1: expected an integer from -9223372036854775808 to 9223372036854775807, found -9223372036854775809`},
		{`-128`, i8, int64(-128), ""},
		{`128`, i8, int64(0), `f:1:1: expected an integer from -128 to 127, found 128`},
		{`18446744073709551615`, u64, uint64(math.MaxUint64), ""},
		{`18446744073709551616`, u64, uint64(0), `f:1:1: expected an integer from 0 to 18446744073709551615, found 18446744073709551616`},
		{`99999999999999999999999`, u64, uint64(0), `f:1:1: expected an integer from 0 to 18446744073709551615, found 99999999999999999999999`},
		{`-1`, u64, uint64(0), `f:1:1: expected an integer from 0 to 18446744073709551615, found -1`},
		{`-0`, u64, uint64(0), `f:1:1: expected an integer from 0 to 18446744073709551615, found -0`},
		{`65535`, u16, uint64(65535), ""},
		{`65536`, u16, uint64(0), `f:1:1: expected an integer from 0 to 65535, found 65536`},
		{`null`, u16, uint64(0), ""},
		{`1.0`, i64, int64(0), `f:1:1: expected an integer, found 1.0`},
		{`1e3`, i64, int64(0), `f:1:1: expected an integer, found 1e3`},
		{`"1"`, i64, int64(0), `f:1:1: expected an integer, found "1"`},
		{`01`, i64, int64(0), `f:1:1: expected a number as JSON writes them, found 01`},
		{`-`, i64, int64(0), `f:1:1: expected a number as JSON writes them, found -`},
		{`+1`, i64, int64(0), `f:1:1: expected an integer, found +1`},
		{`1.`, float, 0.0, `f:1:1: expected a number as JSON writes them, found 1.`},
		{`1e`, float, 0.0, `f:1:1: expected a number as JSON writes them, found 1e`},
		{`-1.25e+2`, float, -125.0, ""},
		{`1e999`, float, 0.0, `f:1:1: expected a number of at most 1.8e308, found 1e999`},
		{`[]`, i64, int64(0), `f:1:1: expected an integer, found an array`},
		{`{}`, str, "", `f:1:1: expected a string, found an object`},
		{``, str, "", `f:1:1: expected a string, found the end of the file`},
		{"\xef\xbb\xbf1", i64, int64(0), `f:1:1: starts with a byte order mark; save it as UTF-8 without one`},
		{"\xff\xfe1\x00", i64, int64(0), `f:1:1: is UTF-16; save it as UTF-8`},
		{`1 2`, i64, int64(1), `f:1:3: expected the end of the file, found 2`},
		{"1\x00", i64, int64(1), `f:1:2: expected the end of the file, found 0x00`},
	} {
		var got any
		err := read(c.text, func(d *Decoder) { got = c.read(d) })
		if got != c.want || err != c.err {
			t.Errorf("%q: got %#v, error %q; want %#v, %q", c.text, got, err, c.want, c.err)
		}
	}
}

func TestErrorPosition(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{\n  \"a\": {\"b\": [1, {\"c\": \"x\"}]}\n}", ``},
		{"{\"a\": tru}", `f:1:7: a: expected a value, found tru`},
		{"{\n\t\"ä\": [\"é\", tru]}", `f:2:13: ["ä"][1]: expected a value, found tru`},
		{"{\"a\": [{}, {\"b.c\": {\"d\": }}]}", `f:1:26: a[1]["b.c"].d: expected a value, found "}"`},
		{"{\"a\\u002e\": !}", `f:1:13: ["a."]: expected a value, found !`},
		{"{\"a\": 1 \"b\": 2}", `f:1:9: a: expected a comma or "}", found "b"`},
		{"{\"a\": 1,}", `f:1:8: a: JSON allows no comma after the last entry`},
		{"[1,\n]", `f:1:3: [0]: JSON allows no comma after the last entry`},
		{"[1 2]", `f:1:4: [0]: expected a comma or "]", found 2`},
		{"[,]", `f:1:2: [0]: expected a value, found ","`},
		{"{,}", `f:1:2: expected a property name in double quotes, found ","`},
		{"{\"a\" 1}", `f:1:6: a: expected a colon after the property name, found 1`},
		{"{a: 1}", `f:1:2: expected a property name in double quotes, found a`},
		{"{'a': 1}", `f:1:2: expected a property name in double quotes, found ' (JSON takes double quotes only)`},
		{"{\"a\": 1 // one\n}", `f:1:9: a: expected a comma or "}", found "/" (JSON has no comments)`},
		{"[1, 2", `f:1:6: [1]: expected a comma or "]", found the end of the file`},
		{"[\"" + strings.Repeat("a", 90) + "\" \"" + strings.Repeat("é", 40) + "\"]",
			`f:1:95: [0]: expected a comma or "]", found "` + strings.Repeat("é", 30) + `…"`},
		{"{\"a\": \"x\\q\"}", `f:1:9: a: a string contains "\\q", which is no escape of JSON`},
		{"{\"a\\q\": 1}", `f:1:4: a string contains "\\q", which is no escape of JSON`},
		{strings.Repeat("[", 1000) + strings.Repeat("]", 1000), ``},
		{strings.Repeat("[", 1001), `f:1:1001: ` + strings.Repeat("[0]", 1000) + `: is nested deeper than 1000 levels`},
	} {
		if got := read(c.text, (*Decoder).Skip); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestOnlyFirstErrorCounts(t *testing.T) {
	d := NewDecoder("f", []byte(`{"a": 1, "b": "x", "c": "y"}`))
	n := 0
	if d.Object() {
		for d.Next() {
			d.Bool()
			n++
		}
	}
	if n != 1 {
		t.Errorf("went on for %d properties after the error", n)
	}
	d.Fail("later")
	if got, want := d.End().Error(), "f:1:7: a: expected true or false, found 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStrings(t *testing.T) {
	var a, b, none, empty []string
	err := read(`[["x", null, "y"], [], null, ["z"]]`, func(d *Decoder) {
		d.Array()
		for _, s := range []*[]string{&a, &empty, &none, &b} {
			d.More()
			*s = d.Strings()
		}
		d.More()
	})
	if err != "" {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, []string{"x", "", "y"}) || !reflect.DeepEqual(b, []string{"z"}) {
		t.Errorf("got %q and %q", a, b)
	}
	if empty == nil || none != nil {
		t.Errorf("[] is %#v, null is %#v", empty, none)
	}
	_ = append(a, "overwritten?")
	if b[0] != "z" {
		t.Error("appending to one slice changed the next")
	}
}

func TestStringsManyTimesTheEstimate(t *testing.T) {
	const n = 3000
	text := "[" + strings.TrimSuffix(strings.Repeat(`"",`, n), ",") + "]"
	var got []string
	if err := read(text, func(d *Decoder) { got = d.Strings() }); err != "" || len(got) != n {
		t.Errorf("got %d strings, error %q", len(got), err)
	}
}

func TestDuplicatesLastWins(t *testing.T) {
	var m map[string]string
	if err := read(`{"a": "1", "b": null, "a": "2"}`, func(d *Decoder) { m = d.StringMap() }); err != "" {
		t.Fatal(err)
	}
	if want := (map[string]string{"a": "2", "b": ""}); !reflect.DeepEqual(m, want) {
		t.Errorf("got %q", m)
	}
}

func TestRaw(t *testing.T) {
	var raw Raw
	err := read(` [ 1, {"a": [ true ]}, 2 ]`, func(d *Decoder) {
		d.Array()
		for d.More() {
			if r := d.Raw(); r[0] == '{' {
				raw = r
			}
		}
	})
	if err != "" || raw != `{"a": [ true ]}` {
		t.Errorf("got %q, error %q", raw, err)
	}
}

func TestCount(t *testing.T) {
	for text, want := range map[string]int{
		`[]`: 0, `[ ]`: 0, `[1]`: 1, `[1,2]`: 2, `["a,]", {"b": [1,2], "c": ","}, "\"]"]`: 3,
		`[` + strings.Repeat(",", 100000): maxCount, `[`: 1, `["`: 1,
	} {
		d := NewDecoder("f", []byte(text))
		d.Array()
		if got := d.Count(); got != want {
			t.Errorf("%.20s: got %d, want %d", text, got, want)
		}
	}
}
