package launch

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"davit/internal/fault"
	"davit/rootfs"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MapIDs writes the id mappings of the stage's new user namespace. A caller without root may write only a mapping of its own ids; for
// ranges MapIDs calls the set-uid programs newuidmap(1) and newgidmap(1).
func MapIDs(pid int, l *specs.Linux) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	uid, gid := os.Geteuid(), os.Getegid()
	if uid != 0 && !onlyOwn(l.UIDMappings, uid) {
		if err := mapByHelper("newuidmap", "/etc/subuid", pid, l.UIDMappings); err != nil {
			return fault.In("linux.uidMappings", err)
		}
	} else if err := WriteProc(dir+"uid_map", rootfs.IDMap(l.UIDMappings)); err != nil {
		return fault.In("linux.uidMappings", err)
	}
	if uid != 0 && !onlyOwn(l.GIDMappings, gid) {
		if err := mapByHelper("newgidmap", "/etc/subgid", pid, l.GIDMappings); err != nil {
			return fault.In("linux.gidMappings", err)
		}
		return nil
	}
	if uid != 0 { // user_namespaces(7): else an unprivileged user may not write gid_map
		if err := WriteProc(dir+"setgroups", "deny"); err != nil {
			return fault.In("linux.gidMappings", err)
		}
	}
	if err := WriteProc(dir+"gid_map", rootfs.IDMap(l.GIDMappings)); err != nil {
		return fault.In("linux.gidMappings", err)
	}
	return nil
}

func onlyOwn(maps []specs.LinuxIDMapping, id int) bool {
	return len(maps) == 1 && maps[0].Size == 1 && int(maps[0].HostID) == id
}

func mapByHelper(name, table string, pid int, maps []specs.LinuxIDMapping) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fault.WithHint(fmt.Errorf("%s is needed to map more than the user's own id: %w", name, err), "install Debian's package uidmap (elsewhere: shadow-utils)")
	}
	args := []string{strconv.Itoa(pid)}
	for _, m := range maps {
		args = append(args, strconv.FormatUint(uint64(m.ContainerID), 10), strconv.FormatUint(uint64(m.HostID), 10), strconv.FormatUint(uint64(m.Size), 10))
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return fault.WithHint(fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out))), "the user's ranges are in "+table)
	}
	return nil
}
