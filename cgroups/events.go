package cgroups

import "context"

// Event is something that happened in a container's cgroup.
type Event struct {
	OOM   uint64 // processes that the out-of-memory killer ended since Events was called
	Empty bool   // no process is left
}

var errUnbuilt = errNoSystemd

func (m *Manager) Events(ctx context.Context) (<-chan Event, error) { return nil, errUnbuilt }
