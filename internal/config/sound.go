package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Sound returns a copy of s that has no problems, for whoever wants to look at the rest of a config all the same. What
// has a problem is left out, or taken from the default config: left names it, such as "process" or "mounts[3]", in order.
// The elements of mounts keep their numbers. It returns nil if nothing sound can be made of s.
func Sound(s *specs.Spec, o Options) (sound *specs.Spec, left []string) {
	for range 8 { // what is left out may have been what something else needs
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

// Without returns a copy of s without the part that a field is in, and the name of that part; "" if it knows none.
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

// leaveOut takes the part of c that a field is in out of it, and returns the name of the part; "" if it knows none.
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
	case "namespaces", "uidMappings", "gidMappings", "timeOffsets": // which belong together
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

// clearMember sets the member of a struct that has this name in JSON to nothing; false if there is none.
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
