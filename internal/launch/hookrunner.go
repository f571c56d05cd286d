package launch

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"davit/internal/log"
)

// HookRunner runs hooks on the host.
type HookRunner struct {
	Environ    []string     // of hooks that have none of their own
	BeforeExec func() error // is called before the first, if it is not nil
	Log        log.Logger
}

// Run runs hooks on the host, one after the other, in the bundle directory,
// with state on stdin. The first failure ends it. The first hook has the index from in config.json.
// Annotations may name files for what the hooks write.
func (r HookRunner) Run(kind string, from int, hooks []specs.Hook, bundle, state string, annotations map[string]string) error {
	if len(hooks) == 0 {
		return nil
	}
	if r.BeforeExec != nil {
		if err := r.BeforeExec(); err != nil {
			return &NotStartedError{err}
		}
	}
	out, err := OpenHookOutput(annotations, bundle, r.Log)
	if err != nil {
		return &NotStartedError{err}
	}
	defer out.Close()
	for i := range hooks {
		name := fmt.Sprintf("hooks.%s[%d]: %s", kind, from+i, hooks[i].Path)
		if err := runHook(&hooks[i], r.Environ, bundle, state, out); err != nil {
			return fmt.Errorf("%s: %w%w", name, err, told(colon(out.take())))
		}
		out.log(name)
	}
	return nil
}
