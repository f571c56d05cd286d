package cgroups

// Stats reads the container's figures from whichever version has each controller. A file that this kernel
// or controller does not have leaves its figures at zero.
func (m *Manager) Stats() (*Stats, error) {
	if len(m.state.Dirs) == 0 {
		return nil, errNoCgroup
	}
	return readStats(source{
		on:      m.version,
		open:    m.open,
		pids:    m.Pids,
		unified: m.has2(),
	})
}
