package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/launch"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CheckNamespaces returns an error if a restored process that has not run yet is in other namespaces than the config says: CRIU makes
// those that the images have, and the images may be another container's. In a container without a user namespace, for example, the
// process would be root of the host.
func CheckNamespaces(s *specs.Spec, pid int) error {
	for _, n := range config.Namespaces {
		kind := n.Type
		if kind == specs.TimeNamespace { // CRIU may add one
			continue
		}
		file := config.NamespaceFile(kind)
		var is, own unix.Stat_t
		if unix.Stat("/proc/self/ns/"+file, &own) != nil { // a kernel without this kind
			continue
		}
		if err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/"+file, &is); err != nil {
			return fmt.Errorf("stat /proc/%d/ns/%s: %w", pid, file, err)
		}
		i := slices.IndexFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
		var err error
		switch {
		case i < 0 && is.Ino != own.Ino:
			err = fmt.Errorf("linux.namespaces: there is no %s namespace, but the checkpoint has one", kind)
		case i >= 0 && is.Ino == own.Ino && s.Linux.Namespaces[i].Path == "":
			err = fmt.Errorf("linux.namespaces[%d]: the checkpoint has no %s namespace of its own", i, kind)
		case i >= 0 && s.Linux.Namespaces[i].Path != "":
			var joined unix.Stat_t
			if path := s.Linux.Namespaces[i].Path; unix.Stat(path, &joined) != nil || joined.Ino != is.Ino {
				err = fmt.Errorf("linux.namespaces[%d].path: the checkpoint has a %s namespace of its own, and cannot join %s", i, kind, path)
			}
		}
		if err != nil {
			return fault.WithHint(err, otherContainer)
		}
	}
	return checkMaps(s, pid)
}

// checkMaps compares the id mappings of a process with those of the config, if the config has any.
func checkMaps(s *specs.Spec, pid int) error {
	if _, _, mapped := mappedRoot(s); !mapped {
		return nil
	}
	for _, m := range [...]struct {
		file, field string
		want        []specs.LinuxIDMapping
	}{{"uid_map", "linux.uidMappings", s.Linux.UIDMappings}, {"gid_map", "linux.gidMappings", s.Linux.GIDMappings}} {
		text, err := sys.ReadWhole("/proc/" + strconv.Itoa(pid) + "/" + m.file)
		if err != nil {
			return err
		}
		have, err := config.ParseMapFile(string(text))
		if err != nil {
			return fmt.Errorf("/proc/%d/%s: %w", pid, m.file, err)
		}
		if !slices.Equal(joinMap(have), joinMap(m.want)) {
			return fault.WithHint(fmt.Errorf("%s: the checkpoint has other mappings: %s", m.field,
				strings.Join(strings.FieldsFunc(string(text), func(r rune) bool { return r <= ' ' }), " ")), otherContainer)
		}
	}
	return nil
}

const otherContainer = "is it the checkpoint of another container? Or its config.json has changed since"

// joinMap returns the mappings in the order of the container's ids, and adjacent ones as one.
func joinMap(list []specs.LinuxIDMapping) []specs.LinuxIDMapping {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b specs.LinuxIDMapping) int { return int(int64(a.ContainerID) - int64(b.ContainerID)) })
	var joined []specs.LinuxIDMapping
	for _, m := range list {
		if n := len(joined); n > 0 && joined[n-1].ContainerID+joined[n-1].Size == m.ContainerID && joined[n-1].HostID+joined[n-1].Size == m.HostID {
			joined[n-1].Size += m.Size
			continue
		}
		joined = append(joined, m)
	}
	return joined
}

// CheckProfile returns an error if the host lacks what lsm, "TYPE:NAME" or "", names, or else the config's AppArmor profile. CRIU notices
// that only when the processes are there, and then waits for them for ever (4.2.1).
func CheckProfile(s *specs.Spec, lsm string, facts *host.Facts) error {
	kind, name, ok := strings.Cut(lsm, ":")
	field := "option LSMProfile"
	switch {
	case lsm == "":
		field, kind, name = "process.apparmorProfile", "apparmor", s.Process.ApparmorProfile
	case !ok || name == "" || kind != "apparmor" && kind != "selinux":
		return fmt.Errorf("option LSMProfile: %q: not apparmor:NAME or selinux:LABEL", lsm)
	case kind == "apparmor" && !facts.AppArmor() || kind == "selinux" && !facts.SELinux():
		return fmt.Errorf("option LSMProfile: %q: this host's kernel does not have that enabled", lsm)
	}
	if kind != "apparmor" || name == "" || !facts.AppArmor() {
		return nil
	}
	// The kernel looks the profile up. It would be for an exec of this thread, which makes none.
	err := sys.OnThread(func() error { return launch.WriteProc("/proc/thread-self/attr/apparmor/exec", "exec "+name) })
	if errors.Is(err, unix.ENOENT) {
		return fault.WithHint(fmt.Errorf("%s: %q: the kernel has no such AppArmor profile", field, name), "load it with apparmor_parser")
	}
	return nil
}
