package launch

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"davit/internal/log"
)

// HookRunner runs hooks in the namespaces of davit.
type HookRunner struct {
	Environ    []string     // of hooks that have none of their own
	BeforeExec func() error // is called before the first, if it is not nil
	Log        log.Logger
}

// Run runs hooks one after the other, in the bundle directory, with state on stdin. It stops at the first hook that fails, and returns
// its error. from is the index of the first hook in config.json, for messages. annotations may name files for the hooks' output.
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
