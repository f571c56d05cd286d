package libcontainer

import (
	"path/filepath"

	"davit/internal/compile"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/launch"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// prepare decides everything about a new container. It changes nothing.
func (rt *Runtime) prepare(s *specs.Spec, o *CreateOptions, facts *host.Facts) (*launch.Prepared, error) {
	return launch.Prepare(rt.store(), s, rt.compileOptions(o), facts)
}

// seccompCache is the directory that keeps compiled filters, beside the containers: no container's id begins with a dot.
func (rt *Runtime) seccompCache() string { return filepath.Join(rt.Root, ".seccomp") }

func (rt *Runtime) compileOptions(o *CreateOptions) compile.Options {
	return compile.Options{
		ID: o.ID, Bundle: o.Bundle, StateDir: filepath.Join(rt.Root, o.ID), ConsoleSocket: o.ConsoleSocket, Console: o.Terminal != nil && o.ConsoleSocket == "", NoPivot: o.NoPivot, NoNewKeyring: o.NoNewKeyring,
		SystemdCgroup: o.SystemdCgroup, NoCgroup: o.NoCgroup, PreserveFDs: len(o.ExtraFDs), ListenFDs: o.ListenFDs, ListenNames: o.ListenFDNames,
		Receiver: rt.SeccompReceiver, Notify: o.notify, Rootless: o.Rootless, Run: o.Run, Trace: o.Trace != nil,
	}
}

// say prints warnings.
func (rt *Runtime) say(warnings []*fault.Error) {
	for _, w := range warnings {
		rt.log().Warnf("%s", w.Error())
	}
}

// judge warns of what a check warns of, and returns the error for what it objects to.
func (rt *Runtime) judge(problems, warnings []*fault.Error) error {
	if err := compile.Judge(problems); err != nil {
		return err
	}
	rt.say(warnings)
	return nil
}
