package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ParseIDMap reads the mappings of crun's mount option idmap (crun(1), "idmap mount options"), such
// as "uids=0-1-10#10-11-10;gids=0-100-10". Each range has the first id of the filesystem, the first
// id of the host and the number of ids; # separates ranges. After a @ the second id is one of the
// container's user namespace, whose mappings are uids and gids; a range that crosses several of
// these mappings becomes several ranges.
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
		return nil, nil, fmt.Errorf("%q needs both uids=… and gids=…", text)
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

// translate converts r, whose HostID is an id of the user namespace with the given mappings, to ids
// of the host.
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

// HostID returns the id on the host that maps give to id, 0 if they give it none.
func HostID(maps []specs.LinuxIDMapping, id uint32) int {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return int(m.HostID + id - m.ContainerID)
		}
	}
	return 0
}

// ParseMapFile reads /proc/PID/uid_map or gid_map (user_namespaces(7), "User and group ID mappings").
func ParseMapFile(text string) (list []specs.LinuxIDMapping, err error) {
	for line := range strings.Lines(text) {
		var n [3]uint32
		fields := strings.Fields(line)
		if len(fields) != len(n) {
			return nil, errors.New("a line has not three numbers")
		}
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				return nil, err
			}
			n[i] = uint32(v)
		}
		list = append(list, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return list, nil
}
