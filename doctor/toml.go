package doctor

import (
	"fmt"
	"strings"
)

// setting is one key of a TOML file with its full name: table and key. The
// values that the doctor looks at are strings, booleans and lists of strings.
type setting struct {
	name  []string
	value string   // a string without its quotes; anything else as it is written
	list  []string // of an array
	line  int
}

func (s *setting) is(name ...string) bool { return equal(s.name, name) }

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// parseTOML reads the part of TOML that engines' configurations use: tables,
// keys (bare, quoted, dotted), strings of one line, other scalars, arrays.
func parseTOML(text string) ([]setting, error) {
	var out []setting
	var table []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		n, line := i+1, strings.TrimSpace(lines[i])
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '[':
			name, rest, err := keys(strings.TrimLeft(line, "["))
			if err != nil || !strings.HasPrefix(rest, "]") {
				return nil, fmt.Errorf("line %d: not a table: %s", n, line)
			}
			table = name
			continue
		}
		name, rest, err := keys(line)
		if err != nil || !strings.HasPrefix(rest, "=") {
			return nil, fmt.Errorf("line %d: not a key and a value: %s", n, line)
		}
		rest = strings.TrimSpace(rest[1:])
		for strings.HasPrefix(rest, "[") && !closed(rest) && i+1 < len(lines) {
			i++
			rest += "\n" + lines[i]
		}
		s := setting{name: append(append([]string{}, table...), name...), line: n}
		if strings.HasPrefix(rest, "[") {
			s.list = items(rest[1:])
		} else if s.value, _, err = scalar(rest); err != nil {
			return nil, fmt.Errorf("line %d: %w: %s", n, err, line)
		}
		out = append(out, s)
	}
	return out, nil
}

// keys reads a dotted key and returns what follows it.
func keys(text string) (name []string, rest string, err error) {
	for {
		text = strings.TrimLeft(text, " \t")
		var part string
		if text != "" && (text[0] == '"' || text[0] == '\'') {
			if part, text, err = scalar(text); err != nil {
				return nil, "", err
			}
		} else {
			end := strings.IndexFunc(text, func(r rune) bool {
				return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
			})
			if end <= 0 {
				return nil, "", fmt.Errorf("no key")
			}
			part, text = text[:end], text[end:]
		}
		name = append(name, part)
		text = strings.TrimLeft(text, " \t")
		if !strings.HasPrefix(text, ".") {
			return name, text, nil
		}
		text = text[1:]
	}
}

// scalar reads one value and returns what follows it.
func scalar(text string) (value, rest string, err error) {
	if text == "" {
		return "", "", fmt.Errorf("no value")
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		for i := 1; i < len(text); i++ {
			if text[i] == '\\' && quote == '"' {
				i++
			} else if text[i] == quote {
				return strings.ReplaceAll(strings.ReplaceAll(text[1:i], `\"`, `"`), `\\`, `\`), text[i+1:], nil
			}
		}
		return "", "", fmt.Errorf("a string without an end")
	}
	end := strings.IndexAny(text, ",]#\n")
	if end < 0 {
		end = len(text)
	}
	return strings.TrimSpace(text[:end]), text[end:], nil
}

// closed says whether the array that text begins with ends in it.
func closed(text string) bool {
	for rest := text[1:]; rest != ""; {
		switch rest[0] {
		case ']':
			return true
		case '"', '\'':
			var err error
			if _, rest, err = scalar(rest); err != nil {
				return false
			}
		case '#':
			_, rest, _ = strings.Cut(rest, "\n")
		default:
			rest = rest[1:]
		}
	}
	return false
}

// items are the strings of an array; text follows its bracket.
func items(text string) []string {
	var out []string
	for text != "" && text[0] != ']' {
		switch text[0] {
		case '#':
			_, text, _ = strings.Cut(text, "\n")
		case ' ', '\t', '\n', ',':
			text = text[1:]
		default:
			value, rest, err := scalar(text)
			if err != nil || rest == text {
				return out
			}
			out, text = append(out, value), rest
		}
	}
	return out
}
