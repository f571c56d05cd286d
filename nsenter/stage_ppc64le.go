package nsenter

import _ "embed"

// stageELF is the stage that `make` compiles from stage/. Each machine has a file of its own, so
// that a build never embeds a program for another one.
//
//go:embed stage_ppc64le.elf
var stageELF string
