package foreign

import (
	"fmt"
	"slices"
	"strconv"

	"davit/internal/config"
	"davit/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// compare refuses a config that /proc contradicts. Such a config does not say how the container's
// process is really confined, so it must not decide how another process is to be confined. It is no
// contradiction if the program has confined itself further since it began. A container that is not
// started yet gets its confinement only at start.
func (c *container) compare(s *specs.Spec) error {
	pid := c.state.Pid
	if pid == 0 || c.Waits() || !c.alive() {
		return nil
	}
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := sys.Status(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	if s.Linux.Seccomp != nil && status["Seccomp"] == "0" && filters(s.Linux.Seccomp) {
		return fmt.Errorf("linux.seccomp: the config has a profile, but %s/status says Seccomp: 0", dir)
	}
	if s.Process != nil && s.Process.NoNewPrivileges && status["NoNewPrivs"] == "0" {
		return fmt.Errorf("process.noNewPrivileges: the config has true, but %s/status says NoNewPrivs: 0", dir)
	}
	if c.state.Namespaces&unix.CLONE_NEWUSER != 0 {
		if err := compareMap("linux.uidMappings", s.Linux.UIDMappings, dir+"/uid_map"); err != nil {
			return err
		}
		return compareMap("linux.gidMappings", s.Linux.GIDMappings, dir+"/gid_map")
	}
	return nil
}

// filters reports whether a profile forbids anything. Runtimes load no filter for one that allows
// everything.
func filters(p *specs.LinuxSeccomp) bool {
	return p.DefaultAction != specs.ActAllow || len(p.Syscalls) > 0
}

// compareMap compares mappings of the config with those of the process (user_namespaces(7), "User
// and group ID mappings"). If the container joined a user namespace, its config has none: the maker
// of that namespace mapped it.
func compareMap(field string, want []specs.LinuxIDMapping, file string) error {
	if len(want) == 0 {
		return nil
	}
	data, err := sys.ReadWhole(file)
	if err != nil {
		return err
	}
	have, err := config.ParseMapFile(string(data))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, m := range want {
		if !slices.Contains(have, m) && m.Size > 0 {
			return fmt.Errorf("%s: the config maps %d ids from %d to the host's %d, but %s does not: %q", field, m.Size, m.ContainerID, m.HostID, file, data)
		}
	}
	return nil
}
