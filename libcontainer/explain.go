package libcontainer

import (
	"path/filepath"

	"davit/internal/compile"
	"davit/internal/host"
	"davit/internal/plan"
)

// Explanation lists what create, start and delete would do for a bundle.
type Explanation struct {
	Plan    *plan.Plan
	Outline *plan.Outline
}

// Explain returns what would be done for a bundle on this host. It changes nothing there. Warnings go to the Logger.
func (rt *Runtime) Explain(o CreateOptions) (*Explanation, error) {
	_, config, err := o.loadConfig()
	if err != nil {
		return nil, err
	}
	c, err := rt.prepare(config, &o, host.Host())
	if err != nil {
		return nil, err
	}
	defer c.Cgroups.Close()
	if err := compile.DescribeFilter(c.Plan, c.Spec); err != nil {
		return nil, err
	}
	rt.say(c.Warnings)
	return &Explanation{c.Plan, c.Outline(filepath.Join(rt.Root, o.ID), o.PidFile)}, nil
}

// Text returns the explanation as text for people.
func (e *Explanation) Text() string { return e.Plan.TextWith(e.Outline) }

// JSON returns the explanation as a JSON object for programs.
func (e *Explanation) JSON() []byte { return e.Plan.JSONWith(e.Outline) }

// RenameFields calls f with the field from which each part comes, and replaces the field by the result. Options of the caller are among
// the fields, for example "option PidFile".
func (e *Explanation) RenameFields(f func(field string) string) {
	e.Plan.RenameFields(f)
	e.Outline.RenameFields(f)
}
