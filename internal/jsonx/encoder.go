package jsonx

import (
	"math"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoder writes one JSON value. The zero value is ready for use and writes no
// white space.
type Encoder struct {
	// Indent is put before a line once for each level of nesting; if it is empty
	// everything is on one line. It must be set before the first write.
	Indent string

	buf   []byte
	depth int
	comma bool // the current object or array has an element already
	value bool // a property's name was written, and its value comes next
}

// Bytes returns what was written, without a newline at the end. The slice is valid until the next
// write.
func (e *Encoder) Bytes() []byte { return e.buf }

// Grow makes room for n more bytes.
func (e *Encoder) Grow(n int) { e.buf = slices.Grow(e.buf, n) }

// Newline adds a newline at the end of the text, as files have it.
func (e *Encoder) Newline() { e.buf = append(e.buf, '\n') }

// Object begins an object: for each property a Key and a value, then EndObject.
func (e *Encoder) Object() { e.open('{') }

// EndObject ends it.
func (e *Encoder) EndObject() { e.close('}') }

// Array begins an array: values, then EndArray.
func (e *Encoder) Array() { e.open('[') }

// EndArray ends it.
func (e *Encoder) EndArray() { e.close(']') }

// Key writes the name of a property; its value must follow.
func (e *Encoder) Key(name string) {
	e.next()
	e.buf = appendString(e.buf, name)
	e.buf = append(e.buf, ':')
	if e.Indent != "" {
		e.buf = append(e.buf, ' ')
	}
	e.value = true
}

// Null writes null.
func (e *Encoder) Null() {
	e.next()
	e.buf = append(e.buf, "null"...)
}

// Bool writes true or false.
func (e *Encoder) Bool(v bool) {
	e.next()
	e.buf = strconv.AppendBool(e.buf, v)
}

// Int writes an integer.
func (e *Encoder) Int(v int64) {
	e.next()
	e.buf = strconv.AppendInt(e.buf, v, 10)
}

// Uint writes an integer.
func (e *Encoder) Uint(v uint64) {
	e.next()
	e.buf = strconv.AppendUint(e.buf, v, 10)
}

// Float writes a number in the form that encoding/json uses. Infinities and NaN, for which JSON has
// no number, become null.
func (e *Encoder) Float(v float64) {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		e.Null()
		return
	}
	e.next()
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.buf = strconv.AppendFloat(e.buf, v, format, -1, 64)
	if n := len(e.buf); format == 'e' && n > 4 && e.buf[n-4] == 'e' && e.buf[n-3] == '-' && e.buf[n-2] == '0' {
		e.buf = append(e.buf[:n-2], e.buf[n-1]) // 1e-07 → 1e-7
	}
}

// String writes a string. Bytes that are not UTF-8 become U+FFFD.
func (e *Encoder) String(v string) {
	e.next()
	e.buf = appendString(e.buf, v)
}

// Raw writes JSON text as it is; "" is null.
func (e *Encoder) Raw(v Raw) {
	if v == "" {
		v = "null"
	}
	e.next()
	e.buf = append(e.buf, v...)
}

// Strings writes an array of strings, or null for nil.
func (e *Encoder) Strings(v []string) {
	if v == nil {
		e.Null()
		return
	}
	e.Array()
	for _, s := range v {
		e.String(s)
	}
	e.EndArray()
}

// StringMap writes an object, its names sorted, or null for nil.
func (e *Encoder) StringMap(v map[string]string) {
	if v == nil {
		e.Null()
		return
	}
	e.Object()
	for _, k := range SortedKeys(v) {
		e.Key(k)
		e.String(v[k])
	}
	e.EndObject()
}

// SortedKeys returns the keys of m in order.
func SortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// next writes the comma and the newline that are needed before a name or a value.
func (e *Encoder) next() {
	if e.value {
		e.value = false
		return
	}
	if e.comma {
		e.buf = append(e.buf, ',')
	}
	if e.depth > 0 {
		e.line()
	}
	e.comma = true
}

func (e *Encoder) line() {
	if e.Indent == "" {
		return
	}
	e.buf = append(e.buf, '\n')
	for range e.depth {
		e.buf = append(e.buf, e.Indent...)
	}
}

func (e *Encoder) open(bracket byte) {
	e.next()
	e.buf = append(e.buf, bracket)
	e.depth++
	e.comma = false
}

func (e *Encoder) close(bracket byte) {
	e.depth--
	if e.comma {
		e.line()
	}
	e.buf = append(e.buf, bracket)
	e.comma = true
}

// appendString writes a string. It escapes quotes, backslashes and control characters, and
// everything that is not printable, since people read JSON on terminals, too (see package show).
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < 0x7f {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(s[i:]); (r != utf8.RuneError || size > 1) && unicode.IsPrint(r) {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if r > 0xffff {
				var low rune
				r, low = utf16.EncodeRune(r)
				b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
				r = low
			}
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
