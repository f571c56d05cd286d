package main

import (
	"fmt"
	"go/types"
	"strings"
)

// sizes are the type sizes on amd64; all machines that davit is built for have the same ones.
var sizes = types.SizesFor("gc", "amd64")

// isRaw reports whether t is jsonx.Raw.
func isRaw(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == "Raw" && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == jsonxPath
}

// hasText reports whether t, or a pointer to it, has the methods of a text form.
func hasText(t types.Type) bool {
	if _, ok := t.Underlying().(*types.Interface); ok {
		return false
	}
	set := types.NewMethodSet(types.NewPointer(t))
	has := func(name string) bool { return set.Lookup(nil, name) != nil }
	return has("MarshalText") && has("UnmarshalText")
}

// decode returns the code that reads a value of type t into lv.
func (g *generator) decode(lv string, t types.Type) (string, error) {
	if isRaw(t) {
		return lv + " = d.Raw()\n", nil
	}
	if _, ok := t.Underlying().(*types.Pointer); !ok && hasText(t) {
		return "d.Text(&" + lv + ")\n", nil
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		call, err := decodeBasic(u)
		if err != nil {
			return "", err
		}
		method := types.Typ[types.String]
		switch {
		case strings.HasPrefix(call, "d.Int"):
			method = types.Typ[types.Int64]
		case strings.HasPrefix(call, "d.Uint"):
			method = types.Typ[types.Uint64]
		case strings.HasPrefix(call, "d.Float"):
			method = types.Typ[types.Float64]
		case strings.HasPrefix(call, "d.Bool"):
			method = types.Typ[types.Bool]
		}
		if !types.Identical(t, method) {
			call = g.typeName(t) + "(" + call + ")"
		}
		return lv + " = " + call + "\n", nil
	case *types.Struct:
		named, ok := types.Unalias(t).(*types.Named)
		if !ok {
			return "", fmt.Errorf("a struct without a name is not supported")
		}
		return g.function("decode", named) + "(d, &" + lv + ")\n", nil
	case *types.Pointer:
		return g.decodePointer(lv, u.Elem())
	case *types.Slice:
		return g.decodeSlice(lv, t, u.Elem())
	case *types.Map:
		return g.decodeMap(lv, t, u)
	}
	return "", fmt.Errorf("type %s is not supported", t)
}

func decodeBasic(u *types.Basic) (string, error) {
	info := u.Info()
	bits := sizes.Sizeof(u) * 8
	switch {
	case info&types.IsString != 0:
		return "d.String()", nil
	case info&types.IsBoolean != 0:
		return "d.Bool()", nil
	case info&types.IsInteger != 0 && info&types.IsUnsigned != 0:
		return fmt.Sprintf("d.Uint(%d)", bits), nil
	case info&types.IsInteger != 0:
		return fmt.Sprintf("d.Int(%d)", bits), nil
	case u.Kind() == types.Float64:
		return "d.Float()", nil
	}
	return "", fmt.Errorf("type %s is not supported", u)
}

func (g *generator) decodePointer(lv string, elem types.Type) (string, error) {
	room := g.room
	g.room = ""
	if _, ok := elem.Underlying().(*types.Struct); ok && !hasText(elem) {
		inner, err := g.decode("*"+lv, elem)
		if err != nil {
			return "", err
		}
		inner = strings.Replace(inner, "&*", "", 1)
		obtain := fmt.Sprintf("%s = new(%s)\n", lv, g.typeName(elem))
		if room != "" {
			obtain = fmt.Sprintf("if %s = %s; %s == nil {\n%s}\n", lv, room, lv, obtain)
		}
		return fmt.Sprintf("if %s = nil; !d.Null() {\n%s%s}\n", lv, obtain, inner), nil
	}
	x := g.local("x")
	inner, err := g.decode(x, elem)
	if err != nil {
		return "", err
	}
	declare := fmt.Sprintf("var %s %s\n%s", x, g.typeName(elem), inner)
	if strings.HasPrefix(inner, x+" = ") && strings.Count(inner, "\n") == 1 {
		declare = strings.Replace(inner, " = ", " := ", 1)
	}
	return fmt.Sprintf("if %s = nil; !d.Null() {\n%s%s = &%s\n}\n", lv, declare, lv, x), nil
}

func (g *generator) decodeSlice(lv string, t, elem types.Type) (string, error) {
	if types.Identical(t, types.NewSlice(types.Typ[types.String])) {
		return lv + " = d.Strings()\n", nil
	}
	if b, ok := elem.Underlying().(*types.Basic); ok && b.Kind() == types.Byte {
		return "", fmt.Errorf("type %s is not supported: use a string", t)
	}
	room := g.room
	g.room = ""
	s := g.local("s")
	var body string
	if _, ok := elem.Underlying().(*types.Basic); ok && !hasText(elem) {
		code, err := g.decode("", elem)
		if err != nil {
			return "", err
		}
		call := strings.TrimSuffix(strings.TrimPrefix(code, " = "), "\n")
		body = fmt.Sprintf("%s = append(%s, %s)\n", s, s, call)
	} else {
		i := g.local("i")
		code, err := g.decode(s+"["+i+"]", elem)
		if err != nil {
			return "", err
		}
		zero := "*new(" + g.typeName(elem) + ")"
		switch elem.Underlying().(type) {
		case *types.Struct:
			zero = g.typeName(elem) + "{}"
		case *types.Pointer, *types.Slice, *types.Map:
			zero = "nil"
		}
		body = fmt.Sprintf("%s := len(%s)\n%s = append(%s, %s)\n%s", i, s, s, s, zero, code)
	}
	obtain := fmt.Sprintf("%s := make(%s, 0, d.Count())\n", s, g.typeName(t))
	if room != "" {
		obtain = fmt.Sprintf("%s := %s[:0]\nif cap(%s) == 0 {\n%s = make(%s, 0, d.Count())\n}\n", s, room, s, s, g.typeName(t))
	}
	return fmt.Sprintf("if %s = nil; d.Array() {\n%sfor d.More() {\n%s}\n%s = %s\n}\n", lv, obtain, body, lv, s), nil
}

func (g *generator) decodeMap(lv string, t types.Type, m *types.Map) (string, error) {
	if types.Identical(t, types.NewMap(types.Typ[types.String], types.Typ[types.String])) {
		return lv + " = d.StringMap()\n", nil
	}
	if b, ok := m.Key().Underlying().(*types.Basic); !ok || b.Kind() != types.String {
		return "", fmt.Errorf("type %s is not supported: its keys are no strings", t)
	}
	ms, k, x := g.local("m"), g.local("k"), g.local("x")
	code, err := g.decode(x, m.Elem())
	if err != nil {
		return "", err
	}
	key := "d.Key()"
	if !types.Identical(m.Key(), types.Typ[types.String]) {
		key = g.typeName(m.Key()) + "(" + key + ")"
	}
	return fmt.Sprintf("if %s = nil; d.Object() {\n%s := make(%s)\nfor d.Next() {\n%s := %s\nvar %s %s\n%s%s[%s] = %s\n}\n%s = %s\n}\n",
		lv, ms, g.typeName(t), k, key, x, g.typeName(m.Elem()), code, ms, k, x, lv, ms), nil
}
