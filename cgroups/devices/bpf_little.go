//go:build amd64 || arm64 || riscv64 || ppc64le || loong64

package devices

// registers returns the byte of struct bpf_insn that names both registers: two bit-fields, the
// destination first, which C compilers put in the low bits where bytes are in little-endian order.
func registers(reg uint8) uint8 { return reg }
