package libcontainer

import (
	"davit/internal/compile"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func hookState(s *specs.Spec, o CreateOptions, status specs.ContainerState, pid string) string {
	return compile.StateJSON(o.ID, o.Bundle, s.Annotations, status, pid)
}

func (rt *Runtime) hookRunner() HookRunner {
	return HookRunner{Environ: rt.Environ, BeforeExec: rt.BeforeExec, Log: rt.log()}
}
