package libcontainer

import (
	"davit/internal/host"
	"davit/internal/plan"
)

// Explain returns the plan for a bundle on this host, without making anything.
func (rt Runtime) Explain(o CreateOptions) (*plan.Plan, error) {
	_, config, err := o.loadConfig()
	if err != nil {
		return nil, err
	}
	c, err := rt.compile(config, o, host.Host())
	if err != nil {
		return nil, err
	}
	c.cgroups.Close()
	say(c.warnings)
	return c.plan, nil
}
