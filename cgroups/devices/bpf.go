package devices

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// On cgroup v2 an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE decides about each open(2) and
// mknod(2). davit assembles it itself: it is a chain of comparisons, and to load it takes three
// system calls.

// insn is struct bpf_insn, but for the order of its two registers (registers, of each order of
// bytes).
type insn struct {
	op  uint8
	reg uint8 // the destination register in the low four bits, the source in the high four
	off int16
	imm int32
}

// The opcodes that the program uses (linux/bpf_common.h, linux/bpf.h); those for 32 bits where
// there is a choice.
const (
	opLoad  = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	opMove  = 0xb4 // w = imm
	opCopy  = 0xbc // w = w
	opOr    = 0x4c // w |= w
	opAnd   = 0x54 // w &= imm
	opLeft  = 0x64 // w <<= imm
	opRight = 0x74 // w >>= imm
	opJEQ   = 0x16 // if w == imm goto off
	opJNE   = 0x56 // if w != imm goto off
	opJSet  = 0x46 // if w & imm goto off
	opJump  = 0x05
	opExit  = 0x95
)

// The registers, and what the program keeps in them. On entry r1 points to the context, struct
// bpf_cgroup_dev_ctx.
const (
	regResult = 0 // r0
	regCtx    = 1
	regKind   = 2 // devBlock or devChar
	regAccess = 3 // the requested bits of access that no rule has allowed yet
	regMajor  = 4
	regMinor  = 5
	regDevice = 6 // major<<20 | minor
)

const (
	devBlock = 1
	devChar  = 2
)

// assemble makes the program of the rules. It goes from the last rule to the first; the first one
// that matches a requested bit of access decides that bit. A denied bit denies the whole access;
// once every bit is allowed, the access is. What no rule matches is denied.
//
// Most rules become a single comparison that jumps to one of two common ends, and there is one
// chain for each kind of device. The kernel's verifier takes time that grows with the square of the
// number of branches that meet again: 57 instructions in which they met after each rule took 220 µs
// to load on Linux 6.18.
func assemble(rules []Rule) []insn {
	a := assembler{code: make([]insn, 0, 16+2*len(rules))}
	a.emit(opLoad, regKind|regCtx<<4, 0, 0) // access_type: access<<16 | kind
	a.emit(opCopy, regAccess|regKind<<4, 0, 0)
	a.emit(opAnd, regKind, 0, 0xffff)
	a.emit(opRight, regAccess, 0, 16)
	a.emit(opLoad, regMajor|regCtx<<4, 4, 0)
	a.emit(opLoad, regMinor|regCtx<<4, 8, 0)
	a.emit(opCopy, regDevice|regMajor<<4, 0, 0)
	a.emit(opLeft, regDevice, 0, 20)
	a.emit(opOr, regDevice|regMinor<<4, 0, 0)
	block := len(a.code)
	a.emit(opJEQ, regKind, 0, devBlock)
	a.chain(rules, 'c')
	a.code[block].off = int16(len(a.code) - block - 1)
	a.chain(rules, 'b')
	a.end(a.allow, 1)
	a.end(a.deny, 0)
	return a.code
}

// assembler collects the instructions, and the positions of the jumps to the two ends.
type assembler struct {
	code        []insn
	allow, deny []int
}

func (a *assembler) emit(op, reg uint8, off int16, imm int64) {
	a.code = append(a.code, insn{op, reg, off, int32(uint32(imm))})
}

// jump adds a jump to the end that allows the access, or to the one that denies it.
func (a *assembler) jump(allow bool, op, reg uint8, imm int64) {
	if allow {
		a.allow = append(a.allow, len(a.code))
	} else {
		a.deny = append(a.deny, len(a.code))
	}
	a.emit(op, reg, 0, imm)
}

// end adds one of the ends, and directs the jumps to it.
func (a *assembler) end(jumps []int, result int64) {
	if len(jumps) == 0 {
		return // the verifier refuses dead code
	}
	for _, i := range jumps {
		a.code[i].off = int16(len(a.code) - i - 1)
	}
	a.emit(opMove, regResult, 0, result)
	a.emit(opExit, 0, 0, 0)
}

// chain adds the comparisons for one kind of device.
func (a *assembler) chain(rules []Rule, kind byte) {
	for i := len(rules) - 1; i >= 0; i-- {
		r := &rules[i]
		if r.Kind != 'a' && r.Kind != kind {
			continue
		}
		reg, number, some := r.compare()
		switch {
		case r.Access == accessAll && !some:
			a.jump(r.allow, opJump, 0, 0)
			return // no device gets past this jump
		case r.Access == accessAll:
			a.jump(r.allow, opJEQ, reg, number)
		default:
			skip := len(a.code)
			if some {
				a.emit(opJNE, reg, 0, number)
			}
			if r.allow {
				a.emit(opAnd, regAccess, 0, int64(accessAll&^r.Access))
				a.jump(true, opJEQ, regAccess, 0)
			} else {
				a.jump(false, opJSet, regAccess, int64(r.Access))
			}
			if some {
				a.code[skip].off = int16(len(a.code) - skip - 1)
			}
		}
	}
	a.jump(false, opJump, 0, 0)
}

