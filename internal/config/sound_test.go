package config

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// If a part of the config is wrong, it is left out, and named. The other parts stay, with their
// numbers.
func TestSound(t *testing.T) {
	limit := int64(-5)
	for _, c := range []struct {
		name string
		edit func(*specs.Spec)
		left []string
	}{
		{"nothing", func(*specs.Spec) {}, nil},
		{"version", func(s *specs.Spec) { s.Version = "" }, []string{"ociVersion"}},
		{"process", func(s *specs.Spec) { s.Process.Cwd, s.Process.Args = "x", nil }, []string{"process"}},
		{"no process", func(s *specs.Spec) { s.Process = nil }, []string{"process"}},
		{"no root", func(s *specs.Spec) { s.Root = nil }, []string{"root"}},
		{"hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} }, []string{"hooks"}},
		{"a mount", func(s *specs.Spec) { s.Mounts[2].Destination = "" }, []string{"mounts[2]"}},
		{"namespace", func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "x" }, []string{"linux.namespaces"}},
		{"no uts namespace", func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[4:5] }, []string{"hostname"}},
		{"limit", func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit} }, []string{"linux.resources.memory"}},
		{"filter", func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} }, []string{"linux.seccomp"}},
		{"many", func(s *specs.Spec) {
			s.Process.Cwd, s.Mounts[1].Destination, s.Linux.CgroupsPath = "x", "", "/../.."
		}, []string{"process", "mounts[1]", "linux.cgroupsPath"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, given := Default(), Default()
			c.edit(s)
			c.edit(given)
			sound, left := Sound(s, Options{Start: true})
			if sound == nil || !slices.Equal(left, c.left) {
				t.Fatalf("left out: %q, want %q", left, c.left)
			}
			if problems := validate(sound, Options{Start: true}); len(problems) > 0 {
				t.Errorf("it has problems: %v", problems)
			}
			if len(sound.Mounts) != len(given.Mounts) || len(s.Mounts) > 2 && s.Mounts[2].Destination != given.Mounts[2].Destination {
				t.Error("mounts have changed their numbers, or the config that was given has changed")
			}
		})
	}
}
