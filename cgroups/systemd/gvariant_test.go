package systemd

import (
	"reflect"
	"testing"
)

func TestParseValue(t *testing.T) {
	for text, want := range map[string]any{
		"true": true, " false ": false, "5": int32(5), "-5": int32(-5), "0x10": int32(16), "1.5": 1.5, "1e3": 1000.0,
		"uint64 18446744073709551615": uint64(1<<64 - 1), "uint32 7": uint32(7), "int64 -7": int64(-7), "byte 255": byte(255),
		"int16 -3": int16(-3), "uint16 3": uint16(3), "double 2": 2.0, "boolean true": true, "@t 9": uint64(9),
		"'a b'": "a b", `"it's"`: "it's", `'it\'s\n'`: "it's\n", "string 'x'": "x", "objectpath '/a'": Path("/a"), "''": "",
		"['a', 'b']": []string{"a", "b"}, "@as []": []string{}, "[1,2]": []int32{1, 2}, "[uint32 1, 2]": []uint32{1, 2},
		"@au [1]": []uint32{1}, "[true]": []bool{true}, "[byte 1, 2]": []byte{1, 2}, "[1.0]": []float64{1},
	} {
		got, err := ParseValue(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v; want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "'", "'a", `'\q'`, "[", "[]", "['a' 'b']", "['a', 1]", "[1, 'a']", "5 6", "uint64 -1", "byte 256",
		"uint64 'a'", "string 5", "@as 'a'", "@t [1]", "5000000000", "uint64", "[[1]]", "boolean 1", "int32 true"} {
		if got, err := ParseValue(text); err == nil {
			t.Errorf("%q was read as %#v", text, got)
		}
	}
}

func TestFromAnnotations(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  any
	}{
		"org.systemd.property.TimeoutStopUSec": {"uint64 7", Property{"TimeoutStopUSec", uint64(7)}},
		"org.systemd.property.TimeoutStopSec":  {"1.5", Property{"TimeoutStopUSec", uint64(1500000)}},
		"org.systemd.property.TimeoutSEC":      {"5", Property{"TimeoutSEC", int32(5)}},
		"org.systemd.property.After":           {"['a.service']", Property{"After", []string{"a.service"}}},
		"org.systemd.property.X5":              {"5", nil},
		"org.systemd.property.":                {"5", nil},
		"org.systemd.property.RestartSec":      {"'soon'", nil},
		"org.systemd.property.CPUWeight":       {"many", nil},
	} {
		got, err := FromAnnotations(map[string]string{name: c.value, "other": "x"})
		if c.want == nil {
			if err == nil {
				t.Errorf("%s=%s: %v", name, c.value, got)
			}
		} else if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("%s=%s: %v, %v", name, c.value, got, err)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add("[uint32 1, 2]")
	f.Add(`@as ["a\n"]`)
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseValue(text); err == nil {
			signatureOf(v) // panics if a value has a type that cannot be sent
		}
	})
}
