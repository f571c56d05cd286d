//go:build s390x

package devices

// registers returns the byte of struct bpf_insn that names both registers: two bit-fields, the
// destination first, which C compilers put in the high bits where bytes are in big-endian order.
func registers(reg uint8) uint8 { return reg<<4 | reg>>4 }
