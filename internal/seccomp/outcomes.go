package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Outcomes are the answers (SECCOMP_RET_*, with their data) that a filter may give to one system
// call.
type Outcomes []uint32

// Of returns what a program of this package answers to a system call of this machine's own
// architecture, whatever its arguments are. A way through the program that no arguments lead to may
// be among them.
func Of(program string, number uint32) Outcomes {
	e := evaluator{prog: program, number: number, arch: thisMachine().native}
	e.walk(0, accumulator{})
	return e.found
}

// evaluator follows a program for one system call with unknown arguments.
type evaluator struct {
	prog         string
	number, arch uint32
	found        Outcomes
	seen         []bool // instructions that were reached with an unknown A
}

// walk follows the program from pc on. A is known until the program loads an argument.
func (e *evaluator) walk(pc int, acc accumulator) {
	for pc*insnSize+insnSize <= len(e.prog) {
		p := []byte(e.prog[pc*insnSize : (pc+1)*insnSize])
		code, jt, jf, k := binary.NativeEndian.Uint16(p), int(p[2]), int(p[3]), binary.NativeEndian.Uint32(p[4:])
		if !acc.known {
			if e.seen == nil {
				e.seen = make([]bool, len(e.prog)/insnSize)
			}
			if e.seen[pc] {
				return
			}
			e.seen[pc] = true
		}
		pc++
		switch {
		case code == opRet:
			if !slices.Contains(e.found, k) {
				e.found = append(e.found, k)
			}
			return
		case code == opJump:
			pc += int(k)
		case code == opLoad && k == offArch:
			acc = accumulator{known: true, value: e.arch}
		case code == opLoad && k == offNumber:
			acc = accumulator{known: true, value: e.number}
		case code == opLoad:
			acc = accumulator{}
		case code == opAnd:
			acc.value &= k
		case !isBranch(code):
			return
		case !acc.known:
			e.walk(pc+jt, acc)
			pc += jf
		case branch(code, acc.value, k):
			pc += jt
		default:
			pc += jf
		}
	}
}

// Allowed reports whether the call is made, whatever its arguments are.
func (o Outcomes) Allowed() bool {
	return !slices.ContainsFunc(o, func(ret uint32) bool { return ret != retAllow && ret != retLog })
}

// Refused reports whether the call is never made. A call about which somebody else decides (a
// tracer, a listener) may be made.
func (o Outcomes) Refused() bool {
	return !slices.ContainsFunc(o, func(ret uint32) bool {
		switch action(ret) {
		case retErrno, retKillProcess, retKillThread, retTrap:
			return false
		}
		return true
	})
}

// Gives reports whether the call may return that errno because of the filter. A listener may answer
// with any errno; without a tracer SCMP_ACT_TRACE gives ENOSYS (seccomp(2)).
func (o Outcomes) Gives(errno unix.Errno) bool {
	return slices.ContainsFunc(o, func(ret uint32) bool {
		a := action(ret)
		return ret == retErrno|uint32(errno) || a == retNotify || a == retTrace && errno == unix.ENOSYS
	})
}

// String names the actions, as config.json has them, and the errno if it is one.
func (o Outcomes) String() string {
	text := ""
	for i, ret := range o {
		if i > 0 {
			text += " or "
		}
		if action(ret) == retErrno {
			text += fmt.Sprintf("SCMP_ACT_ERRNO: %s", unix.Errno(ret&^retActionMask).Error())
			continue
		}
		text += actionName(ret)
	}
	return text
}

func action(ret uint32) uint32 { return ret & retActionMask }

// actionName names an action as config.json has it, with its number if it carries one.
func actionName(ret uint32) string {
	for _, a := range actions() {
		if a.value != ret&retActionMask || a.name == "SCMP_ACT_KILL" {
			continue
		}
		if a.value == retErrno || a.value == retTrace {
			return fmt.Sprintf("%s %d", a.name, ret&^retActionMask)
		}
		return a.name
	}
	return fmt.Sprintf("%#x", ret)
}
