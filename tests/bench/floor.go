package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"davit/tests/profile"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// floorCgroup is the floor's cgroup, below the benchmark's.
const floorCgroup = "floor"

// buildFloor compiles the floor for a config to the file out. dir has its C source.
func buildFloor(dir, out, config string, v view) error {
	tmp, err := os.MkdirTemp("", "davit-floor")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	s := newConfig(config, v, floorCgroup)
	filter, err := compileFilter(dir, tmp, s.Linux.Seccomp)
	if err != nil {
		return err
	}
	header := &floorHeader{spec: s, view: v}
	if err := os.WriteFile(tmp+"/floor.h", []byte(header.text(filter)), 0o644); err != nil {
		return err
	}
	return compile(out, dir+"/floor.c", "-static", "-I"+tmp)
}

func compile(out, source string, flags ...string) error {
	args := append([]string{"-std=gnu11", "-O2", "-Wall", "-Wextra", "-s", "-o", out, source}, flags...)
	if said, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc %s: %w\n%s", source, err, said)
	}
	return nil
}

// compileFilter returns the instructions of a filter that allows the same calls as the profile.
func compileFilter(dir, tmp string, filter *specs.LinuxSeccomp) (string, error) {
	if filter == nil {
		return "", nil
	}
	tool := filepath.Join(tmp, "bpf")
	if err := compile(tool, dir+"/bpf.c", "-lseccomp"); err != nil {
		return "", err
	}
	out, err := exec.Command(tool, strings.Fields(profile.AllowedCalls)...).Output()
	if err != nil {
		return "", fmt.Errorf("floor's seccomp filter: %w", err)
	}
	return string(out), nil
}

// floorHeader writes a config as C code, which floor.c includes.
type floorHeader struct {
	spec *specs.Spec
	view view
	strings.Builder
}

func (h *floorHeader) line(format string, args ...any) { fmt.Fprintf(h, format+"\n", args...) }

func (h *floorHeader) text(filter string) string {
	p, l := h.spec.Process, h.spec.Linux
	h.line("#define ROOT %q", h.spec.Root.Path)
	h.line("#define READ_ONLY_ROOT %d", bit(h.spec.Root.Readonly))
	h.line("#define NO_NEW_PRIVS %d", bit(p.NoNewPrivileges))
	h.line("#define HOSTNAME %s", quoteOrNull(h.spec.Hostname))
	h.line("#define NOFILE %d", nofile(p.Rlimits))
	h.line("#define CAPS %#xull", capabilities(p.Capabilities))
	score := ""
	if p.OOMScoreAdj != nil {
		score = fmt.Sprint(*p.OOMScoreAdj)
	}
	h.line("#define OOM_SCORE %s", quoteOrNull(score))
	h.line("static const gid_t groups[] = {")
	for _, gid := range p.User.AdditionalGids {
		h.line("\t%d,", gid)
	}
	h.line("\t(gid_t)-1 };")
	h.namespaces(l.Namespaces)
	h.cgroups(l.Resources)
	h.mounts(h.spec.Mounts)
	h.line("static const struct step paths[] = {")
	for _, path := range l.MaskedPaths {
		h.line("\t{ .op = MASK, .target = %q },", path)
	}
	for _, path := range l.ReadonlyPaths {
		h.line("\t{ .op = READ_ONLY, .target = %q },", path)
	}
	h.line("};\nstatic const struct sock_filter filter[] = {\n%s};", filter)
	return h.String()
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func quoteOrNull(s string) string {
	if s == "" {
		return "NULL"
	}
	return fmt.Sprintf("%q", s)
}

func nofile(limits []specs.POSIXRlimit) uint64 {
	for _, r := range limits {
		if r.Type == "RLIMIT_NOFILE" {
			return r.Hard
		}
	}
	return 0
}

func capabilities(c *specs.LinuxCapabilities) uint64 {
	numbers := map[string]uint{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_FOWNER": unix.CAP_FOWNER,
		"CAP_FSETID": unix.CAP_FSETID, "CAP_KILL": unix.CAP_KILL, "CAP_SETGID": unix.CAP_SETGID,
		"CAP_SETUID": unix.CAP_SETUID, "CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_NET_RAW": unix.CAP_NET_RAW,
		"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT,
		"CAP_MKNOD": unix.CAP_MKNOD, "CAP_AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "CAP_SETFCAP": unix.CAP_SETFCAP,
	}
	var set uint64
	if c != nil {
		for _, name := range c.Effective {
			set |= 1 << numbers[name]
		}
	}
	return set
}

func (h *floorHeader) namespaces(list []specs.LinuxNamespace) {
	clone := map[specs.LinuxNamespaceType]string{
		specs.PIDNamespace: "CLONE_NEWPID", specs.NetworkNamespace: "CLONE_NEWNET", specs.IPCNamespace: "CLONE_NEWIPC",
		specs.UTSNamespace: "CLONE_NEWUTS", specs.MountNamespace: "CLONE_NEWNS", specs.CgroupNamespace: "CLONE_NEWCGROUP",
	}
	var flags []string
	h.line("static const char *const joins[] = {")
	for _, ns := range list {
		if ns.Path != "" {
			h.line("\t%q,", ns.Path)
		} else {
			flags = append(flags, clone[ns.Type])
		}
	}
	h.line("\tNULL };\n#define FLAGS (%s)", strings.Join(flags, " | "))
}

// cgroups writes the config's resources. With v1 it uses a cgroup in each hierarchy.
func (h *floorHeader) cgroups(r *specs.LinuxResources) {
	h.line("#define UNIFIED %d\n#define DEVICE_PROGRAM %d", bit(h.view == unified), bit(r != nil && r.Devices != nil))
	h.line("static const char *const cgroups[] = {")
	for _, dir := range h.cgroupPaths() {
		h.line("\t%q,", dir)
	}
	h.line("\tNULL };\nstatic const char *const limits[][2] = {")
	for _, limit := range h.limits(r) {
		h.line("\t{ %q, %q },", limit[0], limit[1])
	}
	h.line("\t{ NULL, NULL } };")
}

func (h *floorHeader) cgroupPaths() []string {
	dirs, err := h.view.hierarchies()
	must(err)
	for i, dir := range dirs {
		dirs[i] = filepath.Join(dir, cgroupDir, floorCgroup)
	}
	return dirs
}

func (h *floorHeader) limits(r *specs.LinuxResources) [][2]string {
	dir := func(controller string) string {
		if h.view == unified {
			return filepath.Join("/sys/fs/cgroup", cgroupDir, floorCgroup)
		}
		return filepath.Join("/sys/fs/cgroup", controller, cgroupDir, floorCgroup)
	}
	var out [][2]string
	set := func(controller, file string, value any) {
		out = append(out, [2]string{filepath.Join(dir(controller), file), fmt.Sprint(value)})
	}
	if r == nil {
		return nil
	}
	switch {
	case r.CPU == nil:
	case h.view == unified:
		set("", "cpu.weight", 4) // equals 102 shares
		set("", "cpu.max", fmt.Sprint(*r.CPU.Quota, *r.CPU.Period))
		set("", "memory.max", *r.Memory.Limit)
		set("", "pids.max", *r.Pids.Limit)
	default:
		set("cpu", "cpu.shares", *r.CPU.Shares)
		set("cpu", "cpu.cfs_period_us", *r.CPU.Period)
		set("cpu", "cpu.cfs_quota_us", *r.CPU.Quota)
		set("memory", "memory.limit_in_bytes", *r.Memory.Limit)
		set("pids", "pids.max", *r.Pids.Limit)
	}
	for _, huge := range r.HugepageLimits {
		set("hugetlb", "hugetlb."+huge.Pagesize+".max", huge.Limit)
	}
	if h.view == v1 {
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			data, err := os.ReadFile("/sys/fs/cgroup/cpuset/" + file)
			must(err)
			set("cpuset", file, strings.TrimSpace(string(data)))
		}
		set("devices", "devices.deny", "a")
		for _, rule := range []string{"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
			"c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"} {
			set("devices", "devices.allow", rule)
		}
	}
	return out
}

