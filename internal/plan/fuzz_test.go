package plan

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// source uses a fuzzer's bytes as the arguments of steps.
type source struct{ data []byte }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *source) num() uint64 {
	var n uint64
	for range s.byte() % 9 {
		n = n<<8 | uint64(s.byte())
	}
	return n
}

func (s *source) str() string {
	n := int(s.byte())
	if n == 255 { // longer than the space that is set aside for all data
		return strings.Repeat("x", 100*n)
	}
	n = min(n, len(s.data))
	v := string(s.data[:n])
	s.data = s.data[n:]
	return v
}

func (s *source) list() []string {
	v := make([]string, s.byte()%8)
	for i := range v {
		v[i] = s.str()
	}
	return v
}

func (s *source) fd() FD     { return FD(s.byte() % 4) }
func (s *source) bool() bool { return s.byte()&1 != 0 }

// step makes a step with arguments of every kind.
func (s *source) step() Step {
	switch s.byte() % 12 {
	case 0:
		return Join{FD: s.fd(), Types: s.num(), Name: s.str()}
	case 1:
		return Mount{Type: s.str(), Source: s.str(), Target: s.str(), Data: s.str(), Flags: s.num(), Propagation: s.num(), NoFollow: s.bool(), KeepMode: s.bool()}
	case 2:
		return Bind{Tree: s.fd(), Source: s.str(), Target: s.str(), How: s.num(), Set: s.num(), Clear: s.num(), Drop: s.num(),
			RecSet: s.num(), RecClear: s.num(), Propagation: s.num()}
	case 3:
		return Device{Path: s.str(), Mode: s.num(), Rdev: s.num(), UID: s.num(), GID: s.num()}
	case 4:
		return Hook{Path: s.str(), Args: s.list(), Env: s.list(), Timeout: s.num(), State: s.str()}
	case 5:
		return Console{Socket: s.fd(), Rows: s.num(), Cols: s.num(), UID: s.num(), Mount: s.bool()}
	case 6:
		return Sysctl{Proc: s.fd(), Key: s.str(), Value: s.str()}
	case 7:
		return User{UID: s.num(), GID: s.num(), Groups: s.str(), KeepGroups: s.bool()}
	case 8:
		return Program{Name: s.str(), Paths: s.list()}
	case 9:
		return Seccomp{Program: s.str(), Flags: s.num(), Listener: s.fd(), State: s.str(), Reporter: s.num()&1 != 0}
	case 10:
		return Identity{}
	}
	return Exec{Args: s.list(), Env: s.list(), Preserve: s.num()}
}

// FuzzEncode reads the output of Encode as the stage does. The same arguments are in the same
// slots, and every string ends where it should.
func FuzzEncode(f *testing.F) {
	f.Add([]byte{})
	for op := range byte(12) {
		f.Add([]byte{op, 3, 1, 2, 3, 2, 'a', 'b', 1, 'c', 8, 1, 2, 3, 4, 5, 6, 7, 8})
		f.Add(bytes.Repeat([]byte{op, 1, 2, 3}, 40))
		f.Add(bytes.Repeat([]byte{op, 2, 255}, 90))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &source{data}
		p := Plan{Descriptors: make([]Descriptor, 3), Trace: s.bool()}
		for len(s.data) > 0 {
			p.Add("", s.step())
		}
		encoded, err := p.Encode()
		if err != nil {
			if len(p.Steps) <= MaxSize/recordSize {
				t.Fatal(err)
			}
			return
		}
		read(t, &p, encoded)
	})
}

// These lists are longer than the space that is set aside for all data.
func TestEncodeGrows(t *testing.T) {
	for size := 1; size < 100_000; size = 3*size + 1 {
		v := []string{"a", strings.Repeat("x", size), "", strings.Repeat("y", size), "b"}
		p := Plan{}
		p.Add("", Hook{Path: "/h", Args: v, Env: v})
		p.Add("", Exec{Args: v, Env: v})
		encoded, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read(t, &p, encoded)
	}
}

// read decodes a plan, and compares each argument with the plan from which it was made.
func read(t *testing.T, p *Plan, b []byte) {
	u32 := func(at int) int { return int(binary.NativeEndian.Uint32(b[at:])) }
	if u32(0) != Magic || u32(8) != len(b) || u32(12) != len(p.Steps) || u32(20) != len(p.Descriptors) || u32(24) != int(flag(p.Trace)) {
		t.Fatalf("header % x", b[:headerSize])
	}
	d := decoder{T: t, buf: b, data: u32(16)}
	if d.data != headerSize+len(p.Steps)*recordSize || d.data%8 != 0 {
		t.Fatalf("data at %d", d.data)
	}
	for i, e := range p.Steps {
		d.record = headerSize + i*recordSize
		d.nums, d.refs, d.fds = 0, 0, 0
		if Op(u32(d.record)) != OpOf(e.Step) {
			t.Fatalf("step %d: op %d", i, u32(d.record))
		}
		e.Step.visit(&d)
		if d.nums > maxNums || d.refs > maxRefs || d.fds > maxFDs {
			t.Fatalf("step %d (%s) has more arguments than a record", i, OpOf(e.Step))
		}
	}
}

// decoder is a visitor that compares arguments.
type decoder struct {
	*testing.T
	buf             []byte
	data, record    int
	nums, refs, fds int
}

func (d *decoder) num(name string, v uint64, _ format) {
	if have := binary.NativeEndian.Uint64(d.buf[d.record+offNum+8*d.nums:]); have != v {
		d.Fatalf("%s: %d, not %d", name, have, v)
	}
	d.nums++
}

func (d *decoder) fd(name string, v FD) {
	if have := binary.NativeEndian.Uint32(d.buf[d.record+offFD+4*d.fds:]); have != uint32(v) {
		d.Fatalf("%s: descriptor %d, not %d", name, have, v)
	}
	d.fds++
}

// ref returns the bytes that a record refers to, and checks that a NUL follows them.
func (d *decoder) ref(name string) []byte {
	at := d.record + offRef + 8*d.refs
	d.refs++
	from := d.data + int(binary.NativeEndian.Uint32(d.buf[at:]))
	to := from + int(binary.NativeEndian.Uint32(d.buf[at+4:]))
	if to >= len(d.buf) || d.buf[to] != 0 {
		d.Fatalf("%s: %d to %d of %d bytes has no end", name, from, to, len(d.buf))
	}
	return d.buf[from:to]
}

func (d *decoder) str(name, v string) {
	if have := d.ref(name); string(have) != v {
		d.Fatalf("%s: %q, not %q", name, have, v)
	}
}

func (d *decoder) list(name string, v []string) {
	offsets := d.ref(name)
	if len(offsets) != 8*(len(v)+1) || binary.NativeEndian.Uint64(offsets[8*len(v):]) != 0 {
		d.Fatalf("%s: %d strings in % x", name, len(v), offsets)
	}
	for i, s := range v {
		from := d.data + int(binary.NativeEndian.Uint64(offsets[8*i:]))
		if from <= d.data || from+len(s) >= len(d.buf) || string(d.buf[from:from+len(s)]) != s || d.buf[from+len(s)] != 0 {
			d.Fatalf("%s[%d]: not %q at %d", name, i, s, from)
		}
	}
}

func TestPIDMark(t *testing.T) {
	if want := strings.Repeat(string(rune(pidMarkByte)), pidMarkLen); PIDMark != want {
		t.Errorf("PIDMark is %q, which the stage would not find: it looks for %q", PIDMark, want)
	}
}
