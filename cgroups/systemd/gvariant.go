package systemd

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"davit/internal/fault"
)

const annotation = "org.systemd.property."

// FromAnnotations returns the properties that a container's annotations org.systemd.property.NAME
// ask for, sorted by name. Their values are in GVariant's text format (see [ParseValue]). A name
// that ends with Sec has its value in seconds; it becomes the property in microseconds that D-Bus
// knows (TimeoutStopSec: TimeoutStopUSec), as with runc. The error names the annotation.
func FromAnnotations(annotations map[string]string) ([]Property, error) {
	var list []Property
	for key, text := range annotations {
		name, ok := strings.CutPrefix(key, annotation)
		if !ok {
			continue
		}
		if !properName(name) {
			return nil, fmt.Errorf("annotations[%s]: %q is not the name of a systemd property", key, name)
		}
		if decided := decided(name); decided != "" {
			return nil, &fault.Error{Field: "annotations[" + key + "]", Text: decided, Hint: "remove the annotation"}
		}
		v, err := ParseValue(text)
		if err != nil {
			return nil, fmt.Errorf("annotations[%s]: %w", key, err)
		}
		if base, ok := strings.CutSuffix(name, "Sec"); ok && base != "" && base[len(base)-1] >= 'a' && base[len(base)-1] <= 'z' {
			name = base + "USec"
			if v, err = microseconds(v); err != nil {
				return nil, fmt.Errorf("annotations[%s]: %w", key, err)
			}
		}
		list = append(list, Property{name, v})
	}
	slices.SortFunc(list, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// decided returns why no annotation may set a property, "" if one may. With another slice davit
// would not find the container's cgroup. With other processes, some of the host would be moved into
// the cgroup, and killed with it.
func decided(name string) string {
	switch name {
	case "Slice":
		return "linux.cgroupsPath decides on the slice"
	case "PIDs":
		return "the scope begins with the container's first process alone"
	}
	return ""
}

func properName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) >= 3
}

func microseconds(v any) (uint64, error) {
	var sec float64
	switch v := v.(type) {
	case byte:
		sec = float64(v)
	case int16:
		sec = float64(v)
	case uint16:
		sec = float64(v)
	case int32:
		sec = float64(v)
	case uint32:
		sec = float64(v)
	case int64:
		sec = float64(v)
	case uint64:
		sec = float64(v)
	case float64:
		sec = v
	default:
		return 0, fmt.Errorf("%v is not a number of seconds", v)
	}
	if sec < 0 || sec > math.MaxUint64/1e6 {
		return 0, fmt.Errorf("%v seconds are out of range", v)
	}
	return uint64(sec * 1e6), nil
}

