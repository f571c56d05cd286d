package libcontainer

import (
	"davit/internal/jsonx"
	"davit/internal/plan"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// stateJSON writes the State of runtime.md. The pid may be a plan.PIDMark.
func stateJSON(e *jsonx.Encoder, id, bundle string, annotations map[string]string, status specs.ContainerState, pid string) string {
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

func hookState(s *specs.Spec, o CreateOptions, status specs.ContainerState, pid string) string {
	return stateJSON(new(jsonx.Encoder), o.ID, o.Bundle, s.Annotations, status, pid)
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

// runHooks runs hooks on the host, one after the other, in the bundle directory,
// with state on stdin. The first failure ends it. The first hook has the index from in config.json.
// Annotations may name files for what the hooks write.
func runHooks(kind string, from int, hooks []specs.Hook, bundle, state string, annotations map[string]string) error {
	if len(hooks) == 0 {
		return nil
	}
	if err := closeOnExec(); err != nil {
		return &notStartedError{err}
	}
	out, err := openHookOutput(annotations, bundle)
	if err != nil {
		return &notStartedError{err}
	}
	defer out.close()
	for i := range hooks {
		name := fmt.Sprintf("hooks.%s[%d]: %s", kind, from+i, hooks[i].Path)
		if err := runHook(&hooks[i], bundle, state, out); err != nil {
			return fmt.Errorf("%s: %w%w", name, err, told(colon(out.take())))
		}
		out.log(name)
	}
	return nil
}

func hookTimeout(seconds int) string { return fmt.Sprintf("no end after its timeout of %d s", seconds) }
