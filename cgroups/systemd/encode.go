package systemd

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Property is a setting of a unit, with the types of systemd's D-Bus interface
// (org.freedesktop.systemd1(5)). Value is a bool, byte, int16, uint16, int32, uint32, int64,
// uint64, float64, string or Path, or a slice of bool, byte, int32, uint32, int64, uint64, float64,
// string or Pair.
type Property struct {
	Name  string
	Value any
}

// Path is a D-Bus object path.
type Path string

// Pair is D-Bus' type (ss). DeviceAllow is a list of them.
type Pair [2]string

// encoder encodes D-Bus values. Each value is aligned to its size, counted from the start of the
// message; a message's body starts at a multiple of 8.
type encoder struct{ b []byte }

func (e *encoder) align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) uint32(v uint32) {
	e.align(4)
	e.b = binary.LittleEndian.AppendUint32(e.b, v)
}

func (e *encoder) uint64(v uint64) {
	e.align(8)
	e.b = binary.LittleEndian.AppendUint64(e.b, v)
}

func (e *encoder) string(s string) {
	e.uint32(uint32(len(s)))
	e.b = append(append(e.b, s...), 0)
}

func (e *encoder) signature(s string) {
	e.b = append(append(append(e.b, byte(len(s))), s...), 0)
}

// array writes an array: its length in bytes, then the elements, which f writes. align is the
// elements' alignment.
func (e *encoder) array(align int, f func()) {
	e.uint32(0)
	length := len(e.b) - 4
	e.align(align)
	start := len(e.b)
	f()
	binary.LittleEndian.PutUint32(e.b[length:], uint32(len(e.b)-start))
}

// field writes a header field, which has the type (yv).
func (e *encoder) field(code byte, sig, value string) {
	e.align(8)
	e.b = append(e.b, code)
	e.signature(sig)
	if sig == "g" {
		e.signature(value)
	} else {
		e.string(value)
	}
}

// properties writes a list of the type a(sv).
func (e *encoder) properties(list []Property) {
	e.array(8, func() {
		for _, p := range list {
			e.align(8)
			e.string(p.Name)
			sig, size := signatureOf(p.Value)
			e.signature(sig)
			e.value(p.Value, size)
		}
	})
}

// signatureOf returns the D-Bus type of a value, and its alignment; that of the elements if the
// value is a slice.
func signatureOf(v any) (sig string, align int) {
	switch v.(type) {
	case bool:
		return "b", 4
	case byte:
		return "y", 1
	case int16:
		return "n", 2
	case uint16:
		return "q", 2
	case int32:
		return "i", 4
	case uint32:
		return "u", 4
	case int64:
		return "x", 8
	case uint64:
		return "t", 8
	case float64:
		return "d", 8
	case string:
		return "s", 4
	case Path:
		return "o", 4
	case Pair:
		return "(ss)", 8
	case []bool:
		return "ab", 4
	case []byte:
		return "ay", 1
	case []int32:
		return "ai", 4
	case []uint32:
		return "au", 4
	case []int64:
		return "ax", 8
	case []uint64:
		return "at", 8
	case []float64:
		return "ad", 8
	case []string:
		return "as", 4
	case []Pair:
		return "a(ss)", 8
	}
	panic(fmt.Sprintf("systemd: no D-Bus type for %T", v))
}

func (e *encoder) value(v any, align int) {
	switch v := v.(type) {
	case bool:
		if v {
			e.uint32(1)
		} else {
			e.uint32(0)
		}
	case byte:
		e.b = append(e.b, v)
	case int16:
		e.align(2)
		e.b = binary.LittleEndian.AppendUint16(e.b, uint16(v))
	case uint16:
		e.align(2)
		e.b = binary.LittleEndian.AppendUint16(e.b, v)
	case int32:
		e.uint32(uint32(v))
	case uint32:
		e.uint32(v)
	case int64:
		e.uint64(uint64(v))
	case uint64:
		e.uint64(v)
	case float64:
		e.uint64(math.Float64bits(v))
	case string:
		e.string(v)
	case Path:
		e.string(string(v))
	case Pair:
		e.align(8)
		e.string(v[0])
		e.string(v[1])
	case []bool:
		values(e, v, align)
	case []byte:
		values(e, v, align)
	case []int32:
		values(e, v, align)
	case []uint32:
		values(e, v, align)
	case []int64:
		values(e, v, align)
	case []uint64:
		values(e, v, align)
	case []float64:
		values(e, v, align)
	case []string:
		values(e, v, align)
	case []Pair:
		values(e, v, align)
	}
}

func values[T any](e *encoder, list []T, align int) {
	e.array(align, func() {
		for _, v := range list {
			e.value(v, 0)
		}
	})
}

// decoder reads values. Once it has met one that cannot be, failed is set and all further values
// are zero.
type decoder struct {
	b      []byte
	order  binary.ByteOrder
	pos    int
	failed bool
}

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.b)-d.pos {
		d.failed = true
		return make([]byte, 8)
	}
	b := d.b[d.pos : d.pos+n]
	d.pos += n
	return b
}

func (d *decoder) align(n int) {
	if rest := d.pos % n; rest != 0 {
		d.take(n - rest)
	}
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) uint32() uint32 {
	d.align(4)
	return d.order.Uint32(d.take(4))
}

// text reads a string or an object path.
func (d *decoder) text() string { return d.terminated(int(d.uint32())) }

func (d *decoder) signature() string { return d.terminated(int(d.byte())) }

func (d *decoder) terminated(n int) string {
	s := string(d.take(n))
	if d.take(1)[0] != 0 || d.failed || strings.IndexByte(s, 0) >= 0 {
		d.failed = true
		return ""
	}
	return s
}
