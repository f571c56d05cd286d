package plan

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"davit/internal/jsonx"
	"davit/internal/show"
)

// Arguments returns the arguments of a step as text.
func Arguments(s Step) string {
	t := texter{}
	s.visit(&t)
	return t.b.String()
}

func line(b *strings.Builder, what, arguments, field string) {
	text := fmt.Sprintf("  %-17s %s", what, arguments)
	if field != "" {
		text = fmt.Sprintf("%-78s  # %s", text, show.Line(field))
	}
	b.WriteString(strings.TrimRight(text, " ") + "\n")
}

// texter prints the arguments that are not empty.
type texter struct{ b strings.Builder }

func (t *texter) add(name, value string) {
	if t.b.Len() > 0 {
		t.b.WriteByte(' ')
	}
	t.b.WriteString(name + "=" + value)
}

func (t *texter) num(name string, v uint64, f format) {
	switch {
	case f == boolean && v != 0:
		if t.b.Len() > 0 {
			t.b.WriteByte(' ')
		}
		t.b.WriteString(name)
	case v != 0 || f == capSet || f == id:
		t.add(name, formatNum(v, f))
	}
}

func (t *texter) str(name, v string) {
	if v != "" && name == "groups" {
		t.add(name, gids(v))
	} else if v != "" {
		t.add(name, quote(strings.ReplaceAll(v, PIDMark, "<pid>")))
	}
}

func (t *texter) list(name string, v []string) {
	if len(v) == 0 {
		return
	}
	q := make([]string, len(v))
	for i := range v {
		q[i] = quote(v[i])
	}
	t.add(name, "["+strings.Join(q, " ")+"]")
}

func (t *texter) fd(name string, v FD) {
	if v != NoFD {
		t.add(name, "descriptor:"+strconv.Itoa(int(v)))
	}
}

// gids returns the groups of a step User as text.
func gids(v string) string {
	var list []string
	for b := []byte(v); len(b) >= 4; b = b[4:] {
		list = append(list, strconv.FormatUint(uint64(binary.NativeEndian.Uint32(b)), 10))
	}
	return "[" + strings.Join(list, " ") + "]"
}

// quote returns plain words as they are, quotes other text, and shortens binary data.
func quote(s string) string {
	if isBinary(s) {
		return fmt.Sprintf("<%d bytes>", len(s))
	}
	if s != "" && show.Plain(s) && !strings.ContainsAny(s, " \"'\\[]{}") {
		return s
	}
	return strconv.Quote(s)
}

// isBinary reports whether s is binary data, which it is if it has a zero byte.
func isBinary(s string) bool { return strings.Contains(strings.ReplaceAll(s, PIDMark, ""), "\x00") }

// JSON returns the plan for programs, in a form that does not change.
func (p *Plan) JSON() []byte { return p.JSONWith(&Outline{}) }

// JSONWith returns the same together with an outline.
func (p *Plan) JSONWith(o *Outline) []byte {
	e := jsonx.Encoder{Indent: "  "}
	e.Object()
	e.Key("parent")
	e.Object()
	e.Key("clone")
	e.String(flagNames(p.Clone, cloneFlags))
	e.Key("open")
	e.Array()
	for _, d := range p.Descriptors {
		if d.Kind == Own {
			continue
		}
		e.Object()
		e.Key("kind")
		e.String(d.Kind.String())
		e.Key("path")
		e.String(d.Path)
		if d.Maps != "" {
			e.Key("idmap")
			e.String(strings.ReplaceAll(d.Maps, "\x00", ""))
		}
		if d.Field != "" {
			e.Key("field")
			e.String(d.Field)
		}
		e.EndObject()
	}
	e.EndArray()
	o.encode(&e)
	e.EndObject()
	e.Key("stage")
	e.Array()
	for _, entry := range p.Steps {
		e.Object()
		e.Key("step")
		e.String(entry.Step.op().String())
		if entry.Field != "" {
			e.Key("field")
			e.String(entry.Field)
		}
		entry.Step.visit(&jsoner{&e})
		if entry.Late != "" {
			e.Key("late")
			e.String(entry.Late)
		}
		e.EndObject()
	}
	e.EndArray()
	encodeActs(&e, "start", o.Start)
	encodeActs(&e, "delete", o.Delete)
	e.EndObject()
	e.Newline()
	return e.Bytes()
}

