package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// insn is a struct sock_filter.
type insn struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

const insnSize = 8

// The instructions that libseccomp uses and this package writes (linux/filter.h,
// linux/bpf_common.h). The kernel can evaluate all of them but opLoad of an
// argument when it looks for system calls that are always allowed, which it then
// lets pass without running the filter (seccomp_is_const_allow).
const (
	opLoad = 0x20 // A = word at k of struct seccomp_data
	opAnd  = 0x54 // A &= k
	opJump = 0x05 // skip k
	opEQ   = 0x15 // skip jt if A == k, else jf
	opGT   = 0x25
	opGE   = 0x35
	opSet  = 0x45 // A & k != 0
	opRet  = 0x06 // return k
)

// Offsets in struct seccomp_data (linux/seccomp.h); arguments follow, two words
// each, up to dataSize.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
	dataSize  = 64
)

func isBranch(code uint16) bool {
	return code == opEQ || code == opGT || code == opGE || code == opSet
}

// branch evaluates a conditional jump.
func branch(code uint16, a, k uint32) bool {
	switch code {
	case opEQ:
		return a == k
	case opGT:
		return a > k
	case opGE:
		return a >= k
	}
	return a&k != 0
}

// decode checks what every later pass relies on: known instructions, loads inside
// the data, jumps inside the program, a return at its end.
func decode(b []byte) ([]insn, error) {
	if len(b) == 0 || len(b)%insnSize != 0 {
		return nil, fmt.Errorf("%d bytes are not an array of instructions", len(b))
	}
	prog := make([]insn, len(b)/insnSize)
	for i := range prog {
		p := b[i*insnSize:]
		in := insn{binary.NativeEndian.Uint16(p), p[2], p[3], binary.NativeEndian.Uint32(p[4:])}
		left := uint32(len(prog) - 1 - i)
		ok := left > 0
		switch {
		case in.code == opRet:
			ok = true
		case in.code == opLoad:
			ok = ok && in.k%4 == 0 && in.k < dataSize
		case in.code == opJump:
			ok = in.k < left
		case isBranch(in.code):
			ok = uint32(max(in.jt, in.jf)) < left
		case in.code != opAnd:
			ok = false
		}
		if !ok {
			return nil, fmt.Errorf("instruction %d is invalid: %+v", i, in)
		}
		prog[i] = in
	}
	return prog, nil
}

func encode(prog []insn) []byte {
	b := make([]byte, 0, len(prog)*insnSize)
	for _, in := range prog {
		b = binary.NativeEndian.AppendUint16(b, in.code)
		b = append(b, in.jt, in.jf)
		b = binary.NativeEndian.AppendUint32(b, in.k)
	}
	return b
}

// errNotRange says that a program does something else with numbers than compare them with
// constants, so that its decisions cannot be found by trying the constants, or that it asks for an
// architecture that it is not for. A correct libseccomp does neither.
var errNotRange = errors.New("the program computes with the system call's number or architecture")

// accumulator has what is known about the register A while a program is followed for one
// architecture and one number.
type accumulator struct {
	known  bool
	number bool // it is the number
	value  uint32
}

// follower finds out what a program decides for one architecture and number.
type follower struct {
	prog         []insn
	arch, number uint32
	g            *graph
	memo         map[followed]nodeID
}

type followed struct {
	pc  int
	acc accumulator
}

// follow returns the decision that remains at pc once arch and number are known.
func (f *follower) follow(pc int, acc accumulator) (nodeID, error) {
	for {
		in := f.prog[pc]
		pc++
		switch {
		case in.code == opRet:
			return f.g.ret(in.k), nil
		case in.code == opJump:
			pc += int(in.k)
		case in.code == opLoad && in.k == offArch:
			acc = accumulator{known: true, value: f.arch}
		case in.code == opLoad && in.k == offNumber:
			acc = accumulator{known: true, number: true, value: f.number}
		case in.code == opLoad || !acc.known:
			return f.remain(pc, in, acc)
		case !f.decidable(in, acc):
			return 0, errNotRange
		case branch(in.code, acc.value, in.k):
			pc += int(in.jt)
		default:
			pc += int(in.jf)
		}
	}
}

// decidable reports whether the outcome of in is certain for a known A. For a number in must be a
// comparison: read tries the numbers on both sides of each constant. For the architecture in must
// ask for the one that the program is for.
func (f *follower) decidable(in insn, acc accumulator) bool {
	if acc.number {
		return in.code == opEQ || in.code == opGT || in.code == opGE
	}
	return in.code == opEQ && in.k == f.arch
}

// remain makes a node of in, the instruction before pc, which depends on an
// argument.
func (f *follower) remain(pc int, in insn, acc accumulator) (nodeID, error) {
	at := followed{pc, acc}
	if id, ok := f.memo[at]; ok {
		return id, nil
	}
	if f.memo == nil {
		f.memo = make(map[followed]nodeID)
	}
	var yes, no nodeID
	var err error
	if isBranch(in.code) {
		if yes, err = f.follow(pc+int(in.jt), accumulator{}); err != nil {
			return 0, err
		}
		no, err = f.follow(pc+int(in.jf), accumulator{})
	} else {
		yes, err = f.follow(pc, accumulator{})
	}
	if err != nil {
		return 0, err
	}
	id := f.g.add(node{in.code, in.k, yes, no})
	f.memo[at] = id
	return id, nil
}
