package seccomp

import (
	"fmt"
	"strconv"
	"syscall"

	"davit/internal/fault"
	"davit/internal/memfd"

	"golang.org/x/sys/unix"
)

// emulator is what tests under qemu-user start in place of the compiler, which the kernel cannot.
var emulator []string

// runCompiler runs the compiler with a request and returns its answer. Both are files in memory, so
// that neither side ever waits for the other to read.
func runCompiler(request []byte) ([]byte, error) {
	answer, err := tryCompiler(request)
	if err != nil {
		return nil, fault.In("linux.seccomp", fmt.Errorf("run the seccomp compiler: %w", err))
	}
	return answer, nil
}

func tryCompiler(request []byte) ([]byte, error) {
	program, err := memfd.Program("davit-seccomp", compilerELF)
	if err != nil {
		return nil, err
	}
	defer unix.Close(program)
	in, err := memfd.Data("davit-seccomp-request", request)
	if err != nil {
		return nil, err
	}
	defer unix.Close(in)
	out, err := memfd.Data("davit-seccomp-answer", nil)
	if err != nil {
		return nil, err
	}
	defer unix.Close(out)
	if _, err := unix.Seek(in, 0, unix.SEEK_SET); err != nil {
		return nil, fmt.Errorf("seek in the request: %w", err)
	}
	path := "/proc/self/fd/" + strconv.Itoa(program)
	argv := []string{"davit-seccomp"}
	if emulator != nil {
		path, argv = emulator[0], emulator
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Files: []uintptr{uintptr(in), uintptr(out)},
	})
	if err != nil {
		return nil, fmt.Errorf("exec %s: %w", path, err)
	}
	if err := wait(pid); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(out, &st); err != nil {
		return nil, fmt.Errorf("fstat the answer: %w", err)
	}
	return readAll(out, st.Size)
}

func wait(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait4: %w", err)
		}
		break
	}
	if status.Signaled() {
		return fmt.Errorf("killed by %v", status.Signal())
	}
	if status.ExitStatus() != 0 {
		return fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return nil
}
