package plan

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

const headerSize = int(unsafe.Sizeof(header{}))

// Where a record has its descriptors, numbers and references; see steps_gen.go.
const (
	offFD  = 4
	offNum = offFD + 4*maxFDs
	offRef = offNum + 8*maxNums
)

// ErrTooLarge is returned for a plan that has more bytes than the stage accepts (MaxSize).
var ErrTooLarge = errors.New("the configuration is too large: its plan has more than 64 MiB")

// Encode returns the plan in the form that the stage reads. It fails only with ErrTooLarge.
func (p *Plan) Encode() ([]byte, error) {
	if len(p.Steps) > MaxSize/recordSize {
		return nil, ErrTooLarge
	}
	data := headerSize + len(p.Steps)*recordSize
	e := encoder{buf: make([]byte, data+8, data+8192), data: data}
	for i := range p.Steps {
		e.record = headerSize + i*recordSize
		e.nums, e.refs, e.fds = 0, 0, 0
		binary.NativeEndian.PutUint32(e.buf[e.record:], uint32(p.Steps[i].Step.op()))
		p.Steps[i].Step.visit(&e)
	}
	e.buf = append(e.buf, 0) // every string ends before the end
	if len(e.buf) > MaxSize {
		return nil, ErrTooLarge
	}
	h := header{Magic: Magic, Fingerprint: fingerprint, Size: uint32(len(e.buf)), NSteps: uint32(len(p.Steps)), Data: uint32(data),
		NFDs: uint32(len(p.Descriptors)), Trace: uint32(flag(p.Trace))}
	copy(e.buf, (*[headerSize]byte)(unsafe.Pointer(&h))[:])
	return e.buf, nil
}

type encoder struct {
	buf             []byte
	data            int // where the data area begins
	record          int // the record being filled
	nums, refs, fds int
}

func (e *encoder) num(_ string, v uint64, _ format) {
	binary.NativeEndian.PutUint64(e.buf[e.record+offNum+8*e.nums:], v)
	e.nums++
}

func (e *encoder) fd(_ string, v FD) {
	binary.NativeEndian.PutUint32(e.buf[e.record+offFD+4*e.fds:], uint32(v))
	e.fds++
}

func (e *encoder) ref(off, size int) {
	at := e.record + offRef + 8*e.refs
	binary.NativeEndian.PutUint32(e.buf[at:], uint32(off-e.data))
	binary.NativeEndian.PutUint32(e.buf[at+4:], uint32(size))
	e.refs++
}

// put stores a string with a NUL at its end, and returns its offset.
func (e *encoder) put(s string) int {
	off := len(e.buf)
	e.buf = append(append(e.buf, s...), 0)
	return off
}

func (e *encoder) str(_, s string) {
	if s == "" {
		e.ref(e.data, 0) // the data area begins with a NUL
		return
	}
	e.ref(e.put(s), len(s))
}

// list stores a zero-terminated array of the strings' offsets, which the stage
// turns into pointers in place.
func (e *encoder) list(_ string, v []string) {
	for (len(e.buf)-e.data)%8 != 0 {
		e.buf = append(e.buf, 0)
	}
	at := len(e.buf)
	for range len(v) + 1 {
		e.buf = append(e.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	e.buf = append(e.buf, 0) // as after every string
	for i, s := range v {
		off := e.put(s) // first, as it may move the buffer
		binary.NativeEndian.PutUint64(e.buf[at+8*i:], uint64(off-e.data))
	}
	e.ref(at, 8*(len(v)+1))
}
