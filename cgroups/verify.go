package cgroups

import (
	"davit/cgroups/failure"
	"davit/cgroups/limits"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Drift is a limit that is not what the config asks for.
type Drift struct {
	Field string // of config.json
	File  string
	Want  string
	Have  string
}

// Verify compares the limits that the cgroups have with those of r. Device
// rules are not compared: on v2 they are a program in the kernel.
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
