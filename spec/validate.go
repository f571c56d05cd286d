package spec

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Problem is one thing that is wrong with a config.
type Problem struct {
	Field   string // where, as in `mounts[3].destination`
	Message string // what is wrong, with the value
	Hint    string // the cure, or empty
}

// Error is field and message, without the hint.
func (p Problem) Error() string { return p.Field + ": " + p.Message }

// Options is what the caller knows beside the config.
type Options struct {
	Rootless bool // the caller has no privileges in the initial user namespace
	Exec     bool // the process joins a running container (`exec`)
}

// Validate reports every problem of s, in the order of the config's fields.
// It does no I/O. An empty result means that the config can be compiled.
func Validate(s *specs.Spec, o Options) []Problem { return nil }

// ValidateProcess is Validate for a process object on its own (`exec --process`).
// Fields are named `process.…`.
func ValidateProcess(p *specs.Process, o Options) []Problem { return nil }

// ValidateResources is Validate for a resources object on its own (`update --resources`).
// Fields are named `linux.resources.…`.
func ValidateResources(r *specs.LinuxResources) []Problem { return nil }
