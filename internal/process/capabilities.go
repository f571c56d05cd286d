package process

import "davit/internal/config"

// mask returns the set that the names stand for. Names that this davit does
// not know are left out: config.md, "Linux Process", wants a warning, which
// package spec gives.
func mask(list []string) uint64 {
	var m uint64
	for _, name := range list {
		if n, ok := config.Capability(name); ok {
			m |= 1 << n
		}
	}
	return m
}
