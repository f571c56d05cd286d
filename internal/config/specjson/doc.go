// Package specjson decodes and encodes the structs of runtime-spec, one pair of
// functions per struct. It is written by a generator from the types; davit/spec
// has the functions for whole files.
//
// Only what concerns Linux is read and written: fields whose platform tag names
// other systems (windows, solaris, vm, zos, freebsd, …) are skipped like unknown properties.
package specjson

//go:generate go run davit/build/jsongen -pkg github.com/opencontainers/runtime-spec/specs-go -package specjson -export -type Spec -out specjson.go
