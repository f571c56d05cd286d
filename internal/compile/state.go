package compile

import (
	"davit/internal/jsonx"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// StateJSON returns the State of runtime.md, in JSON. The pid may be plan.PIDMark.
func StateJSON(id, bundle string, annotations map[string]string, status specs.ContainerState, pid string) string {
	var e jsonx.Encoder
	e.Object()
	e.Key("ociVersion")
	e.String(specs.Version)
	e.Key("id")
	e.String(id)
	e.Key("status")
	e.String(string(status))
	e.Key("pid")
	e.Raw(jsonx.Raw(pid))
	e.Key("bundle")
	e.String(bundle)
	if len(annotations) > 0 {
		e.Key("annotations")
		e.StringMap(annotations)
	}
	e.EndObject()
	return string(e.Bytes())
}

// seccompState is the container process state that goes with a notification
// descriptor, config-linux.md "The Container Process State".
func seccompState(s *specs.Spec, state string) string {
	var e jsonx.Encoder
	e.Object()
	e.Key("ociVersion")
	e.String(specs.Version)
	e.Key("fds")
	e.Array()
	e.String(specs.SeccompFdName)
	e.EndArray()
	e.Key("pid")
	e.Raw(jsonx.Raw(plan.PIDMark))
	if m := s.Linux.Seccomp.ListenerMetadata; m != "" {
		e.Key("metadata")
		e.String(m)
	}
	e.Key("state")
	e.Raw(jsonx.Raw(state))
	e.EndObject()
	return string(e.Bytes())
}

// State returns the JSON that a hook of the container reads from stdin.
func (c *Container) State(status specs.ContainerState, pid string) string {
	return StateJSON(c.ID, c.Bundle, c.Config.Annotations, status, pid)
}
