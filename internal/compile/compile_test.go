package compile

import (
	"testing"

	"davit/internal/config"
	"davit/internal/host"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestCgroupOwner tests config-linux.md "Cgroup ownership" point by point.
func TestCgroupOwner(t *testing.T) {
	writable := func(s *specs.Spec) {
		s.Mounts = []specs.Mount{{Type: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Options: []string{"nosuid"}}}
	}
	for _, c := range []struct {
		name   string
		change func(*specs.Spec)
		facts  host.Known
		want   int
	}{
		{"the process's user", func(*specs.Spec) {}, root2, 101000},
		{"root", func(s *specs.Spec) { s.Process.User.UID = 0 }, root2, 100000},
		{"a user whom the second mapping has", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 5, Size: 1000}, {ContainerID: 1000, HostID: 7000, Size: 1}}
		}, root2, 7000},
		{"without a user namespace", func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:1] }, root2, 1000},
		{"without a cgroup namespace", func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] }, root2, 0},
		{"in a cgroup namespace of others", func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/cgroup" }, root2, 0},
		{"read-only", func(s *specs.Spec) { s.Mounts[0].Options = []string{"ro"} }, root2, 0},
		{"read-only with all below it", func(s *specs.Spec) { s.Mounts[0].Options = []string{"rro"} }, root2, 0},
		{"mounted elsewhere", func(s *specs.Spec) { s.Mounts[0].Destination = "/cgroup" }, root2, 0},
		{"another source", func(s *specs.Spec) { s.Mounts[0].Source = "x" }, root2, 0},
		{"of a user who is not root", func(*specs.Spec) {}, user2, 0},
	} {
		s := config.Default()
		s.Process.User.UID = 1000
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.CgroupNamespace}, {Type: specs.UserNamespace}}
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
		writable(s)
		c.change(s)
		if got := cgroupOwner(s, host.Fixed(c.facts)); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
}
