package cgroups

import "davit/cgroups/stats"

// Stats returns the container's resource usage, as [stats.Read] does. It is an error if the
// container has no cgroup.
func (m *Manager) Stats() (*stats.Stats, error) {
	if len(m.state.Dirs) == 0 {
		return nil, errNoStats
	}
	return stats.Read(stats.Source{
		On:      m.version,
		Open:    m.open,
		Pids:    m.Pids,
		Unified: m.has2(),
	})
}