type jsoner struct{ e *jsonx.Encoder }

func (j *jsoner) num(name string, v uint64, f format) {
	switch {
	case f == boolean && v != 0:
		j.e.Key(name)
		j.e.Bool(true)
	case f == boolean || v == 0 && f != decimal && f != id && f != octal && f != capSet:
	case f == decimal || f == id:
		j.e.Key(name)
		j.e.Uint(v)
	default:
		j.e.Key(name)
		j.e.String(formatNum(v, f))
	}
}

func (j *jsoner) str(name, v string) {
	if v != "" {
		j.e.Key(name)
		if name == "groups" {
			v = gids(v)
		} else if isBinary(v) {
			v = fmt.Sprintf("<%d bytes>", len(v))
		}
		j.e.String(strings.ReplaceAll(v, PIDMark, "<pid>"))
	}
}

func (j *jsoner) list(name string, v []string) {
	if len(v) > 0 {
		j.e.Key(name)
		j.e.Strings(v)
	}
}

func (j *jsoner) fd(name string, v FD) {
	if v != NoFD {
		j.e.Key(name)
		j.e.Int(int64(v))
	}
}

func formatNum(v uint64, f format) string {
	switch f {
	case octal:
		return fmt.Sprintf("%#o", v)
	case hex:
		return fmt.Sprintf("%#x", v)
	case device:
		return fmt.Sprintf("%d:%d", v>>32, v&0xffffffff)
	case phase:
		return Phase(v).String()
	case mountFlags, attrFlags, cloneFlags, bindHow:
		return flagNames(v, f)
	case capSet:
		return capSetText(v)
	}
	return strconv.FormatUint(v, 10)
}

type bit struct {
	name string
	bits uint64
}

func flagNames(v uint64, f format) string {
	var names []string
	for _, b := range flagBits(f) {
		if v&b.bits == b.bits {
			names = append(names, b.name)
			v &^= b.bits
		}
	}
	if v != 0 {
		names = append(names, fmt.Sprintf("%#x", v))
	}
	return strings.Join(names, ",")
}

// flagBits are the names as config.json has them, or the kernel.
func flagBits(f format) []bit {
	switch f {
	case cloneFlags:
		return []bit{{"user", 0x10000000}, {"mount", 0x20000}, {"pid", 0x20000000}, {"network", 0x40000000},
			{"ipc", 0x8000000}, {"uts", 0x4000000}, {"cgroup", 0x2000000}, {"time", 0x80}}
	case bindHow:
		return []bit{{"recursive", BindRecursive}, {"targetlink", BindTargetLink}, {"nolinks", BindNoLinks}, {"inroot", BindInRoot}, {"sourcelink", BindSourceLink}, {"again", BindAgain}, {"late", BindLate}}
	case attrFlags:
		return []bit{{"ro", 1}, {"nosuid", 2}, {"nodev", 4}, {"noexec", 8}, {"atime", 0x70}, {"noatime", 0x10},
			{"strictatime", 0x20}, {"nodiratime", 0x80}, {"nosymfollow", 0x200000}}
	}
	return []bit{{"ro", 1}, {"nosuid", 2}, {"nodev", 4}, {"noexec", 8}, {"sync", 0x10}, {"dirsync", 0x80},
		{"mand", 0x40}, {"nosymfollow", 0x100}, {"noatime", 0x400}, {"nodiratime", 0x800}, {"bind", 0x1000},
		{"rec", 0x4000}, {"silent", 0x8000}, {"acl", 0x10000}, {"unbindable", 0x20000}, {"private", 0x40000},
		{"slave", 0x80000}, {"shared", 0x100000}, {"relatime", 0x200000}, {"iversion", 0x800000},
		{"strictatime", 0x1000000}, {"lazytime", 0x2000000}}
}

// capSetText prints a set of capabilities as in /proc/PID/status, or as "none".
func capSetText(v uint64) string {
	if v == 0 {
		return "none"
	}
	return fmt.Sprintf("%#x", v)
}
