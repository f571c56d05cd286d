package seccomp

import (
	"fmt"
	"strings"
)

// Disassemble returns prog, as in [Filter.Program], one instruction a line, with
// line numbers as the targets of jumps. What is not an instruction of a filter is
// shown as an error.
func Disassemble(prog []byte) string {
	code, err := decode(prog)
	if err != nil {
		return "invalid program: " + err.Error() + "\n"
	}
	var s strings.Builder
	for i, in := range code {
		fmt.Fprintf(&s, "%4d  ", i)
		switch in.code {
		case opLoad:
			s.WriteString("load " + dataName(in.k))
		case opAnd:
			fmt.Fprintf(&s, "and %#x", in.k)
		case opJump:
			fmt.Fprintf(&s, "goto %d", i+1+int(in.k))
		case opRet:
			s.WriteString("return " + actionName(in.k))
		default:
			op := map[uint16]string{opEQ: "==", opGT: ">", opGE: ">=", opSet: "&"}[in.code]
			fmt.Fprintf(&s, "if %s %#x goto %d else %d", op, in.k, i+1+int(in.jt), i+1+int(in.jf))
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func dataName(offset uint32) string {
	switch {
	case offset == offNumber:
		return "number"
	case offset == offArch:
		return "arch"
	case offset < offArgs:
		return fmt.Sprintf("instruction pointer+%d", offset-8)
	case offset%8 == 0:
		return fmt.Sprintf("args[%d] low", (offset-offArgs)/8)
	}
	return fmt.Sprintf("args[%d] high", (offset-offArgs)/8)
}

func actionName(ret uint32) string {
	for _, a := range actions() {
		if a.value != ret&retActionMask || a.name == "SCMP_ACT_KILL" {
			continue
		}
		if a.value == retErrno || a.value == retTrace {
			return fmt.Sprintf("%s %d", a.name, ret&^retActionMask)
		}
		return a.name
	}
	return fmt.Sprintf("%#x", ret)
}
