package process

import (
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		name, home string
		env, want  []string
	}{
		{"HOME is added", "/root", []string{"A=1"}, []string{"A=1", "HOME=/root"}},
		{"HOME of the config stays", "/root", []string{"HOME=/h", "A=1"}, []string{"HOME=/h", "A=1"}},
		{"an empty HOME is none", "/root", []string{"HOME=", "A=1"}, []string{"A=1", "HOME=/root"}},
		{"an empty HOME after another is none", "/root", []string{"HOME=/h", "HOME="}, []string{"HOME=/root"}},
		{"a HOME after an empty one", "/root", []string{"HOME=", "HOME=/h"}, []string{"HOME=/h"}},
		{"the last of a name wins", "", []string{"A=1", "B=2", "A=3", "AB=4", "A="}, []string{"B=2", "AB=4", "A="}},
		{"nothing", "", nil, []string{}},
	} {
		have := slices.Clone(c.env)
		if got := Environment(have, c.home); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
		if !slices.Equal(have, c.env) {
			t.Errorf("%s: the config's own environment was changed", c.name)
		}
	}
}
