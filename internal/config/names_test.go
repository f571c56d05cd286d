package config

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestAddCapability: a capability that exec adds never becomes inheritable (CVE-2022-29162).
func TestAddCapability(t *testing.T) {
	p := &specs.Process{}
	if AddCapability(p, "CAP_BOGUS") || p.Capabilities != nil {
		t.Errorf("an unknown name: %+v", p.Capabilities)
	}
	if !AddCapability(p, "CAP_KILL") {
		t.Error("CAP_KILL is unknown")
	}
	kill := []string{"CAP_KILL"}
	if want := (&specs.LinuxCapabilities{Bounding: kill, Effective: kill, Permitted: kill}); !reflect.DeepEqual(p.Capabilities, want) {
		t.Errorf("%+v, not %+v", p.Capabilities, want)
	}
	p = &specs.Process{Capabilities: &specs.LinuxCapabilities{Inheritable: kill}}
	AddCapability(p, "CAP_KILL")
	if want := (&specs.LinuxCapabilities{Bounding: kill, Effective: kill, Permitted: kill, Inheritable: kill, Ambient: kill}); !reflect.DeepEqual(p.Capabilities, want) {
		t.Errorf("inheritable already: %+v, not %+v", p.Capabilities, want)
	}
}
