package nsenter

import (
	"debug/elf"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestStageIsForThisMachine: if the embedded file were compiled for another machine, no container
// would start.
func TestStageIsForThisMachine(t *testing.T) {
	checkMachine(t, stageELF, runtime.GOARCH)
}

// TestElfsAreForTheMachinesInTheirNames also checks the files that other builds have left in this
// directory.
func TestElfsAreForTheMachinesInTheirNames(t *testing.T) {
	for _, pattern := range []string{"stage_*.elf", "../internal/seccomp/compiler_*.elf"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, arch, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".elf"), "_")
			checkMachine(t, string(content), arch)
		}
	}
}

func checkMachine(t *testing.T, content, arch string) {
	t.Helper()
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV,
		"ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390, "loong64": elf.EM_LOONGARCH}[arch]
	f, err := elf.NewFile(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != want || f.Class != elf.ELFCLASS64 {
		t.Errorf("the program for %s is for %v, %v", arch, f.Machine, f.Class)
	}
}
