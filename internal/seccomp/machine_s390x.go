package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/.
//
//go:embed compiler_s390x.elf
var compilerELF string

// thisMachine describes s390x. Kernels before 6.19 run 31-bit programs, too.
func thisMachine() machine {
	return machine{archS390X, []uint32{archS390}, true}
}
