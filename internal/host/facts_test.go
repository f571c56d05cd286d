package host

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// told is a host with Debian 12.
var told = Known{Kernel: Version{6, 1}, UID: 1000, Caps: 1 << unix.CAP_KILL, Cgroup: Hybrid, AppArmor: true}

func TestFixedFactsProbeNothing(t *testing.T) {
	f := Fixed(told)
	got := fmt.Sprint(f.Kernel(), f.UID(), f.Caps(), f.InitialUserNS(), f.Cgroup(), f.AppArmor(), f.SELinux(), f.Supported())
	if want := "6.1 1000 32 false hybrid true false <nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	k := told
	k.Without = Set(TimeNamespace)
	f = Fixed(k)
	for _, ft := range Features() {
		want := ""
		switch {
		case ft == TimeNamespace:
			want = "time namespaces: switched off for a test (CLONE_NEWTIME)"
		case Version{6, 1}.Less(ft.Since):
			want = fmt.Sprintf("%s: needs Linux %s (%s); this is 6.1", ft.Name, ft.Since, ft.Call)
		}
		if got := f.Have(ft); (got == nil) != (want == "") || got != nil && got.Error() != want {
			t.Errorf("%s: got %v, want %s", ft.Call, got, want)
		}
	}
}

func TestMissingFeature(t *testing.T) {
	for _, c := range []struct {
		err  MissingError
		want string
	}{
		{MissingError{IDMappedMounts, Version{5, 10}, unix.ENOSYS}, "idmapped mounts: needs Linux 5.12 (MOUNT_ATTR_IDMAP); this is 5.10"},
		{MissingError{Openat2, Version{6, 12}, unix.EPERM}, "resolving inside a directory: openat2: operation not permitted: Linux 6.12 has it, but something forbids it, such as the seccomp filter of an outer container"},
		{MissingError{TimeNamespace, Version{6, 12}, unix.ENOSYS}, "time namespaces: CLONE_NEWTIME: function not implemented: Linux 6.12 can have it, but this one was built or booted without"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
	}
	err := Fixed(Known{Kernel: Version{6, 12}, Without: Set(Openat2, Pidfd)}).Have(Pidfd)
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Feature != Pidfd {
		t.Errorf("denied feature: %v", err)
	}
}

func TestTooOldKernel(t *testing.T) {
	k := told
	k.Kernel = Version{5, 15}
	if err := Fixed(k).Supported(); err == nil || err.Error() != "davit needs Linux 6.1 or newer; this is 5.15" {
		t.Errorf("got %v", err)
	}
}

func TestParseRelease(t *testing.T) {
	for release, want := range map[string]Version{
		"6.1.0-18-amd64\x00\x00": {6, 1}, "6.18.44-fc-v669": {6, 18}, "5.10": {5, 10}, "7": {7, 0}, "": {}, "x.y": {},
	} {
		if got := parseRelease([]byte(release)); got != want {
			t.Errorf("%q: got %s, want %s", release, got, want)
		}
	}
}

func TestFeatureIDs(t *testing.T) {
	all := Features()
	if len(all) != featureCount {
		t.Fatalf("%d features, featureCount is %d", len(all), featureCount)
	}
	for i, ft := range all {
		if int(ft.id) != i {
			t.Errorf("%s has id %d, is at %d", ft.Call, ft.id, i)
		}
		if i > 0 && ft.Since.Less(all[i-1].Since) {
			t.Errorf("%s is out of order", ft.Call)
		}
	}
}

func TestFirstBytes(t *testing.T) {
	if got := firstBytes("/proc/sys/kernel/ostype"); got != "Linux" {
		t.Errorf("got %q", got)
	}
	if got := firstBytes("/nonexistent"); got != "" {
		t.Errorf("got %q of a file that is not there", got)
	}
}

// TestHost compares the probes with what the kernel says elsewhere.
func TestHost(t *testing.T) {
	f := Host()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(release), f.Kernel().String()+".") {
		t.Errorf("kernel is %s, release %s", f.Kernel(), release)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("CapEff:\t%016x\n", f.Caps()); !strings.Contains(string(status), want) {
		t.Errorf("status has no %q", want)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	v1, v2 := strings.Contains(string(mounts), " cgroup "), strings.Contains(string(mounts), " cgroup2 ")
	if m := f.Cgroup(); m == Unified && v1 || (m == Hybrid || m == Legacy) && !v1 || m == Hybrid && !v2 {
		t.Errorf("cgroup mode is %s, but mounted are\n%s", m, mounts)
	}
	uidMap, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.InitialUserNS(), strings.Fields(string(uidMap))[2] == "4294967295"; got != want {
		t.Errorf("initial user namespace: %v, uid_map %s", got, uidMap)
	}
	t.Logf("%s, uid %d, cgroups %s, AppArmor %v, SELinux %v", f.Kernel(), f.UID(), f.Cgroup(), f.AppArmor(), f.SELinux())
	for _, ft := range Features() {
		err := f.Have(ft)
		var missing *MissingError
		if err != nil && (!errors.As(err, &missing) || missing.Cause == unix.EFAULT || missing.Cause == unix.EINVAL) {
			t.Errorf("%s: %v", ft.Call, err)
		}
		if err == nil && f.Kernel().Less(ft.Since) {
			t.Errorf("%s: there, but newer than this kernel", ft.Call)
		}
		t.Logf("%-40s %v", ft.Call, err)
	}
}
