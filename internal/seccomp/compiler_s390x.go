package seccomp

import _ "embed"

// compilerELF is the program that `make` compiles from compiler/. Each machine has a file of its own, so
// that a build never embeds a program for another one.
//
//go:embed compiler_s390x.elf
var compilerELF string
