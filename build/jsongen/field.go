package main

import (
	"fmt"
	"go/types"
	"reflect"
	"slices"
	"strings"
)

// field is a property of the JSON object that a struct becomes.
type field struct {
	name      string // the property's name
	path      string // the Go field, seen from the struct: Weight, or Inner.Major
	typ       types.Type
	omitEmpty bool
}

// fields lists the properties of a struct. Those of an embedded struct stand where it stands.
func (g *generator) fields(s *types.Struct, prefix string) ([]field, error) {
	var out []field
	for i := range s.NumFields() {
		v := s.Field(i)
		tag := reflect.StructTag(s.Tag(i))
		if platforms := tag.Get("platform"); platforms != "" && !slices.Contains(strings.Split(platforms, ","), g.platform) {
			continue
		}
		name, opts, _ := strings.Cut(tag.Get("json"), ",")
		if tag.Get("json") == "-" {
			continue
		}
		if inner, ok := v.Type().Underlying().(*types.Struct); ok && v.Embedded() && name == "" {
			fs, err := g.fields(inner, prefix+v.Name()+".")
			if err != nil {
				return nil, err
			}
			out = append(out, fs...)
			continue
		}
		if !v.Exported() {
			continue
		}
		if opts != "" && opts != "omitempty" {
			return nil, fmt.Errorf("field %s: json tag option %q is not supported", v.Name(), opts)
		}
		if name == "" {
			name = v.Name()
		}
		out = append(out, field{name: name, path: prefix + v.Name(), typ: v.Type(), omitEmpty: opts == "omitempty"})
	}
	return out, nil
}

// names returns the names of the properties, separated by blanks, as [jsonx.Decoder.Fold] takes
// them.
func names(fields []field) (string, error) {
	list := make([]string, len(fields))
	for i, f := range fields {
		if strings.Contains(f.name, " ") {
			return "", fmt.Errorf("field %s: a blank in %q is not supported", f.path, f.name)
		}
		list[i] = f.name
	}
	return strings.Join(list, " "), nil
}

// elsewhere returns the names of those properties of t that other platforms have.
func (g *generator) elsewhere(t *types.Named) string {
	s := t.Underlying().(*types.Struct)
	var list []string
	for i := range s.NumFields() {
		tag := reflect.StructTag(s.Tag(i))
		if platforms := tag.Get("platform"); platforms != "" && !slices.Contains(strings.Split(platforms, ","), g.platform) {
			name, _, _ := strings.Cut(tag.Get("json"), ",")
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

// room returns the name of the variable that keeps what the field pointed to before it was emptied.
func (f field) room() string { return "room" + strings.ReplaceAll(f.path, ".", "") }

// hasRoom reports whether the decoder can reuse what a field of type t points to: that must be a
// struct, or a slice of structs.
func hasRoom(t types.Type) bool {
	var elem types.Type
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		elem = u.Elem()
	case *types.Slice:
		elem = u.Elem()
	default:
		return false
	}
	_, ok := elem.Underlying().(*types.Struct)
	return ok && !hasText(elem)
}
