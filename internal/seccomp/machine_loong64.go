package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/.
//
//go:embed compiler_loong64.elf
var compilerELF string

// thisMachine describes loong64. Nothing else runs on it.
func thisMachine() machine {
	return machine{archLOONGARCH64, nil, false}
}
