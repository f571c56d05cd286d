package jsonx

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is how many objects and arrays may be nested in one another.
const MaxDepth = 1000

// Decoder reads one JSON value from front to back. Make it with NewDecoder.
type Decoder struct {
	file  string
	data  string
	pos   int    // the index of the next unread byte
	key   string // the name of the property that Next has found
	first bool   // nothing of the current object or array was read yet
	depth int    // how many objects and arrays are open
	err   *Error
	strs  []string // the array from which Strings takes its slices
	watch *watcher // collects notes after Watch, nil before
}

// NewDecoder returns a decoder of data. Errors name file. What is decoded shares memory with data,
// which therefore must not change afterwards.
func NewDecoder(file string, data []byte) Decoder {
	// Strings of the result are parts of data, not copies: a config has hundreds.
	d := Decoder{file: file, data: unsafe.String(unsafe.SliceData(data), len(data))}
	switch {
	case strings.HasPrefix(d.data, "\xef\xbb\xbf"):
		d.fail(0, "starts with a byte order mark; save it as UTF-8 without one")
	case strings.HasPrefix(d.data, "\xff\xfe"), strings.HasPrefix(d.data, "\xfe\xff"):
		d.fail(0, "is UTF-16; save it as UTF-8")
	}
	return d
}

// Room gives Strings an empty slice, whose capacity it uses before it allocates memory.
func (d *Decoder) Room(strs []string) { d.strs = strs }

// End checks that only white space is left. It returns the first error of all calls, an *Error.
func (d *Decoder) End() error {
	if d.err == nil {
		if d.peek(); d.pos < len(d.data) {
			d.unexpected("the end of the file")
		}
	}
	if d.err != nil {
		return d.err
	}
	return nil
}

// peek skips white space and returns the next byte without taking it, 0 at the end.
// A NUL in the text is 0 as well, but no JSON has one.
func (d *Decoder) peek() byte {
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

// Object begins an object, whose properties Next returns. It returns false for null, and for any
// other value, which is an error. After false, Next must not be called.
func (d *Decoder) Object() bool { return d.open('{', "an object") }

// Array begins an array, for which More reports whether there is another element. It returns false
// for null, and for any other value, which is an error. After false, More must not be called.
func (d *Decoder) Array() bool { return d.open('[', "an array") }

func (d *Decoder) open(bracket byte, what string) bool {
	if d.peek() != bracket {
		if !d.Null() {
			d.unexpected(what)
		}
		return false
	}
	if d.depth++; d.depth > MaxDepth {
		d.fail(d.pos, "is nested deeper than 1000 levels")
		return false
	}
	d.pos++
	d.first = true
	if d.watch != nil {
		d.watch.begin(d.depth)
	}
	return true
}

// Next moves to the next property of an object, and reports whether there is one. Key returns its
// name. Its value must be read or skipped before the next call.
func (d *Decoder) Next() bool {
	if !d.advance('}', `a comma or "}"`) {
		return false
	}
	if d.peek() != '"' {
		d.unexpected("a property name in double quotes")
		return false
	}
	d.key = d.text()
	if d.peek() != ':' {
		d.unexpected(`a colon after the property name`)
		return false
	}
	d.pos++
	if d.watch != nil {
		d.watchKey()
	}
	return true
}

// Key returns the name of the property that Next has moved to.
func (d *Decoder) Key() string { return d.key }

// More reports whether an array has another element, which must then be read or skipped.
func (d *Decoder) More() bool { return d.advance(']', `a comma or "]"`) }

// advance steps over the comma before the next property or element, or over the closing bracket.
func (d *Decoder) advance(closing byte, what string) bool {
	if d.err != nil {
		return false
	}
	c := d.peek()
	switch {
	case c == closing:
		d.pos++
		d.depth--
		d.first = false
		return false
	case d.first:
		d.first = false
		return true
	case c != ',':
		d.unexpected(what)
		return false
	}
	comma := d.pos
	d.pos++
	if d.peek() == closing {
		d.fail(comma, "JSON allows no comma after the last entry")
		return false
	}
	return true
}

// Null reads null if that is next, and reports whether it was.
func (d *Decoder) Null() bool { return d.literal("null") }

// Want fails if null is next. It is for values that must be there. what names them in the error:
// "an object".
func (d *Decoder) Want(what string) {
	at := d.pos
	if d.Null() {
		d.pos = at
		d.unexpected(what)
	}
}

func (d *Decoder) literal(word string) bool {
	d.peek()
	if !strings.HasPrefix(d.data[d.pos:], word) {
		return false
	}
	d.pos += len(word)
	return true
}

// Bool reads true or false; null is false.
func (d *Decoder) Bool() bool {
	switch {
	case d.literal("true"):
		return true
	case d.literal("false"), d.Null():
		return false
	}
	d.unexpected("true or false")
	return false
}

// String reads a string; null is "".
func (d *Decoder) String() string {
	if d.peek() == '"' {
		return d.text()
	}
	if !d.Null() {
		d.unexpected("a string")
	}
	return ""
}

// Strings reads an array of strings. It returns nil for null, and an empty slice for []. Several
// slices share an allocation; the capacity of each is its length, so that appending to one does not
// change another.
func (d *Decoder) Strings() []string {
	if !d.Array() {
		return nil
	}
	start := len(d.strs)
	for d.More() {
		if len(d.strs) == cap(d.strs) {
			so := d.strs[start:]
			// A config has about one string in 24 bytes: this room is enough for what follows.
			d.strs = make([]string, len(so), 2*len(so)+8+(len(d.data)-d.pos)/24)
			copy(d.strs, so)
			start = 0
		}
		d.strs = append(d.strs, d.String())
	}
	if d.err != nil {
		return nil
	}
	if start == len(d.strs) {
		return []string{}
	}
	return d.strs[start:len(d.strs):len(d.strs)]
}

// StringMap reads an object whose values are strings: nil for null.
func (d *Decoder) StringMap() map[string]string {
	if !d.Object() {
		return nil
	}
	m := make(map[string]string)
	for d.Next() {
		k := d.key
		m[k] = d.String()
	}
	return m
}

// text reads the string that begins at pos.
func (d *Decoder) text() string {
	start := d.pos + 1
	ascii := true
	for i := start; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			s := d.data[start:i]
			if !ascii && !d.checkUTF8(start, s) {
				return ""
			}
			return s
		case c == '\\':
			return d.escapedText(start, i)
		case c < ' ':
			d.fail(i, "a string contains "+describeByte(c)+", which must be written as an escape such as \\n or \\u0000")
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	d.fail(len(d.data), "a string does not end: expected \", found the end of the file")
	return ""
}

// checkUTF8 fails at the first byte of s, which begins at start, that is not UTF-8.
func (d *Decoder) checkUTF8(start int, s string) bool {
	if utf8.ValidString(s) {
		return true
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				d.fail(start+i, "a string contains the byte "+describeByte(s[i])+", which is not UTF-8")
				return false
			}
		}
	}
	return true
}

