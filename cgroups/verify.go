package cgroups

import (
	"davit/cgroups/failure"
	"davit/cgroups/limits"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Drift is a limit whose value is not the one that the config asks for.
type Drift struct {
	Field string // the field of config.json
	File  string
	Want  string
	Have  string
}

// Verify returns the limits of r that differ in the cgroups. It does not compare device rules: on
// v2 they are a program in the kernel.
func (m *Manager) Verify(r *specs.LinuxResources) ([]Drift, error) {
	if r == nil || m.state.Mode == "" {
		return nil, nil
	}
	writes, err := m.plan(r)
	if err != nil {
		return nil, err
	}
	var drifts []Drift
	for i := range writes {
		dir, err := m.open(writes[i].Ctrl)
		if err != nil {
			return nil, err
		}
		w, have, same := limits.Compare(dir, &writes[i])
		if !same {
			drifts = append(drifts, Drift{failure.Resources + w.Field, w.File, w.Value, have})
		}
	}
	return drifts, nil
}
