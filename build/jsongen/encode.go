package main

import (
	"fmt"
	"go/types"
	"strings"
)

// encode returns the code that writes v, of type t. notNil says that v is known not to be nil.
func (g *generator) encode(v string, t types.Type, notNil bool) (string, error) {
	if isRaw(t) {
		return "e.Raw(" + v + ")\n", nil
	}
	if _, ok := t.Underlying().(*types.Pointer); !ok && hasText(t) {
		return "e.Text(&" + v + ")\n", nil
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return encodeBasic(v, t, u)
	case *types.Struct:
		named, ok := types.Unalias(t).(*types.Named)
		if !ok {
			return "", fmt.Errorf("a struct without a name is not supported")
		}
		return g.function("encode", named) + "(e, &" + v + ")\n", nil
	case *types.Pointer:
		target := "*" + v
		switch u.Elem().Underlying().(type) {
		case *types.Slice, *types.Map:
			target = "(*" + v + ")" // it will be indexed
		}
		code, err := g.encode(target, u.Elem(), false)
		if err != nil {
			return "", err
		}
		return orNull(v, strings.Replace(code, "&*", "", 1), notNil), nil
	case *types.Slice:
		if types.Identical(t, types.NewSlice(types.Typ[types.String])) {
			return "e.Strings(" + v + ")\n", nil
		}
		i := g.local("i")
		code, err := g.encode(v+"["+i+"]", u.Elem(), false)
		if err != nil {
			return "", err
		}
		code = fmt.Sprintf("e.Array()\nfor %s := range %s {\n%s}\ne.EndArray()\n", i, v, code)
		return orNull(v, code, notNil), nil
	case *types.Map:
		return g.encodeMap(v, t, u, notNil)
	}
	return "", fmt.Errorf("type %s is not supported", t)
}

func encodeBasic(v string, t types.Type, u *types.Basic) (string, error) {
	method, arg := "", u
	switch info := u.Info(); {
	case info&types.IsString != 0:
		method, arg = "String", types.Typ[types.String]
	case info&types.IsBoolean != 0:
		method, arg = "Bool", types.Typ[types.Bool]
	case info&types.IsInteger != 0 && info&types.IsUnsigned != 0:
		method, arg = "Uint", types.Typ[types.Uint64]
	case info&types.IsInteger != 0:
		method, arg = "Int", types.Typ[types.Int64]
	case u.Kind() == types.Float64:
		method, arg = "Float", types.Typ[types.Float64]
	default:
		return "", fmt.Errorf("type %s is not supported", t)
	}
	if !types.Identical(t, arg) {
		v = arg.Name() + "(" + v + ")"
	}
	return "e." + method + "(" + v + ")\n", nil
}

func (g *generator) encodeMap(v string, t types.Type, m *types.Map, notNil bool) (string, error) {
	if types.Identical(t, types.NewMap(types.Typ[types.String], types.Typ[types.String])) {
		return "e.StringMap(" + v + ")\n", nil
	}
	k, x := g.local("k"), g.local("x")
	code, err := g.encode(x, m.Elem(), false)
	if err != nil {
		return "", err
	}
	key := k
	if !types.Identical(m.Key(), types.Typ[types.String]) {
		key = "string(" + k + ")"
	}
	code = fmt.Sprintf("e.Object()\nfor _, %s := range jsonx.SortedKeys(%s) {\n%s := %s[%s]\ne.Key(%s)\n%s}\ne.EndObject()\n",
		k, v, x, v, k, key, code)
	return orNull(v, code, notNil), nil
}

// orNull puts code that writes null if v is nil before code.
func orNull(v, code string, notNil bool) string {
	if notNil {
		return code
	}
	return fmt.Sprintf("if %s == nil {\ne.Null()\n} else {\n%s}\n", v, code)
}
