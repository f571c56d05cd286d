package libcontainer

import (
	"davit/internal/config"
	"davit/internal/host"
	"davit/internal/process"
	"math/bits"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// grantable returns the capabilities that davit can give to a process: in a user
// namespace all, else its own. What the config asks for besides is left
// out with a warning, as config.md "process.capabilities" wants it.
func grantable(p *specs.Process, facts *host.Facts, userns bool) uint64 {
	if userns || p == nil || p.Capabilities == nil {
		return ^uint64(0)
	}
	have := facts.Caps()
	sets, _ := process.Capabilities(p.Capabilities, ^uint64(0))
	missing := (sets.Permitted | sets.Effective | sets.Inheritable) &^ have
	if missing == 0 {
		return have
	}
	var names []string
	for m := missing; m != 0; m &= m - 1 {
		names = append(names, config.CapabilityName(bits.TrailingZeros64(m)))
	}
	warnf("process.capabilities: davit cannot grant %s, which it does not have (CapEff in /proc/self/status): left out", strings.Join(names, ", "))
	return have
}
