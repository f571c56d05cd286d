package rootfs

import (
	"slices"
	"strings"
	"testing"

	"davit/cgroups"
	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// own has the namespaces of an ordinary container.
const own = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// steps compiles a config whose root is /b/rootfs and returns its steps, one a line: "FIELD: NAME ARGUMENTS".
func steps(t *testing.T, s *specs.Spec, o Options) (lines []string, p *plan.Plan, err error) {
	t.Helper()
	p = &plan.Plan{}
	s.Root = &specs.Root{Path: "rootfs"}
	o.Bundle = "/b"
	o.Proc = func() plan.FD { return p.Open(plan.Descriptor{Kind: plan.Proc, Path: "/proc"}) }
	c := New(p, s, o)
	if err := c.Mounts(); err != nil {
		return nil, p, err
	}
	c.Finish()
	for _, e := range p.Steps {
		lines = append(lines, e.Field+": "+strings.TrimSpace(plan.OpOf(e.Step).String()+" "+plan.Arguments(e.Step)))
	}
	return lines, p, nil
}

// Each case of TestMountSteps has the steps of one mount, in the order in which the stage does
// them.
func TestMountSteps(t *testing.T) {
	hybrid := []cgroups.Hierarchy{{Dir: "/sys/fs/cgroup/memory/c1", Name: "memory", Options: "memory"}}
	for _, c := range []struct {
		name  string
		mount specs.Mount
		o     Options
		want  []string // steps that belong to mounts[0]
	}{
		{"a filesystem", specs.Mount{Destination: "/t", Type: "tmpfs", Source: "x", Options: []string{"nosuid", "size=1m"}}, Options{New: own},
			[]string{"mount type=tmpfs source=x target=/t data=size=1m flags=nosuid keepmode"}},
		{"a tmpfs with a mode of its own", specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"mode=700"}}, Options{New: own},
			[]string{"mount type=tmpfs source=tmpfs target=/t data=mode=700"}},
		{"a read-only tmpfs is that in the end", specs.Mount{Destination: "/t/", Type: "tmpfs", Options: []string{"ro"}}, Options{New: own},
			[]string{"filesystem tree=descriptor:1 type=tmpfs target=/t options=[source=tmpfs]", "mount tree=descriptor:1 type=tmpfs target=/t keepmode", "remount tree=descriptor:1 target=/t set=ro"}},
		{"a source that is no path", specs.Mount{Destination: "/n", Type: "9p", Source: "share"}, Options{New: own},
			[]string{"mount keep=descriptor:1 type=9p source=share target=/n host"}},
		{"procfs follows no link", specs.Mount{Destination: "/proc", Type: "proc", Source: "proc"}, Options{New: own},
			[]string{"mount type=proc source=proc target=/proc nofollow"}},
		{"the stage copies a bind mount", specs.Mount{Destination: "/d", Type: "bind", Source: "/s", Options: []string{"rbind", "ro"}}, Options{New: own},
			[]string{"source tree=descriptor:1 path=/s recursive", "bind tree=descriptor:1 source=/s target=/d how=recursive set=ro drop="}},
		{"a relative source is below the bundle", specs.Mount{Destination: "/d", Source: "s", Options: []string{"bind"}}, Options{New: own},
			[]string{"source tree=descriptor:1 path=/b/s", "bind tree=descriptor:1 source=/b/s target=/d"}},
		{"the parent copies for a user namespace", specs.Mount{Destination: "/d", Source: "/s", Options: []string{"bind"}}, Options{New: own | unix.CLONE_NEWUSER, Within: true, UserNamespace: true},
			[]string{"bind tree=descriptor:2 source=/s target=/d propagation=slave"}},
		{"a source in the container's root is resolved there", specs.Mount{Destination: "/d", Source: "/b/rootfs/x", Options: []string{"bind"}}, Options{New: own},
			[]string{"bind source=/x target=/d how=inroot"}},
		{"a link of the host", specs.Mount{Destination: "/l", Source: "/s", Type: "bind", Options: []string{"copy-symlink"}},
			Options{New: own, ReadLink: func(path string) (string, bool, error) { return "/to", path == "/s", nil }},
			[]string{"symlink target=/to link=/l exact"}},
		{"cgroups v2 with a namespace", specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup"}, Options{New: own | unix.CLONE_NEWCGROUP, Cgroups2: true},
			[]string{"mount type=cgroup2 source=cgroup target=/sys/fs/cgroup nofollow"}},
		{"cgroups v1 without a namespace", specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}}, Options{New: own, Hierarchies: hybrid},
			[]string{"source tree=descriptor:1 path=/sys/fs/cgroup/memory/c1", "mount type=tmpfs source=tmpfs target=/sys/fs/cgroup data=mode=755 nofollow",
				"bind tree=descriptor:1 source=/sys/fs/cgroup/memory/c1 target=/sys/fs/cgroup/memory how=nolinks set=ro", "remount target=/sys/fs/cgroup set=ro"}},
		{"cgroups v1 with a propagation", specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"shared"}}, Options{New: own},
			[]string{"filesystem tree=descriptor:1 type=tmpfs", "mount tree=descriptor:1 type=tmpfs target=/sys/fs/cgroup propagation=shared nofollow"}},
		{"cgroups v2 with a propagation", specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"shared"}}, Options{New: own | unix.CLONE_NEWCGROUP, Cgroups2: true},
			[]string{"mount keep=descriptor:1 type=cgroup2 source=cgroup target=/sys/fs/cgroup propagation=shared nofollow"}},
		{"the host's sysfs without a network namespace", specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
			Options{New: own &^ unix.CLONE_NEWNET, UserNamespace: true, ByPath: true},
			[]string{"source tree=descriptor:1 path=/sys recursive", "bind tree=descriptor:1 source=/sys target=/sys how=recursive,nolinks"}},
	} {
		lines, p, err := steps(t, &specs.Spec{Mounts: []specs.Mount{c.mount}}, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var have []string
		for _, l := range lines {
			if field, step, _ := strings.Cut(l, ": "); strings.HasPrefix(field, "mounts[0]") {
				have = append(have, step)
			}
		}
		ok := len(have) == len(c.want)
		for i := 0; ok && i < len(have); i++ {
			ok = strings.HasPrefix(have[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s:\n%s\nnot\n%s\nin\n%s", c.name, strings.Join(have, "\n"), strings.Join(c.want, "\n"), p.Text())
		}
	}
}

// If a bind mount waits for a descriptor, the host's mounts stay until then, because its source is
// a path of the host. If they do not stay, no bind mount waits.
func TestNothingWaitsWithoutTheHost(t *testing.T) {
	for n := 32; n < 200; n++ {
		s := &specs.Spec{}
		for range n {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/a", Source: "/s", Options: []string{"rbind", "private"}})
		}
		lines, _, err := steps(t, s, Options{New: own, MaxDescriptors: 128})
		if err != nil {
			t.Fatal(err)
		}
		pivot := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, ": pivot") })
		if late := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "how=recursive,again,late") }); late > pivot || late < 0 && 2*n > 128 {
			t.Fatalf("%d mounts, pivot in line %d, the first to wait in line %d:\n%s", n, pivot, late, lines[max(late, 0)])
		}
	}
}

