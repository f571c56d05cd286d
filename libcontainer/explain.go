package libcontainer

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"davit/cgroups"
	"davit/internal/host"
	"davit/internal/jsonx"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Explanation is all that create, start and delete would do for a bundle.
type Explanation struct {
	Plan    *plan.Plan
	Outline *plan.Outline
}

// Explain returns what would be done for a bundle on this host, without making anything.
func (rt *Runtime) Explain(o CreateOptions) (*Explanation, error) {
	_, config, err := o.loadConfig()
	if err != nil {
		return nil, err
	}
	c, err := rt.compile(config, o, host.Host())
	if err != nil {
		return nil, err
	}
	defer c.cgroups.Close()
	rt.say(c.warnings)
	return &Explanation{c.plan, c.outline(&o, filepath.Join(rt.Root, o.ID))}, nil
}

// Text is for people.
func (e *Explanation) Text() string { return e.Plan.TextWith(e.Outline) }

// JSON is for programs.
func (e *Explanation) JSON() []byte { return e.Plan.JSONWith(e.Outline) }

// RenameFields puts the field that each part comes from through f. Options of the caller are among them, as "option PidFile".
func (e *Explanation) RenameFields(f func(field string) string) {
	e.Plan.RenameFields(f)
	e.Outline.RenameFields(f)
}

// outline is what creation does in the order of make, serve and record; what it does for a phase is in creation.phase.
func (c *compiled) outline(o *CreateOptions, dir string) *plan.Outline {
	s, l := c.spec, c.spec.Linux
	out := &plan.Outline{Phases: map[plan.Phase][]plan.Act{}}
	out.Claim = []plan.Act{{What: "mkdir", Arguments: dir + ": the id is taken"}, {What: "write", Arguments: dir + "/davit.json: what it takes to remove the rest"}}
	create, place := c.cgroups.Describe(l.Resources)
	out.Before = append(out.Before, acts(create)...)
	if c.rdt != nil {
		out.Before = append(out.Before, plan.Act{What: "mkdir", Arguments: c.rdt.Dir, Field: "linux.intelRdt"})
	}
	in := acts(place)
	for _, clock := range jsonx.SortedKeys(l.TimeOffsets) {
		t := l.TimeOffsets[clock]
		in = append(in, plan.Act{What: "clock", Arguments: fmt.Sprintf("%s %d s %d ns", clock, t.Secs, t.Nanosecs), Field: "linux.timeOffsets." + clock})
	}
	if c.rdt != nil {
		in = append(in, plan.Act{What: "resctrl", Arguments: "add the process to " + c.rdt.Dir, Field: "linux.intelRdt"})
	}
	for _, name := range jsonx.SortedKeys(l.NetDevices) {
		text := name
		if to := l.NetDevices[name].Name; to != "" {
			text += " as " + to
		}
		in = append(in, plan.Act{What: "network device", Arguments: "move " + text, Field: jsonx.JoinKey("linux.netDevices", name)})
	}
	if adj := s.Process.OOMScoreAdj; adj != nil {
		score := plan.Act{What: "oom score", Arguments: strconv.Itoa(*adj), Field: "process.oomScoreAdj"}
		if c.rootless { // davit's own for a moment, which the stage inherits
			out.Before = append(out.Before, score)
		} else {
			in = append(in, score)
		}
	}
	if c.placed {
		out.Phases[plan.Placed] = in
	} else {
		out.Beside = in
	}
	out.Phases[plan.Mapped] = []plan.Act{
		{What: "uid map", Arguments: mappingText(l.UIDMappings), Field: "linux.uidMappings"},
		{What: "gid map", Arguments: mappingText(l.GIDMappings), Field: "linux.gidMappings"},
	}
	out.Phases[plan.Sources] = c.sourceActs()
	out.After = append(out.After, plan.Act{What: "write", Arguments: dir + "/davit.json: the container is created"})
	if o.PidFile != "" {
		out.After = append(out.After, plan.Act{What: "write", Arguments: o.PidFile, Field: "option PidFile"})
	}
	out.Delete = []plan.Act{{What: "kill, rmdir", Arguments: "the processes and the cgroups, if forced or if all have ended"}}
	if h := s.Hooks; h != nil {
		out.Phases[plan.Hooks] = append(hookActs("prestart", h.Prestart), hookActs("createRuntime", h.CreateRuntime)...) //nolint:staticcheck // deprecated, but engines use it
		out.Start = hookActs("poststart", h.Poststart)
		out.Delete = append(out.Delete, hookActs("poststop", h.Poststop)...)
	}
	out.Delete = append(out.Delete, plan.Act{What: "rmdir", Arguments: dir})
	return out
}

// sourceActs are the trees that the parent opens in the mount namespace of the stage.
func (c *compiled) sourceActs() []plan.Act {
	var list []plan.Act
	for i := range c.plan.Descriptors {
		if d := &c.plan.Descriptors[i]; d.Within {
			list = append(list, plan.Act{What: "open", Arguments: fmt.Sprintf("%s (descriptor %d)", d.Path, i+1), Field: d.Field})
		}
	}
	return list
}

func acts(list []cgroups.Act) []plan.Act {
	out := make([]plan.Act, len(list))
	for i, a := range list {
		out[i] = plan.Act(a)
	}
	return out
}

func hookActs(kind string, hooks []specs.Hook) []plan.Act {
	list := make([]plan.Act, len(hooks))
	for i := range hooks {
		text := hooks[i].Path
		if len(hooks[i].Args) > 1 {
			text += " " + strings.Join(hooks[i].Args[1:], " ")
		}
		if t := hooks[i].Timeout; t != nil {
			text += fmt.Sprintf(" (at most %d s)", *t)
		}
		list[i] = plan.Act{What: "hook", Arguments: text, Field: fmt.Sprintf("hooks.%s[%d]", kind, i)}
	}
	return list
}

func mappingText(list []specs.LinuxIDMapping) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, fmt.Sprintf("%d is %d on the host, for %d", m.ContainerID, m.HostID, m.Size))
	}
	return strings.Join(parts, "; ")
}
