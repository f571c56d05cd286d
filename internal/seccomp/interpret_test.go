package seccomp

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// event is the kernel's input to a filter, struct seccomp_data.
type event struct {
	number, arch uint32
	args         [6]uint64
}

// interpret runs a filter as the kernel does. It shares no code with the package. On the way it
// checks that the program has nothing that kernels refuse.
func interpret(t testing.TB, prog []byte, e event) uint32 {
	t.Helper()
	var data [64]byte
	binary.NativeEndian.PutUint32(data[0:], e.number)
	binary.NativeEndian.PutUint32(data[4:], e.arch)
	for i, a := range e.args {
		binary.NativeEndian.PutUint64(data[16+8*i:], a)
	}
	var a uint32
	for pc := 0; ; {
		if pc*8 >= len(prog) {
			t.Fatalf("%+v: ran off the program's end", e)
		}
		in := prog[pc*8:]
		code, jt, jf, k := binary.NativeEndian.Uint16(in), int(in[2]), int(in[3]), binary.NativeEndian.Uint32(in[4:])
		pc++
		yes := false
		switch code {
		case 0x06: // BPF_RET | BPF_K
			return k
		case 0x20: // BPF_LD | BPF_W | BPF_ABS
			a = binary.NativeEndian.Uint32(data[k:])
			continue
		case 0x54: // BPF_ALU | BPF_AND | BPF_K
			a &= k
			continue
		case 0x05: // BPF_JMP | BPF_JA
			pc += int(k)
			continue
		case 0x15: // BPF_JMP | BPF_JEQ | BPF_K
			yes = a == k
		case 0x25: // BPF_JMP | BPF_JGT | BPF_K
			yes = a > k
		case 0x35: // BPF_JMP | BPF_JGE | BPF_K
			yes = a >= k
		case 0x45: // BPF_JMP | BPF_JSET | BPF_K
			yes = a&k != 0
		default:
			t.Fatalf("instruction %d: code %#x", pc-1, code)
		}
		if yes {
			pc += jt
		} else {
			pc += jf
		}
	}
}

func describe(ret uint32) string {
	return fmt.Sprintf("%s (%#x)", actionName(ret), ret)
}
