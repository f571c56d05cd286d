package cgroups

import "davit/cgroups/stats"

// Stats reads the container's figures from whichever version has each controller. A file that this kernel
// or controller does not have leaves its figures at zero.
func (m *Manager) Stats() (*stats.Stats, error) {
	if len(m.state.Dirs) == 0 {
		return nil, errNoCgroup
	}
	return stats.Read(stats.Source{
		On:      m.version,
		Open:    m.open,
		Pids:    m.Pids,
		Unified: m.has2(),
	})
}
