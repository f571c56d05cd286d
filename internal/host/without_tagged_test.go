//go:build davit_test

package host

import "testing"

func TestSwitchedOffByEnvironment(t *testing.T) {
	t.Setenv("DAVIT_TEST_WITHOUT", "openat2,CLONE_INTO_CGROUP")
	f := Host()
	if f.Have(Openat2) == nil || f.Have(CloneIntoCgroup) == nil || f.Have(Pidfd) != nil {
		t.Error("not as the environment says")
	}
}
