package devices

import (
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// TestInstructionOrder compares "w2 = *(u32 *)(r1 + 4)" and "if w6 == 0x10300000 goto +2" with the
// output of clang -target bpfel and bpfeb.
func TestInstructionOrder(t *testing.T) {
	code := []insn{{opLoad, regKind | regCtx<<4, 4, 0}, {opJEQ, regDevice, 2, 0x10300000}}
	want := "6112040000000000" + "1606020000003010"
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		want = "6121000400000000" + "1660000210300000"
	}
	if got := hex.EncodeToString(encode(code)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
