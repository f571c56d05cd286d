package process

import (
	"strings"
	"testing"

	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Each case of TestProcessSteps tests some of a process's steps, in the order in which the stage
// does them.
func TestProcessSteps(t *testing.T) {
	mask := uint32(0o77)
	caps := &specs.LinuxCapabilities{Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}, Bounding: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"}}
	filter := &Filter{}
	for _, c := range []struct {
		name string
		p    specs.Process
		o    Options
		want []string // in this order; other steps may be in between
		not  []string // must not occur
	}{
		{"in order", specs.Process{Args: []string{"/a"}, Cwd: "/w", User: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}, Umask: &mask}}, Options{Grantable: ^uint64(0), Wait: true},
			[]string{"setsid", "stdio owner uid=5", "umask mask=077", "chdir path=/w uid=5 gid=6 create", "bounding", "user uid=5 gid=6 groups=[7]", "capabilities",
				"program name=/a paths=[/a]", "ready", "wait start", "exec args=[/a]"}, []string{"console", "seccomp", "no new privileges"}},
		{"a filter keeps CAP_SYS_ADMIN until it is loaded", specs.Process{Args: []string{"a"}, Cwd: "/", Capabilities: caps}, Options{Grantable: ^uint64(0), Filter: filter},
			[]string{"capabilities effective=0x200020 permitted=0x200020", "seccomp", "capabilities effective=0x20 permitted=0x20", "exec"}, nil},
		{"no new privileges needs none for it", specs.Process{Args: []string{"a"}, Cwd: "/", Capabilities: caps, NoNewPrivileges: true}, Options{Grantable: ^uint64(0), Filter: filter},
			[]string{"no new privileges", "capabilities effective=0x20 permitted=0x20", "seccomp", "exec"}, []string{"0x200020"}},
		{"what cannot be granted is left out", specs.Process{Args: []string{"a"}, Cwd: "/", Capabilities: caps}, Options{}, []string{"capabilities effective=none permitted=none"}, []string{"effective=0x20"}},
		{"setgroups is denied", specs.Process{Args: []string{"a"}, Cwd: "/"}, Options{KeepGroups: true}, []string{"user uid=0 gid=0 keepgroups"}, nil},
		{"a terminal of exec", specs.Process{Args: []string{"a"}, Cwd: "/", Terminal: true, ConsoleSize: &specs.Box{Height: 2, Width: 3}}, Options{Exec: true, Console: 1},
			[]string{"setsid", "console socket=descriptor:1 rows=2 cols=3", "chdir path=/"}, []string{"stdio owner", "create"}},
		{"the limit of files that was lifted is put back", specs.Process{Args: []string{"a"}, Cwd: "/"}, Options{NoFileLifted: true}, []string{"user ", "restore"}, nil},
		{"unless the config sets one", specs.Process{Args: []string{"a"}, Cwd: "/", Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}}}, Options{NoFileLifted: true},
			[]string{"rlimit name=RLIMIT_NOFILE resource=7 soft=1 hard=2"}, []string{"restore"}},
		{"a program is looked for in PATH", specs.Process{Args: []string{"a"}, Cwd: "/", Env: []string{"PATH=/x:rel:/y/"}}, Options{Home: "/h"},
			[]string{"program name=a paths=[/x/a /y/a]", "exec args=[a] env=[PATH=/x:rel:/y/ HOME=/h]"}, nil},
	} {
		p := &plan.Plan{}
		if err := Compile(p, &c.p, c.o); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		text := ""
		for _, e := range p.Steps {
			text += strings.TrimSpace(plan.OpOf(e.Step).String()+" "+plan.Arguments(e.Step)) + "\n"
		}
		rest := "\n" + text
		for _, want := range c.want {
			_, after, found := strings.Cut(rest, "\n"+want)
			if !found {
				t.Errorf("%s: no %q where it should be in\n%s", c.name, want, text)
				break
			}
			rest = after
		}
		for _, not := range c.not {
			if strings.Contains(text, not) {
				t.Errorf("%s: %q in\n%s", c.name, not, text)
			}
		}
	}
}

// If this host or this namespace cannot give what a field asks for, that is an error of the field.
func TestRefusedProcesses(t *testing.T) {
	for _, c := range []struct {
		p    specs.Process
		o    Options
		want string
	}{
		{specs.Process{SelinuxLabel: "l"}, Options{}, `process.selinuxLabel: "l": SELinux is not enabled`},
		{specs.Process{ApparmorProfile: "p"}, Options{}, `process.apparmorProfile: "p": AppArmor is not enabled`},
		{specs.Process{User: specs.User{AdditionalGids: []uint32{1}}}, Options{KeepGroups: true}, "process.user.additionalGids: setgroups(2) is denied"},
		{specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_X"}}}, Options{}, `process.rlimits[0].type: unknown limit "RLIMIT_X"`},
		{specs.Process{Args: []string{"a"}, Env: []string{"PATH=rel"}}, Options{}, `process.args[0]: exec: "a": executable file not found in $PATH`},
	} {
		if err := Compile(&plan.Plan{}, &c.p, c.o); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, not %q", err, c.want)
		}
	}
}
