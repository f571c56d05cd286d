package rootfs

import (
	"path"

	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A container in a user namespace that enters its root filesystem gets what is the host's from mount namespaces that the stage
// has made for the purpose (plan.Gather): the kernel keeps its locks in these, and lets the container have a procfs or sysfs
// only if the host's is visible in one.

// gathers reports whether this is such a container.
func (c *Root) gathers() bool { return c.Enters && c.Within }

// gather has a namespace made of a directory, which from is a descriptor of, if it is one.
func (c *Root) gather(field, dir string, from plan.FD) plan.FD {
	ns := c.plan.Open(plan.Descriptor{Kind: plan.Own, Path: dir, Field: field})
	c.gathered = append(c.gathered, plan.Entry{Field: field, Step: plan.Gather{Tree: ns, From: from, Path: dir}})
	return ns
}

// gatherOnce does so for one that several steps may want.
func (c *Root) gatherOnce(field, dir string) plan.FD {
	ns, made := c.namespaces[dir]
	if !made {
		ns = c.gather(field, dir, c.plan.Open(plan.Descriptor{Kind: plan.Path, Path: dir, Field: field}))
		if c.namespaces == nil {
			c.namespaces = map[string]plan.FD{}
		}
		c.namespaces[dir] = ns
	}
	return ns
}

// copied has a source copied: a directory in a namespace of its own, a file in that of its directory.
func (c *Root) copied(field string, s plan.Source) plan.FD {
	step := plan.Copy{Path: "/", Recursive: s.Recursive, Set: s.Set}
	if c.ByPath { // a directory, which is made later
		step.From = c.gather(field, s.Path, plan.NoFD)
	} else {
		from := c.plan.Open(plan.Descriptor{Kind: plan.Path, Path: s.Path, Field: field, Link: s.Link})
		if dir, name := c.Locate(s.Path, s.Link); name == "" {
			step.From = c.gather(field, s.Path, from)
		} else {
			step.From, step.Path, step.Same = c.gatherOnce(field, dir), "/"+name, from
		}
	}
	return c.addCopy(field, s.Path, step)
}

func (c *Root) addCopy(field, of string, step plan.Copy) plan.FD {
	step.Source, step.Tree = of, c.plan.Open(plan.Descriptor{Kind: plan.Own, Path: of, Field: field})
	c.sources = append(c.sources, plan.Entry{Field: field, Step: step})
	return step.Tree
}

// Mapped reports whether a mount asks for id mappings.
func Mapped(m *specs.Mount) bool {
	o, err := parse(m.Options)
	return err == nil && (o.idmap || len(m.UIDMappings) > 0)
}

// OnHost returns the path of a mount's source: config.md, "Mounts".
func OnHost(source, bundle string) string {
	if path.IsAbs(source) {
		return source
	}
	return path.Join(bundle, source)
}
