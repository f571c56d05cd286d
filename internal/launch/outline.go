package launch

import (
	"fmt"
	"strconv"
	"strings"

	"davit/cgroups"
	"davit/internal/jsonx"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Outline returns what the parent does for a container: what create does in the order of libcontainer's make, serve and record, what
// it does for each phase, and what start and delete do. dir is the path of the state directory, pidFile that of a file that gets the
// pid, "" if there is none.
func (c *Prepared) Outline(dir, pidFile string) *plan.Outline {
	s, l := c.Spec, c.Spec.Linux
	out := &plan.Outline{Phases: map[plan.Phase][]plan.Act{}}
	out.Claim = []plan.Act{{What: "mkdir", Arguments: dir + ": the id is taken"}, {What: "write", Arguments: dir + "/davit.json: what it takes to remove the rest"}}
	create, place := c.Cgroups.Describe(l.Resources)
	out.Before = append(out.Before, acts(create)...)
	if c.RDT != nil {
		out.Before = append(out.Before, plan.Act{What: "mkdir", Arguments: c.RDT.Dir, Field: "linux.intelRdt"})
	}
	in := acts(place)
	for _, clock := range jsonx.SortedKeys(l.TimeOffsets) {
		t := l.TimeOffsets[clock]
		in = append(in, plan.Act{What: "clock", Arguments: fmt.Sprintf("%s %d s %d ns", clock, t.Secs, t.Nanosecs), Field: "linux.timeOffsets." + clock})
	}
	if c.RDT != nil {
		in = append(in, plan.Act{What: "resctrl", Arguments: "add the process to " + c.RDT.Dir, Field: "linux.intelRdt"})
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
		if c.Unprivileged { // davit's own for a moment, which the stage inherits
			out.Before = append(out.Before, score)
		} else {
			in = append(in, score)
		}
	}
	if c.Placed {
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
	if pidFile != "" {
		out.After = append(out.After, plan.Act{What: "write", Arguments: pidFile, Field: "option PidFile"})
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

// sourceActs returns an act for each mount tree that the parent opens in the mount namespace of the stage.
func (c *Prepared) sourceActs() []plan.Act {
	var list []plan.Act
	for i := range c.Plan.Descriptors {
		if d := &c.Plan.Descriptors[i]; d.Within {
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