// A bind mount becomes read-only at the end if a later mount has its target below it. The others
// are read-only from the start. If the kernel must lock the mounts, all are read-only from the
// start.
func TestReadOnlyBindAroundOthers(t *testing.T) {
	ro := func(at string) specs.Mount {
		return specs.Mount{Destination: at, Source: "/s" + at, Options: []string{"bind", "ro"}}
	}
	for name, c := range map[string]struct {
		mounts []specs.Mount
		late   bool
	}{
		"below":            {[]specs.Mount{ro("/a"), ro("/a/b")}, true},
		"far below":        {[]specs.Mount{ro("/a"), ro("/b"), ro("/a/./b/c/")}, true},
		"nothing below":    {[]specs.Mount{ro("/a"), ro("/b")}, false},
		"only like it":     {[]specs.Mount{ro("/a"), ro("/ab")}, false},
		"below, but first": {[]specs.Mount{ro("/a/b"), ro("/a")}, false},
	} {
		lines, p, err := steps(t, &specs.Spec{Mounts: c.mounts}, Options{New: own})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var atOnce, inTheEnd int
		for i, l := range lines {
			if strings.Contains(l, " target=/a ") && strings.Contains(l, "set=ro") {
				if strings.Contains(l, "remount tree=") && i > slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "bind ") && strings.Contains(l, "target=/a/") }) {
					inTheEnd++
				} else {
					atOnce++
				}
			}
		}
		if (inTheEnd == 1) != c.late || (atOnce == 1) == c.late {
			t.Errorf("%s: %d times in the end, %d times at once in\n%s", name, inTheEnd, atOnce, p.Text())
		}
	}
}

