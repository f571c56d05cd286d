package cgroups

import (
	"fmt"
	"path"
	"strings"

	"davit/cgroups/devices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Act is one thing that a Manager does for a container, for people to read.
type Act struct{ What, Arguments, Field string }

// Describe returns what Create does, and what Add and Set do. It does none of it.
func (m *Manager) Describe(r *specs.LinuxResources) (create, place []Act) {
	const field = "linux.cgroupsPath"
	if u := m.unit; u != nil {
		place = append(place, Act{"scope", fmt.Sprintf("start systemd's unit %s in %s, with the process in it", u.Name, u.Slice), field})
	}
	join := func(dir, what string) {
		if m.unit == nil {
			create = append(create, Act{"mkdir", dir + what, field})
		}
		place = append(place, Act{"cgroup", dir, field})
	}
	if m.has2() {
		join(m.state.Dirs[""], " (cgroup v2, with every controller that the host gives)")
		if m.opts.Delegated && m.unit == nil {
			create = append(create, Act{"write", path.Join(m.state.Dirs[""], "cgroup.max.depth") + " " + maxDepth, "mounts"},
				Act{"write", path.Join(m.state.Dirs[""], "cgroup.max.descendants") + " " + maxDescendants, "mounts"})
		}
		if m.opts.Owner != 0 && m.state.Mode == Unified {
			create = append(create, Act{"chown", fmt.Sprintf("%s to %d", m.state.Dirs[""], m.opts.Owner), "mounts"})
		}
	}
	for i := range m.dirs {
		join(m.dirs[i].dir, " (cgroup v1: "+strings.Join(m.dirs[i].controllers, ", ")+")")
	}
	for i := range m.writes {
		w := &m.writes[i]
		dir := m.state.Dirs[""]
		if d, is := m.state.Dirs[w.Ctrl]; is {
			dir = d
		}
		place = append(place, Act{"write", path.Join(dir, w.File) + " " + w.Value, "linux.resources." + w.Field})
	}
	return create, append(place, m.describeDevices(r)...)
}

// describeDevices returns what setDevices does.
func (m *Manager) describeDevices(r *specs.LinuxResources) []Act {
	const field = "linux.resources.devices"
	if r == nil || r.Devices == nil || m.state.Rootless {
		return nil
	}
	how := "eBPF"
	if m.version("devices") == 1 {
		how = "devices.allow"
	}
	acts := []Act{{"devices", "deny all; of what follows the last that fits counts (by " + how + ")", field}}
	for _, text := range devices.Texts(r.Devices) {
		acts = append(acts, Act{"devices", text, field})
	}
	return acts
}
