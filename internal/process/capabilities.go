package process

import "davit/internal/config"

// mask returns the set of the named capabilities. It leaves out names that this davit does not know. Package config warns of those,
// as config.md "Linux Process" demands.
func mask(list []string) uint64 {
	var m uint64
	for _, name := range list {
		if n, ok := config.Capability(name); ok {
			m |= 1 << n
		}
	}
	return m
}
