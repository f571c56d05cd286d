package seccomp

import (
	"encoding/binary"
	"strconv"
	"unsafe"
)

// buildID returns a text that differs between different ELF files: the build ID that the linker has
// put into the file, for which a single page is read, or else a hash of the whole file.
func buildID(elf string) string {
	if id := noteID(elf); id != "" {
		return id
	}
	return strconv.FormatUint(mix(unsafe.Slice(unsafe.StringData(elf), len(elf))), 16)
}

// noteID returns the build ID in a 64-bit ELF file of this machine's byte order
// (elf(5), PT_NOTE, NT_GNU_BUILD_ID), or "".
func noteID(elf string) string {
	const (
		headerSize, programSize = 64, 56
		ptNote, ntBuildID       = 4, 3
	)
	if len(elf) < headerSize || elf[:4] != "\x7fELF" {
		return ""
	}
	head := []byte(elf[:headerSize])
	at := binary.NativeEndian.Uint64(head[32:])
	count := uint64(binary.NativeEndian.Uint16(head[56:]))
	if at > uint64(len(elf)) || count*programSize > uint64(len(elf))-at {
		return ""
	}
	programs := []byte(elf[at : at+count*programSize])
	for ; len(programs) > 0; programs = programs[programSize:] {
		start := binary.NativeEndian.Uint64(programs[8:])
		size := binary.NativeEndian.Uint64(programs[32:])
		if binary.NativeEndian.Uint32(programs) != ptNote || start > uint64(len(elf)) || size > uint64(len(elf))-start {
			continue
		}
		r := reader{b: []byte(elf[start : start+size])}
		for len(r.b) > 0 {
			name, desc, kind := r.word(), r.word(), r.word()
			owner := r.take(int(name+3) &^ 3)
			id := r.take(int(desc+3) &^ 3)
			if r.bad {
				break
			}
			if kind == ntBuildID && string(owner) == "GNU\x00" && len(id) > 0 {
				return string(id)
			}
		}
	}
	return ""
}
