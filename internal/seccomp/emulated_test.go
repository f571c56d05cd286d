//go:build !amd64

package seccomp

import (
	"os"
	"runtime"
	"testing"
)

// TestMain: tests/machines/run starts these tests under qemu-user, and names the emulator in
// $DAVIT_TEST_EMULATOR.
func TestMain(m *testing.M) {
	if qemu := os.Getenv("DAVIT_TEST_EMULATOR"); qemu != "" {
		emulator = []string{qemu, "compiler_" + runtime.GOARCH + ".elf"}
	}
	os.Exit(m.Run())
}
