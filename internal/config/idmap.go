package config

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ParseIDMap reads the mappings that crun's mount option idmap takes (crun(1), "idmap mount options"), such as
// "uids=0-1-10#10-11-10;gids=0-100-10": the first id of the file system, the first id of the host, how many, with # between
// ranges. The ids after a @ are not the host's but those of the container's user namespace with the mappings uids and
// gids. A range that is cut by these mappings becomes several.
func ParseIDMap(text string, uids, gids []specs.LinuxIDMapping) (u, g []specs.LinuxIDMapping, err error) {
	for part := range strings.SplitSeq(text, ";") {
		kind, ranges, _ := strings.Cut(part, "=")
		switch kind {
		case "uids":
			u, err = parseRanges(ranges, uids)
		case "gids":
			g, err = parseRanges(ranges, gids)
		default:
			err = fmt.Errorf("%q is neither uids=… nor gids=…", part)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(u) == 0 || len(g) == 0 {
		return nil, nil, fmt.Errorf("%q has not both, uids=… and gids=…", text)
	}
	return u, g, nil
}

func parseRanges(text string, namespace []specs.LinuxIDMapping) (list []specs.LinuxIDMapping, err error) {
	for part := range strings.SplitSeq(text, "#") {
		numbers, relative := strings.CutPrefix(part, "@")
		var n [3]uint32
		fields := strings.Split(numbers, "-")
		if len(fields) != len(n) {
			return nil, fmt.Errorf("%q is not of the form ID-ID-SIZE", part)
		}
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q: %q is not a 32-bit number", part, f)
			}
			n[i] = uint32(v)
		}
		r := specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]}
		switch {
		case r.Size == 0:
			return nil, fmt.Errorf("%q is empty", part)
		case relative:
			parts, err := translate(r, namespace)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", part, err)
			}
			list = append(list, parts...)
		default:
			list = append(list, r)
		}
	}
	return list, nil
}

// translate takes the ids in r.HostID for those of a user namespace, and returns the host's.
func translate(r specs.LinuxIDMapping, namespace []specs.LinuxIDMapping) (list []specs.LinuxIDMapping, err error) {
	if len(namespace) == 0 {
		return nil, fmt.Errorf("@ needs a user namespace with mappings")
	}
	for r.Size > 0 {
		found := false
		for _, m := range namespace {
			if at := r.HostID - m.ContainerID; r.HostID >= m.ContainerID && at < m.Size {
				size := min(r.Size, m.Size-at)
				list = append(list, specs.LinuxIDMapping{ContainerID: r.ContainerID, HostID: m.HostID + at, Size: size})
				r = specs.LinuxIDMapping{ContainerID: r.ContainerID + size, HostID: r.HostID + size, Size: r.Size - size}
				found = true
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("the container's user namespace does not map the id %d", r.HostID)
		}
	}
	return list, nil
}
