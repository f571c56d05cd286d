package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/.
//
//go:embed compiler_arm64.elf
var compilerELF string

// thisMachine describes arm64. Its kernels run 32-bit programs where the processor can.
func thisMachine() machine {
	return machine{archAARCH64, []uint32{archARM}, false}
}
