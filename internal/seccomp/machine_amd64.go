package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/.
//
//go:embed compiler_amd64.elf
var compilerELF string

// thisMachine describes amd64. Its kernels run programs of i386 and x32, too.
func thisMachine() machine {
	return machine{archX8664, []uint32{archX86, archX32}, false}
}