// While a read-only bind mount is still writable, the stage mounts only what belongs below it:
// elsewhere a link could lead there.
func TestOnlyMountsBelowComeBeforeReadOnly(t *testing.T) {
	bind := func(at string, options ...string) specs.Mount {
		return specs.Mount{Destination: at, Source: "/s" + at, Options: append(options, "bind")}
	}
	inside := specs.Mount{Destination: "/a/b", Source: "/b/rootfs/v", Options: []string{"bind"}}
	for name, c := range map[string]struct {
		mounts []specs.Mount
		want   string // the targets in order; "-" means that /a becomes read-only, "/a" that it is so from the start
	}{
		"between":            {[]specs.Mount{bind("/a", "ro"), bind("/v"), bind("/a/b"), bind("/w"), bind("/a/c")}, "+/a /a/b /a/c - /v /w"},
		"nested":             {[]specs.Mount{bind("/a", "ro"), bind("/v"), bind("/a/b", "ro"), bind("/w"), bind("/a/b/c")}, "+/a /a/b /a/b/c - /v /w"},
		"covered":            {[]specs.Mount{bind("/a", "ro"), bind("/a/b"), bind("/a"), bind("/a/c")}, "+/a /a/b - /a /a/c"},
		"covered first":      {[]specs.Mount{bind("/a", "ro"), bind("/a"), bind("/a/c")}, "/a /a /a/c"},
		"alone":              {[]specs.Mount{bind("/a", "rbind", "ro", "private"), bind("/a/b")}, "+/a /a/b -"},
		"of the root itself": {[]specs.Mount{bind("/a", "ro"), bind("/v"), inside}, "/a /v /a/b"},
	} {
		lines, p, err := steps(t, &specs.Spec{Mounts: c.mounts}, Options{New: own})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var have []string
		for _, l := range lines {
			_, at, _ := strings.Cut(l, " target=")
			at, _, _ = strings.Cut(at, " ")
			switch {
			case strings.Contains(l, ": remount tree=") && strings.Contains(l, "set=ro") && at == "/a":
				have = append(have, "-")
			case strings.Contains(l, ": bind ") && at == "/a" && strings.Contains(l, " keep="):
				have = append(have, "+/a")
			case strings.Contains(l, ": bind "):
				have = append(have, at)
			}
		}
		if strings.Join(have, " ") != c.want {
			t.Errorf("%s: %q, not %s in\n%s", name, have, c.want, p.Text())
		}
	}
}

// The same holds for the mounts from which a mount of cgroups is made.
func TestReadOnlyCgroupsAroundOthers(t *testing.T) {
	mounts := []specs.Mount{
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}},
		{Destination: "/sys/fs/cgroup/systemd", Source: "/sys/fs/cgroup/systemd", Options: []string{"bind"}},
	}
	for name, o := range map[string]Options{
		"v1":                               {New: own, Hierarchies: []cgroups.Hierarchy{{Dir: "/sys/fs/cgroup/memory/c1", Name: "memory", Options: "memory"}}},
		"v2 without a namespace, the host": {New: own, Cgroups2: true, HostCgroup2: "/sys/fs/cgroup"},
	} {
		lines, p, err := steps(t, &specs.Spec{Mounts: mounts}, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		last := func(part string) int {
			at := -1
			for i, l := range lines {
				if strings.Contains(l, part) {
					at = i
				}
			}
			return at
		}
		if below, ro := last("target=/sys/fs/cgroup/systemd"), last("target=/sys/fs/cgroup set=ro"); below < 0 || ro < below {
			t.Errorf("%s: not read-only in the end:\n%s", name, p.Text())
		}
	}
}

