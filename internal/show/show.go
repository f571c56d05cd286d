// Package show makes text safe to print on a terminal. Names come from configs, images and
// containers. They may contain escape sequences, newlines that forge table rows, and marks that
// reverse the direction of what follows. Everything that davit prints for people goes through Line
// or Error. JSON needs neither, since its encoder escapes the same characters.
package show

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns s with everything that is not printable escaped as in Go: \n, \x1b, \u202e, \xff.
// That is control characters, including newlines and tabs, marks without a width, spaces other than
// ASCII's, and bytes that are not UTF-8.
func Line(s string) string {
	i := plainPart(s)
	if i == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)+16), s[:i]...)
	for s = s[i:]; s != ""; {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, '\\', 'x', hex[s[0]>>4], hex[s[0]&15])
		case unicode.IsPrint(r):
			b = append(b, s[:size]...)
		default:
			b = escape(b, r)
		}
		s = s[size:]
	}
	return string(b)
}

// Plain reports whether Line returns s unchanged.
func Plain(s string) bool { return plainPart(s) == len(s) }

// plainPart returns the length in bytes of the beginning of s that needs no escape.
func plainPart(s string) int {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return i
		}
		i += size
	}
	return len(s)
}

const hex = "0123456789abcdef"

func escape(b []byte, r rune) []byte {
	switch r {
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	digits, letter := 8, byte('U')
	switch {
	case r < utf8.RuneSelf:
		digits, letter = 2, 'x'
	case r < 1<<16:
		digits, letter = 4, 'u'
	}
	b = append(b, '\\', letter)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, hex[r>>shift&15])
	}
	return b
}

// Error returns the text of err for printing. Newlines remain only where davit itself has put them:
// between the errors that errors.Join has joined, and between the lines of an error that has a
// method Lines. Each line goes through Line.
func Error(err error) string {
	text := err.Error()
	switch e := err.(type) {
	case interface{ Lines() []string }:
		lines := make([]string, len(e.Lines()))
		for i, l := range e.Lines() {
			lines[i] = Line(l)
		}
		return strings.Join(lines, "\n")
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return wrapped(text, []error{inner})
		}
	case interface{ Unwrap() []error }:
		inner := e.Unwrap()
		texts, shown := make([]string, len(inner)), make([]string, len(inner))
		for i, err := range inner {
			texts[i] = err.Error()
		}
		if strings.Join(texts, "\n") != text { // fmt.Errorf has made it, not errors.Join
			return wrapped(text, inner)
		}
		for i, err := range inner {
			shown[i] = Error(err)
		}
		return strings.Join(shown, "\n")
	}
	return Line(text)
}

// wrapped returns the text of an error that contains the texts of others.
func wrapped(text string, inner []error) string {
	var b strings.Builder
	for _, err := range inner {
		before, after, found := strings.Cut(text, err.Error())
		if found {
			b.WriteString(Line(before) + Error(err))
			text = after
		}
	}
	return b.String() + Line(text)
}
