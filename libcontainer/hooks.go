package libcontainer

import (
	"davit/internal/compile"
	"davit/internal/launch"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func hookState(s *specs.Spec, o CreateOptions, status specs.ContainerState, pid string) string {
	return compile.StateJSON(o.ID, o.Bundle, s.Annotations, status, pid)
}

func (rt *Runtime) hookRunner() launch.HookRunner {
	return launch.HookRunner{Environ: rt.Environ, BeforeExec: rt.BeforeExec, Log: rt.log()}
}
