//go:build !amd64 && !arm64 && !riscv64 && !ppc64le && !s390x && !loong64

package seccomp

// This does not compile, on purpose: the compiler prints the sentence.
const _ = "davit is for 64-bit machines only: amd64, arm64, riscv64, ppc64le, s390x, loong64" + 0
