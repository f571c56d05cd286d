package libcontainer

import (
	"errors"
	"fmt"

	"davit/internal/compile"
	"davit/internal/launch"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runPoststop runs the poststop hooks that have not run yet. If a hook fails, that is logged and the next one runs (runtime.md
// "Lifecycle" 13). If a hook cannot be started, for example because there is no memory, runPoststop returns an error, and the state
// in dir says which hooks still have to run.
func (rt *Runtime) runPoststop(s *store.State, verb string, hooks []specs.Hook, state string, dir int) error {
	for ; s.PoststopDone < len(hooks); s.PoststopDone++ {
		i := s.PoststopDone
		err := rt.hookRunner().Run("poststop", i, hooks[i:i+1], s.Bundle, state, s.Annotations)
		var not *launch.NotStartedError
		if errors.As(err, &not) {
			if i > 0 {
				err = errors.Join(err, s.Write(dir, false))
			}
			return withHint(err, fmt.Sprintf("the hook has not run and the container's state stays: `davit delete %s` tries again", s.ID))
		}
		if err != nil {
			rt.log().Warnf("%s %s: %v", verb, s.ID, err)
		}
	}
	s.Poststop, s.PoststopDone = false, 0
	return nil
}

func hookState(s *specs.Spec, o CreateOptions, status specs.ContainerState, pid string) string {
	return compile.StateJSON(o.ID, o.Bundle, s.Annotations, status, pid)
}

func (rt *Runtime) hookRunner() launch.HookRunner {
	return launch.HookRunner{Environ: rt.Environ, BeforeExec: rt.BeforeExec, Log: rt.log()}
}