// A mount that would change the host, or that is impossible, is refused with its number and
// destination.
func TestRefusedMounts(t *testing.T) {
	for _, c := range []struct {
		mount specs.Mount
		want  string
	}{
		{specs.Mount{Destination: "/", Type: "tmpfs"}, "mounts[0] (/): the root filesystem cannot be mounted over"},
		{specs.Mount{Destination: "/d", Type: "bind"}, "mounts[0] (/d): source: missing"},
		{specs.Mount{Destination: "/d"}, "mounts[0] (/d): no type"},
		{specs.Mount{Destination: "/d", Type: "debugfs", Options: []string{"uid=5"}}, `mounts[0] (/d): options "uid=5" would change the debugfs of the host`},
		{specs.Mount{Destination: "/d", Type: "bind", Source: "/s", Options: []string{"tmpcopyup"}}, "mounts[0] (/d): option tmpcopyup is for tmpfs"},
		{specs.Mount{Destination: "/d", Type: "tmpfs", Options: []string{"src-nofollow"}}, "mounts[0] (/d): options src-nofollow, dest-nofollow and copy-symlink"},
		{specs.Mount{Destination: "/d", Type: "ext4", Source: "dev/sda"}, `mounts[0] (/d): source: "dev/sda" is not an absolute path`},
		{specs.Mount{Destination: "/d", Type: "ext4"}, `mounts[0] (/d): source: "ext4" is not an absolute path`},
		{specs.Mount{Destination: "/d", Type: "bcachefs", Source: "/dev/a:b"}, `mounts[0] (/d): source: "b" is not an absolute path`},
		{specs.Mount{Destination: "/d", Type: "9p", Source: "../s", Options: []string{"trans=unix"}}, `mounts[0] (/d): source: "../s" is not an absolute path`},
		{specs.Mount{Destination: "/d", Type: "xfs", Source: "/dev/a", Options: []string{"logdev=b"}}, `mounts[0] (/d): option logdev: "b" is not an absolute path`},
		{specs.Mount{Destination: "/d", Type: "bind", Source: "/s", Options: []string{"idmap"}}, "mounts[0] (/d): option idmap without uidMappings"},
	} {
		if lines, _, err := steps(t, &specs.Spec{Mounts: []specs.Mount{c.mount}}, Options{New: own}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v, not %q; steps %q", c.mount, err, c.want, lines)
		}
	}
}

// A postponed read-only remount changes the right mount: it is done before another mount covers
// this one, and not at all if a remount makes it writable.
func TestPostponedReadOnly(t *testing.T) {
	tmpfs := specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"ro"}}
	for name, c := range map[string]struct {
		then specs.Mount
		want string // steps that follow the first mount
		last bool   // a step at the end makes it read-only
	}{
		"nothing else":       {specs.Mount{Destination: "/u", Type: "tmpfs"}, "mount type=tmpfs source=tmpfs target=/u", true},
		"covered":            {specs.Mount{Destination: "/t", Type: "tmpfs"}, "remount tree=descriptor:1 target=/t set=ro", false},
		"covered from above": {specs.Mount{Destination: "/t", Source: "/s", Options: []string{"bind"}}, "remount tree=descriptor:1 target=/t set=ro", false},
		"made writable":      {specs.Mount{Destination: "/t", Options: []string{"remount", "bind", "rw"}}, "remount target=/t clear=ro", false},
	} {
		lines, p, err := steps(t, &specs.Spec{Mounts: []specs.Mount{tmpfs, c.then}}, Options{New: own})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		first, makes := -1, 0
		for i, l := range lines {
			if l == "mounts[0]: mount tree=descriptor:1 type=tmpfs target=/t keepmode" {
				first = i
			}
			if l == "mounts[0]: remount tree=descriptor:1 target=/t set=ro" && i > first+1 {
				makes++
			}
		}
		if first < 0 || !strings.Contains(lines[first+1], c.want) || (makes == 1) != c.last {
			t.Errorf("%s: not %q after it in\n%s", name, c.want, p.Text())
		}
	}
}
