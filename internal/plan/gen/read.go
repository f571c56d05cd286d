package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"log"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// step is one type of internal/plan/steps.go.
type step struct {
	name string // of the Go type
	args []arg
}

// words is the step's name as people and, with underscores, C read it.
func (s step) words() string { return words(s.name) }

// words parts a Go name: "enter time" of EnterTime.
func words(name string) string {
	r := []rune(name)
	var b strings.Builder
	for i, c := range r {
		if i > 0 && unicode.IsUpper(c) && (unicode.IsLower(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

type argKind int

const (
	number argKind = iota
	text
	list
	descriptor
)

// arg is one field of a step.
type arg struct {
	field  string
	kind   argKind
	typ    string // of a number: uint64, bool or Phase
	format string // of a number, a constant of internal/plan/wire.go
}

// field is one field of a structure that crosses as it is, in the machine's byte order.
type field struct {
	name   string
	typ    string // of C
	length int    // of an array, else 0
	size   int    // in bytes
}

func parse(path string) *ast.File {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		log.Fatal(err)
	}
	return f
}

// structs returns the structure types of a file, in its order.
func structs(f *ast.File) (specs []*ast.TypeSpec) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			if t := s.(*ast.TypeSpec); isStruct(t) {
				specs = append(specs, t)
			}
		}
	}
	return specs
}

func isStruct(t *ast.TypeSpec) bool { _, ok := t.Type.(*ast.StructType); return ok }

func readSteps(f *ast.File) (steps []step) {
	for _, t := range structs(f) {
		s := step{name: t.Name.Name}
		for _, fl := range t.Type.(*ast.StructType).Fields.List {
			for _, n := range fl.Names {
				s.args = append(s.args, argument(t.Name.Name, n.Name, fl))
			}
		}
		steps = append(steps, s)
	}
	return steps
}

func argument(step, name string, f *ast.Field) arg {
	a := arg{field: name, typ: typeName(f.Type), format: "decimal"}
	switch a.typ {
	case "string":
		a.kind = text
	case "[]string":
		a.kind = list
	case "FD":
		a.kind = descriptor
	case "bool":
		a.format = "boolean"
	case "Phase":
		a.format = "phase"
	case "uint64":
	default:
		log.Fatalf("plan: %s.%s: a step cannot have a %s", step, name, a.typ)
	}
	if f.Tag != nil {
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil || a.typ != "uint64" {
			log.Fatalf("plan: %s.%s: bad tag", step, name)
		}
		a.format = reflect.StructTag(tag).Get("plan")
	}
	return a
}

func typeName(e ast.Expr) string {
	switch t := e.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.ArrayType:
		if t.Len == nil {
			return "[]" + typeName(t.Elt)
		}
		return "[" + t.Len.(*ast.BasicLit).Value + "]" + typeName(t.Elt)
	}
	log.Fatalf("plan: a type that is neither a name nor an array of one: %T", e)
	return ""
}

// readConsts returns the names of the constants of a type, which count from 1.
func readConsts(f *ast.File, typ string) (names []string) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		first, ok := g.Specs[0].(*ast.ValueSpec)
		if !ok || first.Type == nil || typeName(first.Type) != typ {
			continue
		}
		for _, s := range g.Specs {
			names = append(names, s.(*ast.ValueSpec).Names[0].Name)
		}
	}
	return names
}

// value is an integer constant, whose expression means the same in both languages.
type value struct{ name, expr string }

// readValues returns the untyped constants of a file.
func readValues(f *ast.File) (values []value) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			if v := s.(*ast.ValueSpec); v.Type == nil && len(v.Values) == 1 {
				values = append(values, value{v.Names[0].Name, types.ExprString(v.Values[0])})
			}
		}
	}
	return values
}

// ctypes are those that have one layout in both languages on every machine that davit is built for.
var ctypes = map[string]field{
	"uint32": {typ: "uint32_t", size: 4}, "int32": {typ: "int32_t", size: 4},
	"uint64": {typ: "uint64_t", size: 8}, "int64": {typ: "int64_t", size: 8}, "byte": {typ: "char", size: 1},
}

func readStruct(f *ast.File, name string) (fields []field) {
	offset := 0
	for _, t := range structs(f) {
		if t.Name.Name != name {
			continue
		}
		for _, fl := range t.Type.(*ast.StructType).Fields.List {
			typ, length := typeName(fl.Type), 0
			if n, elt, ok := strings.Cut(strings.TrimPrefix(typ, "["), "]"); ok {
				typ = elt
				length, _ = strconv.Atoi(n)
			}
			c, known := ctypes[typ]
			for _, n := range fl.Names {
				if !known || offset%c.size != 0 {
					log.Fatalf("%s.%s: of an unknown type, or not aligned", name, n.Name)
				}
				c.name, c.length = strings.ToLower(n.Name), length
				fields = append(fields, c)
				offset += c.size * max(length, 1)
			}
		}
	}
	if offset == 0 || offset%8 != 0 {
		log.Fatalf("%s: not found, or its size is no multiple of 8", name)
	}
	return fields
}

func sizeOf(fields []field) (n int) {
	for _, f := range fields {
		n += f.size * max(f.length, 1)
	}
	return n
}
