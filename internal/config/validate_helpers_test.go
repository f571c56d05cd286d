package config

import (
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// These helpers return only the problems, for tests that are not about warnings.

func validate(s *specs.Spec, o Options) []*fault.Error {
	problems, _ := Check(s, o)
	return problems
}

func validateProcess(p *specs.Process, o Options) []*fault.Error {
	problems, _ := CheckProcess(p, o)
	return problems
}

func validateResources(r *specs.LinuxResources) []*fault.Error {
	problems, _ := CheckResources(r)
	return problems
}

// load reads and decodes a bundle's config.json.
func load(bundle string) (*specs.Spec, error) {
	data, err := Read(bundle)
	if err != nil {
		return nil, err
	}
	return Decode(data)
}