// escapedText reads the string that begins at start and has its first backslash at i.
func (d *Decoder) escapedText(start, i int) string {
	end := d.endOfText(i)
	if end < 0 || !d.checkUTF8(start, d.data[start:end]) {
		return ""
	}
	buf := make([]byte, 0, end-start) // the text is never longer than its escaped form
	buf = append(buf, d.data[start:i]...)
	for i < end {
		c := d.data[i]
		if c != '\\' {
			buf = append(buf, c)
			i++
			continue
		}
		r, size := unescape(d.data[i:end])
		if size == 0 {
			d.fail(i, "a string contains "+quote(d.data[i:min(i+6, end)])+", which is no escape of JSON")
			return ""
		}
		if r == utf8.RuneError && !strings.EqualFold(d.data[i:i+size], `\ufffd`) {
			d.fail(i, "a string contains "+quote(d.data[i:i+size])+", half of a surrogate pair")
			return ""
		}
		buf = utf8.AppendRune(buf, r)
		i += size
	}
	d.pos = end + 1
	return string(buf)
}

// endOfText returns the index of a string's closing quote. i is inside the string, but not inside
// an escape.
func (d *Decoder) endOfText(i int) int {
	for ; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			return i
		case c == '\\':
			i++
		case c < ' ':
			d.fail(i, "a string contains "+describeByte(c)+", which must be written as an escape such as \\n or \\u0000")
			return -1
		}
	}
	d.fail(len(d.data), "a string does not end: expected \", found the end of the file")
	return -1
}

// unescape decodes the escape at the beginning of s. It returns the escape's length in bytes, 0 if
// it is not valid. Half of a surrogate pair becomes utf8.RuneError.
func unescape(s string) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(s)
	switch {
	case !ok:
		return 0, 0
	case r < 0xd800 || r > 0xdfff:
		return r, 6
	case r > 0xdbff:
		return utf8.RuneError, 6
	}
	low, ok := hex4(s[6:])
	if !ok || low < 0xdc00 || low > 0xdfff {
		return utf8.RuneError, 6
	}
	return (r-0xd800)<<10 | (low - 0xdc00) + 0x10000, 12
}

// hex4 decodes \uXXXX at the beginning of s.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for i := 2; i < 6; i++ {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
