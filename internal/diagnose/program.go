package diagnose

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Files says where on the host the files of a container are: in its root directory, and in what is bound to a path in it.
type Files struct {
	Root   string
	Mounts []specs.Mount // nil if Root shows what is mounted, too
	Bundle string        // sources that are no absolute paths begin there
}

// Place returns the directory on the host that has what the container calls name, an absolute path, and the path in that
// directory. dir is "" if another mount than a bind mount covers name. Symbolic links in name are not looked at.
func (f *Files) Place(name string) (dir, rest string) {
	dir, rest = f.Root, name
	for _, m := range f.Mounts {
		dest := strings.TrimSuffix(path.Clean("/"+m.Destination), "/")
		below, is := strings.CutPrefix(name, dest)
		if !is || below != "" && below[0] != '/' {
			continue
		}
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			dir = ""
			continue
		}
		source := m.Source
		if !path.IsAbs(source) {
			source = path.Join(f.Bundle, source)
		}
		source, _ = filepath.EvalSymlinks(source)
		if dir, rest = source, below; below == "" { // a file
			dir, rest = path.Split(source)
		}
	}
	return dir, rest
}

// open opens what the container calls name (O_PATH). No link leaves the root filesystem, or the source of the bind mount.
func (f *Files) open(name string) (int, error) {
	dir, rest := f.Place(path.Clean(name))
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return unix.Openat2(root, rest, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

// Mode returns the mode of a container's file (inode(7)), as it will be once the bind mounts are there.
func (f *Files) Mode(name string) (mode uint32, found bool) {
	fd, err := f.open(name)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, false
	}
	return st.Mode, true
}

func (f *Files) has(name string) bool {
	_, found := f.Mode(name)
	return found
}

// Image reads the head of a program, which a container may have written: it opens nothing but a regular file, and reads no more than
// a page of it.
func (f *Files) Image(name string) *Image {
	fd, err := f.open(name)
	if err != nil {
		return &Image{}
	}
	defer unix.Close(fd)
	return imageOf(fd)
}

// Missing says which interpreter of a program is missing: its own, or that of its script's interpreter; "" if none is.
func (f *Files) Missing(p *Image, cwd string) string {
	at := p.Interpreter
	if at == "" {
		return ""
	}
	if !path.IsAbs(at) {
		at = path.Join("/", cwd, at)
	}
	if !f.has(at) {
		return p.HintInterpreter()
	}
	if !p.Script {
		return ""
	}
	next := f.Image(at)
	if next.Interpreter == "" || f.has(path.Join("/", next.Interpreter)) {
		return ""
	}
	return fmt.Sprintf("the script's interpreter %q cannot start: %s", p.Interpreter, next.HintInterpreter())
}

// Program adds to the error of an exec what the program's file tells: which interpreter is missing,
// or for which machine the file is. Program returns other errors unchanged.
func Program(err error, files Files, cwd string) error {
	var e *fault.Error
	if !errors.As(err, &e) || e.Call != "execve" || e.Field != execField {
		return err
	}
	missing := errors.Is(e.Err, unix.ENOENT)
	if !missing && !errors.Is(e.Err, unix.ENOEXEC) {
		return err
	}
	name := e.Subject
	if !path.IsAbs(name) {
		name = path.Join("/", cwd, name)
	}
	hint := ""
	switch p := files.Image(name); {
	case missing:
		if hint = files.Missing(p, cwd); hint == "" { // it was there for davit alone, behind a link or a mount
			hint = p.HintInterpreter()
		}
	case p.Machine != "" && p.Machine != runtime.GOARCH:
		hint = fmt.Sprintf("the program is for %s, this machine is %s: take the image for that", p.Machine, runtime.GOARCH)
	case p.Binary:
		hint = "the program is for another architecture, or its file is damaged"
	case files.has(name):
		hint = "it is neither a program nor a script: a script's first line begins with #!, as in #!/bin/sh"
	}
	if hint == "" {
		return err
	}
	return fault.WithHint(e, hint)
}

// execField is the field of the step Exec, in all plans.
const execField = "process.args"

// Image is what the first bytes of an executable file say.
type Image struct {
	Interpreter string // the program that the kernel starts instead; "" if there is none, or if it is not known
	Script      bool   // the file begins with a #! line
	Binary      bool   // an ELF file
	Machine     string // the machine, in Go's name for it; "" if davit does not know it
}

// HintInterpreter explains why the interpreter cannot be started, on the assumption that it is
// missing.
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

// imageOf reads the first bytes of an open file (O_PATH).
func imageOf(file int) *Image {
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

// parseProgram parses what execve(2) reads: a #! line, or the header of an ELF file (elf(5)).
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
	const class, data, size = 4, 5, 64 // EI_CLASS and EI_DATA in e_ident; the size of the 64-bit header
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
	if head[class] != 2 { // a 32-bit file: its machine is enough
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

// machines are Go's names for the values of e_machine (elf(5)).
var machines = [...]string{3: "386", 8: "mips", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64"}
