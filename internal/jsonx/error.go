package jsonx

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error tells where JSON text is wrong, and why.
type Error struct {
	File         string // as given to NewDecoder
	Line, Column int    // begin with 1; columns count characters, not bytes
	Path         string // the path of the value, or of what contains it: linux.resources.memory.limit; may be empty
	Message      string // what was expected and what was found
}

// Error returns a text like `config.json:12:5: linux.resources.memory.limit: expected an integer,
// found "512m"`.
func (e *Error) Error() string {
	s := e.File + ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ": "
	if e.Path != "" {
		s += e.Path + ": "
	}
	return s + e.Message
}

// Fail says that the next value is wrong. It is for callers that check more than a value's type.
// After another error it does nothing.
func (d *Decoder) Fail(message string) {
	d.peek()
	d.fail(d.pos, message)
}

// fail records the first error, at byte i, and moves to the end of the data. Only now are line,
// column and path computed: they cost nothing as long as there is no error.
func (d *Decoder) fail(i int, message string) {
	if d.err != nil {
		return
	}
	read := d.data[:i]
	line := strings.LastIndexByte(read, '\n') + 1
	d.err = &Error{
		File:    d.file,
		Line:    strings.Count(read, "\n") + 1,
		Column:  utf8.RuneCountInString(read[line:]) + 1,
		Path:    pathAt(d.data, i),
		Message: message,
	}
	d.pos = len(d.data)
}

func (d *Decoder) unexpected(expected string) {
	d.peek()
	d.fail(d.pos, "expected "+expected+", found "+describe(d.data[d.pos:]))
}

// describe names the value at the beginning of s for an error message.
func describe(s string) string {
	if s == "" {
		return "the end of the file"
	}
	switch c := s[0]; {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		d := Decoder{data: s}
		if text := d.text(); d.err == nil {
			return quote(text)
		}
		return "a malformed string"
	case c == '/' || c == '#':
		return quote(s[:1]) + " (JSON has no comments)"
	case c == '\'':
		return "' (JSON takes double quotes only)"
	case strings.IndexByte("}],:", c) >= 0:
		return quote(s[:1])
	}
	end := strings.IndexAny(s, " \t\r\n,:{}[]\"")
	if end < 0 {
		end = len(s)
	}
	if end == 0 {
		return describeByte(s[0])
	}
	if s[0] < ' ' || s[0] >= utf8.RuneSelf {
		return describeByte(s[0])
	}
	return strings.Trim(quote(s[:end]), `"`)
}

// quote returns s in quotes, with escapes for what is not printable, cut to 60 characters.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strings.TrimSuffix(strconv.Quote(s[:cut]), `"`) + `…"`
	}
	return strconv.Quote(s)
}

func describeByte(c byte) string {
	if c == '\n' {
		return "a line break"
	}
	const digits = "0123456789abcdef"
	return "0x" + string(digits[c>>4]) + string(digits[c&15])
}

// frame is an object or array that is open at the place that pathAt has reached.
type frame struct {
	array bool
	index int    // in an array: the index of the element
	key   string // in an object: the name of the property, empty before the first
	named bool   // in an object: key is known, and its value comes next or was read
}

// pathAt returns the path of the value at byte i. The text must be well-formed up to there.
func pathAt(data string, i int) string {
	var open []frame
	for pos := 0; pos < i; pos++ {
		switch data[pos] {
		case '{':
			open = append(open, frame{})
		case '[':
			open = append(open, frame{array: true})
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case ',':
			if len(open) > 0 {
				top := &open[len(open)-1]
				top.index++
				top.named = false
			}
		case '"':
			end := endOfString(data, pos+1)
			if end >= i {
				return joinPath(open)
			}
			if len(open) > 0 {
				if top := &open[len(open)-1]; !top.array && !top.named {
					d := Decoder{data: data[pos : end+1]}
					top.key, top.named = d.text(), true
				}
			}
			pos = end
		}
	}
	return joinPath(open)
}

// endOfString returns the index of the quote that ends the string from i on, or the end of data.
func endOfString(data string, i int) int {
	for ; i < len(data); i++ {
		if data[i] == '\\' {
			i++
		} else if data[i] == '"' {
			return i
		}
	}
	return len(data)
}

func joinPath(open []frame) string {
	path := ""
	for _, f := range open {
		switch {
		case f.array:
			path += "[" + strconv.Itoa(f.index) + "]"
		case f.named:
			path = JoinKey(path, f.key)
		}
	}
	return path
}

// JoinKey appends the name of a property to a path: `a.b`, or `a["b.c"]` if the name is not a plain
// word.
func JoinKey(path, key string) string {
	for i := 0; i < len(key); i++ {
		c := key[i]
		word := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !word {
			return path + "[" + strconv.Quote(key) + "]"
		}
	}
	switch {
	case key == "":
		return path + `[""]`
	case path == "":
		return key
	}
	return path + "." + key
}