var mountFlags = map[string]string{
	"nosuid": "MS_NOSUID", "noexec": "MS_NOEXEC", "nodev": "MS_NODEV", "ro": "MS_RDONLY",
	"relatime": "MS_RELATIME", "strictatime": "MS_STRICTATIME",
}

func (h *floorHeader) mounts(list []specs.Mount) {
	devices := false
	h.line("static const struct step mounts[] = {")
	for _, m := range list {
		flags, data := []string{"0"}, []string{}
		for _, option := range m.Options {
			if f := mountFlags[option]; f != "" {
				flags = append(flags, f)
			} else if strings.Contains(option, "=") || option == "newinstance" {
				data = append(data, option)
			}
		}
		target := strings.TrimPrefix(m.Destination, "/")
		devices = devices || target == "dev"
		switch {
		case m.Type == "cgroup" && h.view == v1:
			h.cgroupMounts(target)
			continue
		case m.Type == "bind":
			if strings.HasPrefix(target, "dev/") { // it does not exist yet, because /dev is new
				h.line("\t{ .op = %s, .target = %q },", makeOp(m.Source), target)
			}
			h.line("\t{ .op = BIND, .source = %q, .target = %q, .flags = %s },", m.Source, target, strings.Join(flags, "|"))
			continue
		case m.Type == "cgroup":
			m.Type = "cgroup2"
		case strings.HasPrefix(target, "dev/"):
			h.line("\t{ .op = MKDIR, .target = %q },", target)
		}
		h.line("\t{ .op = MOUNT, .source = %q, .target = %q, .type = %q, .flags = %s, .data = %s },", m.Source, target,
			m.Type, strings.Join(flags, "|"), quoteOrNull(strings.Join(data, ",")))
	}
	h.line("};\n#define DEVICES %d", bit(devices))
}

func makeOp(source string) string {
	for _, file := range podFiles {
		if source == volumesDir+file {
			return "MKFILE"
		}
	}
	return "MKDIR"
}

// cgroupMounts shows the container's own cgroup of every v1 hierarchy to the container.
func (h *floorHeader) cgroupMounts(target string) {
	h.line("\t{ .op = MOUNT, .source = \"tmpfs\", .target = %q, .type = \"tmpfs\" },", target)
	for _, dir := range h.cgroupPaths() {
		name := filepath.Base(filepath.Dir(filepath.Dir(dir)))
		h.line("\t{ .op = MKDIR, .target = %q },", target+"/"+name)
		h.line("\t{ .op = BIND, .source = %q, .target = %q, .flags = MS_RDONLY },", dir, target+"/"+name)
	}
}
