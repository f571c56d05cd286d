package spec

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Decode decodes the contents of a config.json.
func Decode(data []byte) (*specs.Spec, error) {
	s := new(specs.Spec)
	return s, json.Unmarshal(data, s)
}

// DecodeProcess decodes the process object that `exec --process` takes.
func DecodeProcess(data []byte) (*specs.Process, error) {
	p := new(specs.Process)
	return p, json.Unmarshal(data, p)
}

// DecodeResources decodes the resources object that `update --resources` takes.
func DecodeResources(data []byte) (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	return r, json.Unmarshal(data, r)
}
