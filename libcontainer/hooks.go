package libcontainer

import (
	"fmt"

	"davit/internal/compile"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func hookState(s *specs.Spec, o CreateOptions, status specs.ContainerState, pid string) string {
	return compile.StateJSON(o.ID, o.Bundle, s.Annotations, status, pid)
}

// runHooks runs hooks on the host, one after the other, in the bundle directory,
// with state on stdin. The first failure ends it. The first hook has the index from in config.json.
// Annotations may name files for what the hooks write.
func (rt *Runtime) runHooks(kind string, from int, hooks []specs.Hook, bundle, state string, annotations map[string]string) error {
	if len(hooks) == 0 {
		return nil
	}
	if rt.BeforeExec != nil {
		if err := rt.BeforeExec(); err != nil {
			return &notStartedError{err}
		}
	}
	out, err := openHookOutput(annotations, bundle, rt.log())
	if err != nil {
		return &notStartedError{err}
	}
	defer out.close()
	for i := range hooks {
		name := fmt.Sprintf("hooks.%s[%d]: %s", kind, from+i, hooks[i].Path)
		if err := runHook(&hooks[i], rt.Environ, bundle, state, out); err != nil {
			return fmt.Errorf("%s: %w%w", name, err, told(colon(out.take())))
		}
		out.log(name)
	}
	return nil
}
