package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Sound returns a copy of s without problems, for a caller that wants to examine the rest of a
// config that has some. Parts with a problem are left out, or replaced by those of the default
// config. left has the names of these parts in order, such as "process" or "mounts[3]". The
// elements of mounts keep their numbers. Sound returns nil if it cannot make such a copy.
func Sound(s *specs.Spec, o Options) (sound *specs.Spec, left []string) {
	for range 8 { // a part that is left out may have been needed by another part
		problems, _ := Check(s, o)
		if len(problems) == 0 {
			return s, left
		}
		for _, p := range problems {
			var part string
			if s, part = Without(s, p.Field); part == "" {
				return nil, nil
			}
			if !slices.Contains(left, part) {
				left = append(left, part)
			}
		}
	}
	return nil, nil
}

// Without returns a copy of s without the part that contains a field, and the name of that part; ""
// if it does not know the part.
func Without(s *specs.Spec, field string) (*specs.Spec, string) {
	c := *s
	c.Mounts = slices.Clone(s.Mounts)
	if s.Linux != nil {
		l := *s.Linux
		if l.Resources != nil {
			r := *l.Resources
			l.Resources = &r
		}
		c.Linux = &l
	}
	return &c, leaveOut(&c, field)
}

// leaveOut removes from c the part that contains a field, and returns its name; "" if it does not
// know the part.
func leaveOut(c *specs.Spec, field string) string {
	names := strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' })
	if len(names) == 0 {
		return ""
	}
	byDefault := Default()
	switch names[0] {
	case "ociVersion":
		c.Version = specs.Version
	case "process":
		c.Process = byDefault.Process
		c.Process.Terminal, c.Process.Rlimits = false, nil
	case "root":
		c.Root = &specs.Root{Path: "."}
	case "hostname":
		c.Hostname = ""
	case "domainname":
		c.Domainname = ""
	case "hooks":
		c.Hooks = nil
	case "annotations":
		c.Annotations = nil
	case "mounts":
		return leaveOutMount(c, field)
	case "linux":
		return leaveOutLinux(c, names, byDefault)
	default:
		return ""
	}
	return names[0]
}

func leaveOutMount(c *specs.Spec, field string) string {
	number, _, _ := strings.Cut(strings.TrimPrefix(field, "mounts["), "]")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(c.Mounts) {
		c.Mounts = nil
		return "mounts"
	}
	c.Mounts[i] = specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs"}
	return fmt.Sprintf("mounts[%d]", i)
}

func leaveOutLinux(c *specs.Spec, names []string, byDefault *specs.Spec) string {
	if c.Linux == nil || len(names) < 2 {
		c.Linux = byDefault.Linux
		return "linux"
	}
	l := c.Linux
	switch names[1] {
	case "namespaces", "uidMappings", "gidMappings", "timeOffsets": // these belong together
		l.Namespaces, l.UIDMappings, l.GIDMappings, l.TimeOffsets = byDefault.Linux.Namespaces, nil, nil, nil
		return "linux.namespaces"
	case "resources":
		if len(names) > 2 && l.Resources != nil && clearMember(l.Resources, names[2]) {
			return "linux.resources." + names[2]
		}
	}
	if !clearMember(l, names[1]) {
		return ""
	}
	return "linux." + names[1]
}

// clearMember sets the member of a struct with this JSON name to its zero value. It returns false
// if there is none.
func clearMember[T any](object *T, name string) bool {
	v := reflect.ValueOf(object).Elem()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
			v.Field(i).SetZero()
			return true
		}
	}
	return false
}
