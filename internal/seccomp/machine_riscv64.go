package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/.
//
//go:embed compiler_riscv64.elf
var compilerELF string

// thisMachine describes riscv64. Nothing that libseccomp knows runs beside it.
func thisMachine() machine {
	return machine{archRISCV64, nil, false}
}
