package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/.
//
//go:embed compiler_ppc64le.elf
var compilerELF string

// thisMachine describes ppc64le. Its kernels are built without 32-bit programs.
func thisMachine() machine {
	return machine{archPPC64LE, nil, false}
}
