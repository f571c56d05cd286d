package seccomp

import (
	"encoding/binary"
	"fmt"

	"davit/internal/fault"

	"golang.org/x/sys/unix"
)

// Layout of wire.h.
const (
	wireRequest    = 0x31514344
	wireAnswer     = 0x31414344
	wireRequestMax = 1 << 20
	wireNameMax    = 255

	requestSize     = 10 * 4
	requestArgSize  = 2*4 + 2*8
	requestNameSize = 2 * 4
	requestRuleSize = 5 * 4
	answerSize      = 8 * 4
)

// Steps of the compiler (enum wire_step).
const (
	stepDone = iota
	stepRequest
	stepInit
	stepArch
	stepRule
	stepExport
	stepAnswer
)

func put32(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

// request encodes cfg for the compiler.
func (cfg *config) request() ([]byte, error) {
	text := 0
	for _, n := range cfg.names {
		text += len(n)
	}
	size := requestSize + len(cfg.args)*requestArgSize + len(cfg.names)*requestNameSize +
		len(cfg.rules)*requestRuleSize + len(cfg.arches)*4 + text
	if size > wireRequestMax {
		return nil, fault.At("linux.seccomp.syscalls", "too many rules: they take %d bytes, %d are allowed", size, wireRequestMax)
	}
	b := put32(make([]byte, 0, size), wireRequest, uint32(size), cfg.defaultAction, uint32(len(cfg.args)),
		uint32(len(cfg.names)), uint32(len(cfg.rules)), uint32(len(cfg.arches)), uint32(text), uint32(cfg.programs), 0)
	for _, a := range cfg.args {
		b = put32(b, a.index, a.op)
		b = binary.NativeEndian.AppendUint64(b, a.a)
		b = binary.NativeEndian.AppendUint64(b, a.b)
	}
	text = 0
	for _, n := range cfg.names {
		b = put32(b, uint32(text), uint32(len(n)))
		text += len(n)
	}
	for _, r := range cfg.rules {
		b = put32(b, uint32(r.program), uint32(r.name), r.action, uint32(r.arg), uint32(r.args))
	}
	b = put32(b, cfg.arches...)
	for _, n := range cfg.names {
		b = append(b, n...)
	}
	return b, nil
}

// answer is the compiler's answer to a request.
type answer struct {
	above    []uint32   // for each architecture: the first number above all named ones, 0 if none is named
	known    []bool     // for each name: libseccomp knows it
	programs [][][]insn // for each architecture: the programs that are only for it
}

// parseAnswer decodes the answer to cfg's request. It returns an error if the compiler reports one,
// or if the answer is malformed.
func parseAnswer(b []byte, cfg *config) (*answer, error) {
	r := reader{b: b}
	magic, step, errno, at := r.word(), r.word(), r.word(), r.word()
	arches, names, programs, native := r.word(), r.word(), r.word(), r.word()
	if r.bad || magic != wireAnswer {
		return nil, fault.At("linux.seccomp", "the seccomp compiler gave no answer (%d bytes)", len(b))
	}
	if step != stepDone {
		return nil, cfg.stepError(step, unix.Errno(errno), int(at))
	}
	if native != thisMachine().native {
		return nil, fault.At("linux.seccomp", "the seccomp compiler was built for another machine (%#x)", native)
	}
	if int(arches) != len(cfg.arches) || int(names) != len(cfg.names) || int(programs) != len(cfg.arches)*cfg.programs {
		return nil, fault.At("linux.seccomp", "the seccomp compiler sent the answer to another request")
	}
	ans := &answer{above: r.words(int(arches)), known: make([]bool, names)}
	for i := range ans.known {
		ans.known[i] = r.word() != 0
	}
	lengths := r.words(int(programs))
	ans.programs = make([][][]insn, arches)
	for i, length := range lengths {
		prog, err := decode(r.take(int(length) * insnSize))
		if err != nil {
			return nil, fault.In("linux.seccomp", fmt.Errorf("program of the seccomp compiler: %w", err))
		}
		a := i / cfg.programs
		ans.programs[a] = append(ans.programs[a], prog)
	}
	if r.bad || len(r.b) != 0 {
		return nil, fault.At("linux.seccomp", "the seccomp compiler's answer has a wrong length")
	}
	return ans, nil
}

// stepError describes what the compiler could not do, by the field of config.json.
func (cfg *config) stepError(step uint32, errno unix.Errno, at int) error {
	switch step {
	case stepInit:
		return fault.In("linux.seccomp.defaultAction", fmt.Errorf("libseccomp refuses it: %w", errno))
	case stepArch:
		if at < len(cfg.arches) {
			return fault.In("linux.seccomp.architectures", fmt.Errorf("libseccomp does not know %#x: %w", cfg.arches[at], errno))
		}
	case stepRule:
		if at < len(cfg.rules) {
			r := cfg.rules[at]
			return fmt.Errorf("linux.seccomp.syscalls[%d] (%s): libseccomp refuses the rule: %w", r.entry, cfg.names[r.name], errno)
		}
	case stepExport:
		return fault.In("linux.seccomp", fmt.Errorf("libseccomp cannot make a program of the rules: %w", errno))
	}
	return fault.In("linux.seccomp", fmt.Errorf("the seccomp compiler failed in step %d: %w", step, errno))
}

// reader reads words from a byte slice. bad is set once there are too few.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		r.b = nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) word() uint32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func (r *reader) words(n int) []uint32 {
	b := r.take(n * 4)
	out := make([]uint32, len(b)/4)
	for i := range out {
		out[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return out
}
