package spec

import (
	"davit/spec/jsonx"
	"davit/spec/specjson"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Decode decodes the contents of a config.json. The result shares memory with
// data, which must not change afterwards. Errors are of type *jsonx.Error:
//
//	config.json:12:5: linux.resources.memory.limit: expected an integer, found "512m"
//
// Package jsonx says how it differs from encoding/json. Sections of other
// platforms (windows, solaris, vm, zos, freebsd) are skipped like unknown properties.
func Decode(data []byte) (*specs.Spec, error) {
	s := new(specs.Spec)
	d := jsonx.NewDecoder(ConfigFile, data)
	d.Want("an object")
	specjson.DecodeSpec(&d, s)
	if err := d.End(); err != nil {
		return nil, err
	}
	return s, nil
}

// DecodeProcess decodes the process object that `exec --process` takes, as Decode
// does. Errors name the file "process"; a caller who knows better sets File in the *jsonx.Error.
func DecodeProcess(data []byte) (*specs.Process, error) {
	p := new(specs.Process)
	d := jsonx.NewDecoder("process", data)
	d.Want("an object")
	specjson.DecodeProcess(&d, p)
	if err := d.End(); err != nil {
		return nil, err
	}
	return p, nil
}

// DecodeResources decodes the resources object that `update --resources` takes, as Decode
// does. Errors name the file "resources"; a caller who knows better sets File in the *jsonx.Error.
func DecodeResources(data []byte) (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	d := jsonx.NewDecoder("resources", data)
	d.Want("an object")
	specjson.DecodeLinuxResources(&d, r)
	if err := d.End(); err != nil {
		return nil, err
	}
	return r, nil
}
