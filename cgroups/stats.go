package cgroups

// Stats are a container's figures in the shape and names of runc's `events --stats`.
type Stats struct{}

// Stats reads the container's figures.
func (m *Manager) Stats() (*Stats, error) { return nil, errUnbuilt }
