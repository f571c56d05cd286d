package diagnose

import (
	"davit/internal/fault"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Program adds to the error of an exec what the program's file says about it: the interpreter that is missing, or the
// machine that it is for. root is the container's root directory on the host; what is mounted in it is not seen there.
// Other errors are returned as they are.
func Program(err error, root, cwd string) error {
	var e *fault.Error
	if !errors.As(err, &e) || e.Call != "execve" || e.Field != execField {
		return err
	}
	missing := errors.Is(e.Err, unix.ENOENT)
	if !missing && !errors.Is(e.Err, unix.ENOEXEC) {
		return err
	}
	fd, failed := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if failed != nil {
		return err
	}
	defer unix.Close(fd)
	hint := ""
	switch p := ImageAt(fd, path.Join("/", cwd), e.Subject); {
	case missing:
		hint = p.HintInterpreter()
	case p.Machine != "" && p.Machine != runtime.GOARCH:
		hint = fmt.Sprintf("the program is for %s, this machine is %s: take the image for that", p.Machine, runtime.GOARCH)
	case p.Binary:
		hint = "the program is for another architecture, or its file is damaged"
	default:
		hint = "it is neither a program nor a script: a script's first line begins with #!, as in #!/bin/sh"
	}
	if hint == "" {
		return err
	}
	return fault.WithHint(e, hint)
}

// execField is the field of the step Exec, in all plans.
const execField = "process.args"

// Image is what the head of an executable file says.
type Image struct {
	Interpreter string // that the kernel starts in its place; "" if there is none, or it is not known
	Script      bool   // it is of a #! line
	Binary      bool   // an ELF file
	Machine     string // that it is for, as Go calls it; "" if davit does not know
}

// HintInterpreter explains why the interpreter cannot be started, supposing that it is not there.
func (p *Image) HintInterpreter() string {
	switch {
	case strings.HasSuffix(p.Interpreter, "\r"):
		return fmt.Sprintf("the script has Windows line ends (CRLF), so that the kernel looks for %q: convert it with dos2unix", p.Interpreter)
	case p.Script:
		return fmt.Sprintf("the script's interpreter %q (its #! line) is not in the container", p.Interpreter)
	case p.Interpreter != "":
		return fmt.Sprintf("the program's dynamic loader %q is not in the container: the image lacks the C library that the program was built for", p.Interpreter)
	}
	return ""
}

// ImageAt reads the head of a program below root, which a container may have written: it follows no link out of
// root, opens nothing but a regular file, and reads no more than a page of it.
func ImageAt(root int, cwd, name string) *Image {
	if !path.IsAbs(name) {
		name = path.Join(cwd, name)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	file, err := unix.Openat2(root, name, &how)
	if err != nil {
		return &Image{}
	}
	defer unix.Close(file)
	var st unix.Stat_t
	if err := unix.Fstat(file, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return &Image{}
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", file), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return &Image{}
	}
	defer unix.Close(fd)
	var head [4096]byte
	n, err := unix.Pread(fd, head[:], 0)
	if err != nil {
		return &Image{}
	}
	return parseProgram(head[:n])
}

// parseProgram reads what execve(2) reads: a #! line, or the header of an ELF file (elf(5)).
func parseProgram(head []byte) *Image {
	text := string(head)
	if line, is := strings.CutPrefix(text, "#!"); is {
		line, _, _ = strings.Cut(line, "\n")
		line = strings.TrimLeft(line, " \t")
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			line = line[:i]
		}
		return &Image{Script: true, Interpreter: line}
	}
	const class, data, size = 4, 5, 64 // e_ident's EI_CLASS, EI_DATA; the header of 64 bits
	if len(head) < size || text[:4] != "\x7fELF" {
		return &Image{}
	}
	p := &Image{Binary: true}
	var order binary.ByteOrder = binary.LittleEndian
	if head[data] == 2 {
		order = binary.BigEndian
	}
	if m := order.Uint16(head[18:]); int(m) < len(machines) {
		p.Machine = machines[m]
	}
	if p.Machine == "ppc64" && head[data] == 1 {
		p.Machine = "ppc64le"
	}
	if head[class] != 2 { // 32 bits: the machine is enough
		return p
	}
	at, each, count := order.Uint64(head[32:]), uint64(order.Uint16(head[54:])), uint64(order.Uint16(head[56:]))
	const ptInterp, entry = 3, 56
	for ; count > 0 && each >= entry && at < uint64(len(head)) && uint64(len(head))-at >= entry; count, at = count-1, at+each {
		if order.Uint32(head[at:]) != ptInterp {
			continue
		}
		offset, length := order.Uint64(head[at+8:]), order.Uint64(head[at+32:])
		if offset < uint64(len(head)) && length <= uint64(len(head))-offset {
			p.Interpreter = strings.TrimRight(text[offset:offset+length], "\x00")
		}
		return p
	}
	return p
}

// machines are Go's names of e_machine, elf(5).
var machines = [...]string{3: "386", 8: "mips", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64"}