// ParseValue reads GVariant's text format (docs.gtk.org, "GVariant Text Format") as far as
// systemd's properties need it: booleans, numbers, strings, object paths and arrays of them, with a
// type before the value ("uint64 5", "@as []") or without.
func ParseValue(text string) (any, error) {
	p := &textParser{s: text}
	v, err := p.value("")
	if err == nil {
		if p.space(); p.s != "" {
			err = fmt.Errorf("%q follows the value", p.s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not a value in GVariant's text format: %w", text, err)
	}
	return v, nil
}

type textParser struct{ s string }

func (p *textParser) space() { p.s = strings.TrimLeft(p.s, " \t\n") }

// typeOf returns the D-Bus type that a word of the format stands for, "" for none.
func typeOf(word string) string {
	switch word {
	case "boolean":
		return "b"
	case "byte":
		return "y"
	case "int16":
		return "n"
	case "uint16":
		return "q"
	case "int32":
		return "i"
	case "uint32":
		return "u"
	case "int64":
		return "x"
	case "uint64":
		return "t"
	case "double":
		return "d"
	case "string":
		return "s"
	case "objectpath":
		return "o"
	}
	return ""
}

// value reads one value. want is its type, or "" if the text decides.
func (p *textParser) value(want string) (any, error) {
	p.space()
	switch {
	case p.s == "":
		return nil, fmt.Errorf("nothing there")
	case p.s[0] == '@':
		p.s = p.s[1:]
		return p.value(p.word())
	case p.s[0] == '[':
		return p.list(want)
	case p.s[0] == '\'' || p.s[0] == '"':
		s, err := p.quoted()
		if err != nil {
			return nil, err
		}
		return asString(s, want)
	}
	word := p.word()
	if t := typeOf(word); t != "" {
		return p.value(t)
	}
	return scalar(word, want)
}

func (p *textParser) word() string {
	i := strings.IndexAny(p.s, " \t\n,]")
	if i < 0 {
		i = len(p.s)
	}
	w := p.s[:i]
	p.s = p.s[i:]
	return w
}

func (p *textParser) quoted() (string, error) {
	quote := p.s[0]
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == quote:
			p.s = p.s[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(p.s):
			i++
			switch e := p.s[i]; e {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case '\\', '\'', '"':
				b.WriteByte(e)
			default:
				return "", fmt.Errorf(`escape \%c is not supported`, e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("a string has no end")
}

func asString(s, want string) (any, error) {
	switch want {
	case "", "s":
		return s, nil
	case "o":
		return Path(s), nil
	}
	return nil, fmt.Errorf("a string where type %s is wanted", want)
}

func scalar(word, want string) (any, error) {
	if word == "true" || word == "false" {
		if want != "" && want != "b" {
			return nil, fmt.Errorf("a boolean where type %s is wanted", want)
		}
		return word == "true", nil
	}
	if want == "" {
		want = "i"
		if !strings.HasPrefix(word, "0x") && strings.ContainsAny(word, ".eE") {
			want = "d"
		}
	}
	var err error
	integer := func(bits int) int64 { var n int64; n, err = strconv.ParseInt(word, 0, bits); return n }
	natural := func(bits int) uint64 { var n uint64; n, err = strconv.ParseUint(word, 0, bits); return n }
	var v any
	switch want {
	case "y":
		v = byte(natural(8))
	case "n":
		v = int16(integer(16))
	case "q":
		v = uint16(natural(16))
	case "i":
		v = int32(integer(32))
	case "u":
		v = uint32(natural(32))
	case "x":
		v = integer(64)
	case "t":
		v = natural(64)
	case "d":
		var f float64
		f, err = strconv.ParseFloat(word, 64)
		v = f
	default:
		return nil, fmt.Errorf("type %q is not supported", want)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not of type %s", word, want)
	}
	return v, nil
}

// list reads an array. All elements have the type of the first.
func (p *textParser) list(want string) (any, error) {
	element := ""
	if want != "" {
		if want[0] != 'a' || len(want) != 2 {
			return nil, fmt.Errorf("an array where type %s is wanted", want)
		}
		element = want[1:]
	}
	p.s = p.s[1:]
	var items []any
	for {
		p.space()
		if strings.HasPrefix(p.s, "]") {
			p.s = p.s[1:]
			break
		}
		if len(items) > 0 {
			if !strings.HasPrefix(p.s, ",") {
				return nil, fmt.Errorf("no comma between elements")
			}
			p.s = p.s[1:]
		}
		v, err := p.value(element)
		if err != nil {
			return nil, err
		}
		element, _ = signatureOf(v)
		items = append(items, v)
	}
	switch element {
	case "":
		return nil, fmt.Errorf("an empty array needs its type, as in @as []")
	case "s":
		return collect[string](items), nil
	case "b":
		return collect[bool](items), nil
	case "y":
		return collect[byte](items), nil
	case "i":
		return collect[int32](items), nil
	case "u":
		return collect[uint32](items), nil
	case "x":
		return collect[int64](items), nil
	case "t":
		return collect[uint64](items), nil
	case "d":
		return collect[float64](items), nil
	}
	return nil, fmt.Errorf("an array of type %s is not supported", element)
}

func collect[T any](items []any) []T {
	out := make([]T, len(items))
	for i, v := range items {
		out[i] = v.(T)
	}
	return out
}