// compare returns the register and the number by which the program recognises the rule's devices.
// some is false if the rule is about all of them.
func (r *Rule) compare() (reg uint8, number int64, some bool) {
	switch {
	case r.Major != Any && r.Minor != Any:
		return regDevice, r.Major<<20 | r.Minor, true
	case r.Major != Any:
		return regMajor, r.Major, true
	case r.Minor != Any:
		return regMinor, r.Minor, true
	}
	return 0, 0, false
}

// progName distinguishes davit's program from those of others on the same cgroup. The kernel takes
// 15 bytes at most.
const progName = "davit_devices"

// set2 attaches the program of the rules to the cgroup. If the cgroup has a program of davit's
// already, the new one replaces it in a single step. Programs of others, such as systemd's, stay:
// the kernel runs all of them.
func set2(dir int, list []specs.LinuxDeviceCgroup, mayHaveOld bool) error {
	rules, e := rulesOf(list)
	if e != nil {
		return e
	}
	old := -1
	if mayHaveOld {
		var err error
		if old, err = findProgram(dir); err != nil {
			return err
		}
		if old >= 0 {
			defer unix.Close(old)
		}
	} else if len(rules) == 1 && rules[0].all() {
		return nil // without a program everything is allowed
	}
	prog, err := loadProgram(assemble(rules), progName)
	if err != nil {
		return err
	}
	defer unix.Close(prog)
	return attachProgram(dir, prog, old)
}

// encode returns the program as the kernel of this machine reads it.
func encode(code []insn) []byte {
	buf := make([]byte, 0, 8*len(code))
	for _, i := range code {
		buf = append(buf, i.op, registers(i.reg))
		buf = binary.NativeEndian.AppendUint16(buf, uint16(i.off))
		buf = binary.NativeEndian.AppendUint32(buf, uint32(i.imm))
	}
	return buf
}

func loadProgram(code []insn, name string) (int, error) {
	buf := encode(code)
	license := []byte("Apache-2.0\x00")
	attr := struct { // union bpf_attr, BPF_PROG_LOAD
		progType, count                  uint32
		insns, license                   unsafe.Pointer
		logLevel, logSize                uint32
		logBuf                           uint64
		kernVersion, flags               uint32
		name                             [16]byte
		ifindex, expectedAttachType, pad uint32
	}{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(code)),
		insns: unsafe.Pointer(&buf[0]), license: unsafe.Pointer(&license[0]),
		expectedAttachType: unix.BPF_CGROUP_DEVICE,
	}
	copy(attr.name[:], name)
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("bpf BPF_PROG_LOAD of %d instructions: %w", len(code), err)
	}
	return fd, nil
}

func attachProgram(dir, prog, old int) error {
	attr := struct { // union bpf_attr, BPF_PROG_ATTACH
		target, prog, attachType, flags, replace uint32
	}{target: uint32(dir), prog: uint32(prog), attachType: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}
	if old >= 0 {
		attr.flags |= unix.BPF_F_REPLACE
		attr.replace = uint32(old)
	}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fmt.Errorf("bpf BPF_PROG_ATTACH: %w", err)
	}
	return nil
}

// programs returns the ids of the device programs that are attached to the cgroup itself.
func programs(dir int) ([]uint32, error) {
	ids := make([]uint32, 64) // BPF_CGROUP_MAX_PROGS
	attr := struct {          // union bpf_attr, BPF_PROG_QUERY
		target, attachType, query, attachFlags uint32
		ids                                    unsafe.Pointer
		count, pad                             uint32
	}{target: uint32(dir), attachType: unix.BPF_CGROUP_DEVICE,
		ids: unsafe.Pointer(&ids[0]), count: uint32(len(ids))}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, fmt.Errorf("bpf BPF_PROG_QUERY: %w", err)
	}
	return ids[:attr.count], nil
}

// findProgram opens davit's program on the cgroup. It returns -1 if there is none.
func findProgram(dir int) (int, error) {
	ids, err := programs(dir)
	if err != nil {
		return -1, err
	}
	for _, id := range ids {
		attr := struct{ id, next, flags uint32 }{id: id}
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		if errors.Is(err, unix.ENOENT) {
			continue // somebody has detached it meanwhile
		}
		if err != nil {
			return -1, fmt.Errorf("bpf BPF_PROG_GET_FD_BY_ID %d: %w", id, err)
		}
		name, err := programName(fd)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		if name == progName {
			return fd, nil
		}
		unix.Close(fd)
	}
	return -1, nil
}

func programName(fd int) (string, error) {
	// The beginning of struct bpf_prog_info; the name is at offset 64.
	var info [128]byte
	attr := struct { // union bpf_attr, BPF_OBJ_GET_INFO_BY_FD
		fd, length uint32
		info       unsafe.Pointer
	}{fd: uint32(fd), length: uint32(len(info)), info: unsafe.Pointer(&info[0])}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return "", fmt.Errorf("bpf BPF_OBJ_GET_INFO_BY_FD: %w", err)
	}
	return unix.ByteSliceToString(info[64:80]), nil
}

// Pointers in the kernel's union bpf_attr always have 64 bits. The structs here hold Go pointers,
// so that the garbage collector sees them. This line does not compile on machines with shorter
// pointers.
const _ = uint(unsafe.Sizeof(uintptr(0)) - 8)

// bpf is bpf(2). It repeats the call after EAGAIN, which the kernel returns if a signal interrupts
// the verifier.
func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EAGAIN, unix.EINTR:
		default:
			return -1, errno
		}
	}
}
