// Package process turns what config.json says about the container process into
// steps: session, limits, scheduling, labels, user, capabilities, and in the
// end the exec. It only decides; see package plan.
package process

import (
	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/plan"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter is a seccomp filter, as far as it is known before it is compiled.
type Filter struct {
	Program []byte // of a Raw one; else it is filled in once the plan is made
	Flags   uint32
	Notify  bool
	// Raw: it comes from an annotation, not from linux.seccomp.
	Raw bool
	// Connect returns a new connection for each notification descriptor, if Notify.
	Connect func() plan.FD
	State   string // what is sent with the descriptor
}

// step loads the filter, or sets it aside for hooks.
func (f *Filter) step(forHooks bool) plan.Seccomp {
	s := plan.Seccomp{Program: string(f.Program), Flags: uint64(f.Flags), State: f.State, ForHooks: forHooks}
	if f.Notify {
		s.Listener = f.Connect()
	}
	return s
}

// Options is what the steps depend on besides the process object.
type Options struct {
	// Exec: the process joins a running container.
	Exec bool
	// UserNamespace: the container is in another user namespace than davit.
	UserNamespace bool
	// ReadOnlyRoot: root.readonly.
	ReadOnlyRoot bool
	// KeepOwnGroups: the process has the supplementary groups of davit's caller, whatever additionalGids says.
	KeepOwnGroups bool
	// KeepGroups: setgroups(2) is denied (user_namespaces(7)).
	KeepGroups bool
	// AppArmor and SELinux say whether that LSM is on.
	AppArmor, SELinux bool
	// Console receives the terminal's master. (The terminal of a new container
	// is made by package rootfs.)
	Console plan.FD
	// Proc returns the descriptor of the host's procfs.
	Proc func() plan.FD
	// Filter is loaded last.
	Filter *Filter
	// Wait makes the process wait for start, on Socket or for its creator.
	Wait   bool
	Socket plan.FD
	// Hooks are the startContainer hooks, State is what they read.
	Hooks []specs.Hook
	State string
	// NoFileLifted: the plan has lifted the limit of open descriptors.
	NoFileLifted bool
	// Preserve descriptors from 3 on are the process's.
	Preserve uint64
	// Grantable are the capabilities that davit can give; others are left out.
	Grantable uint64
	// Home is the user's home directory, for an environment without HOME.
	Home string
}

// Compile adds the steps from the new root to the exec.
func Compile(p *plan.Plan, s *specs.Process, o Options) error {
	switch {
	case !s.Terminal:
		p.Add("", plan.Setsid{})
	case o.Exec:
		p.Add("", plan.Setsid{})
		c := plan.Console{Socket: o.Console, UID: uint64(s.User.UID)}
		if size := s.ConsoleSize; size != nil {
			c.Rows, c.Cols = uint64(size.Height), uint64(size.Width)
		}
		p.Add("process.terminal", c)
	}
	if !s.Terminal {
		p.Add("process.user.uid", plan.StdioOwner{UID: uint64(s.User.UID), Keep: s.User.UID == 0 && !o.UserNamespace})
	}
	if err := resources(p, s); err != nil {
		return err
	}
	if err := labels(p, s, o); err != nil {
		return err
	}
	if err := identity(p, s, o); err != nil {
		return err
	}
	if len(s.Args) > 0 { // none: a container that cannot be started
		paths, err := Candidates(s)
		if err != nil {
			return err
		}
		p.Add("process.args[0]", plan.Program{Name: s.Args[0], Paths: paths})
	}
	p.Add("", plan.Ready{})
	if o.Wait {
		p.Add("", plan.WaitStart{Socket: o.Socket})
	}
	env := Environment(s.Env, o.Home)
	for i, h := range o.Hooks {
		// Each notification descriptor takes a connection of its own: config-linux.md, "Seccomp".
		if o.Filter != nil && (i == 0 || o.Filter.Notify) {
			p.Add("linux.seccomp", o.Filter.step(true))
		}
		if h.Env == nil { // as with runc and crun
			h.Env = env
		}
		p.Add(fmt.Sprintf("hooks.startContainer[%d]", i), Hook(h, o.State))
	}
	filter(p, s, o)
	p.Add("process.args", plan.Exec{Args: s.Args, Env: env, Preserve: o.Preserve})
	return nil
}

// Hook returns the step that runs a hook inside the container's namespaces.
func Hook(h specs.Hook, state string) plan.Hook {
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	step := plan.Hook{Path: h.Path, Args: args, Env: h.Env, State: state}
	if h.Timeout != nil {
		step.Timeout = uint64(*h.Timeout)
	}
	return step
}

// resources adds limits and scheduling.
func resources(p *plan.Plan, s *specs.Process) error {
	for i, r := range s.Rlimits {
		n, ok := config.Rlimit(r.Type)
		if !ok {
			return fault.At(fmt.Sprintf("process.rlimits[%d].type", i), "unknown limit %q", r.Type)
		}
		p.Add(fmt.Sprintf("process.rlimits[%d]", i), plan.Rlimit{Name: r.Type, Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	if s.Scheduler != nil {
		attr, err := schedAttr(s.Scheduler)
		if err != nil {
			return err
		}
		p.Add("process.scheduler", plan.Scheduler{Attr: attr})
	}
	if s.IOPriority != nil {
		v, err := ioPriority(s.IOPriority)
		if err != nil {
			return err
		}
		p.Add("process.ioPriority", plan.IOPriority{Value: v})
	}
	umask := uint64(0o022)
	if s.User.Umask != nil {
		umask = uint64(*s.User.Umask)
	}
	p.Add("process.user.umask", plan.Umask{Mask: umask})
	return nil
}

func labels(p *plan.Plan, s *specs.Process, o Options) error {
	if s.SelinuxLabel != "" {
		if !o.SELinux {
			return fault.At("process.selinuxLabel", "%q: SELinux is not enabled on this host", s.SelinuxLabel)
		}
		p.Add("process.selinuxLabel", plan.Label{Proc: o.Proc(), File: "thread-self/attr/exec", Text: s.SelinuxLabel})
	}
	if s.ApparmorProfile != "" && s.ApparmorProfile != "unconfined" || s.ApparmorProfile != "" && o.AppArmor {
		if !o.AppArmor {
			return fault.At("process.apparmorProfile", "%q: AppArmor is not enabled on this host", s.ApparmorProfile)
		}
		p.Add("process.apparmorProfile", plan.Label{Proc: o.Proc(), File: "thread-self/attr/apparmor/exec", Text: "exec " + s.ApparmorProfile})
	}
	return nil
}

// identity adds privileges, working directory and user.
func identity(p *plan.Plan, s *specs.Process, o Options) error {
	if s.NoNewPrivileges {
		p.Add("process.noNewPrivileges", plan.NoNewPrivileges{})
	}
	caps, bounding := Capabilities(s.Capabilities, o.Grantable)
	p.Add("process.cwd", plan.Chdir{Path: s.Cwd, UID: uint64(s.User.UID), GID: uint64(s.User.GID), Create: !o.Exec, ReadOnly: o.ReadOnlyRoot})
	p.Add("process.capabilities.bounding", plan.Bounding{Keep: bounding})
	groups := make([]byte, 0, 4*len(s.User.AdditionalGids))
	for _, g := range s.User.AdditionalGids {
		groups = binary.NativeEndian.AppendUint32(groups, g)
	}
	if o.KeepOwnGroups {
		groups = nil
	}
	if o.KeepGroups && len(groups) > 0 {
		return fault.At("process.user.additionalGids", "setgroups(2) is denied in this user namespace: without root, give the user a range in /etc/subgid")
	}
	p.Add("process.user", plan.User{UID: uint64(s.User.UID), GID: uint64(s.User.GID), Groups: string(groups), KeepGroups: o.KeepGroups || o.KeepOwnGroups})
	if o.NoFileLifted && !slices.ContainsFunc(s.Rlimits, func(r specs.POSIXRlimit) bool { return r.Type == "RLIMIT_NOFILE" }) {
		p.Add("", plan.RestoreNoFile{}) // now that User has closed what no later step needs
	}
	if needsAdmin(s, o) {
		// The filter is loaded with CAP_SYS_ADMIN, so that goes after it.
		caps.Effective |= 1 << unix.CAP_SYS_ADMIN
		caps.Permitted |= 1 << unix.CAP_SYS_ADMIN
	}
	p.Add("process.capabilities", caps)
	return nil
}

// Capabilities returns the sets of the config, as far as they are known and in
// grantable; without any, they are empty. Of what is left out, spec.Check and the caller warn.
func Capabilities(c *specs.LinuxCapabilities, grantable uint64) (sets plan.Capabilities, bounding uint64) {
	if c == nil {
		return sets, 0
	}
	bounding = mask(c.Bounding)
	sets.Effective, sets.Permitted = mask(c.Effective)&grantable, mask(c.Permitted)&grantable
	sets.Inheritable = mask(c.Inheritable) & grantable
	sets.Ambient = mask(c.Ambient) & sets.Permitted & sets.Inheritable // the kernel refuses others
	return sets, bounding
}

func needsAdmin(s *specs.Process, o Options) bool { return o.Filter != nil && !s.NoNewPrivileges }

// filter adds the seccomp filter, and what has to come after it.
func filter(p *plan.Plan, s *specs.Process, o Options) {
	f := o.Filter
	if f == nil {
		return
	}
	p.Add("linux.seccomp", f.step(false))
	if !needsAdmin(s, o) {
		return
	}
	caps, _ := Capabilities(s.Capabilities, o.Grantable)
	if admin := uint64(1 << unix.CAP_SYS_ADMIN); caps.Effective&caps.Permitted&admin == 0 {
		caps.Ambient = 0 // raised before, where no filter could object
		p.Add("process.capabilities", caps)
	}
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Candidates returns the paths at which the program may be.
func Candidates(s *specs.Process) ([]string, error) {
	if strings.Contains(s.Args[0], "/") {
		return []string{s.Args[0]}, nil
	}
	search := defaultPath
	for _, e := range s.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	var paths []string
	for dir := range strings.SplitSeq(search, ":") {
		if strings.HasPrefix(dir, "/") { // a relative one would depend on cwd
			paths = append(paths, strings.TrimSuffix(dir, "/")+"/"+s.Args[0])
		}
	}
	if len(paths) == 0 { // in the words that engines match: diagnose.NotFound
		return nil, fmt.Errorf("process.args[0]: exec: %q: executable file not found in $PATH: PATH=%q has no absolute directory", s.Args[0], search)
	}
	return paths, nil
}

// Environment returns the environment with HOME, unless it has one, and with
// one value a name, the last: what a program would make of two is up to its libc.
func Environment(env []string, home string) []string {
	out := make([]string, 0, len(env)+1)
	for i, e := range env {
		if name, _, ok := strings.Cut(e, "="); !ok || !hasName(env[i+1:], name) {
			out = append(out, e)
		}
	}
	if home != "" && !HasHome(out) {
		out = append(slices.DeleteFunc(out, func(e string) bool { return e == "HOME=" }), "HOME="+home)
	}
	return out
}

func hasName(env []string, name string) bool {
	for _, e := range env {
		if len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			return true
		}
	}
	return false
}

// HasHome says whether an environment sets HOME. Of several values the last counts.
func HasHome(env []string) bool {
	for _, e := range slices.Backward(env) {
		if strings.HasPrefix(e, "HOME=") {
			return len(e) > len("HOME=")
		}
	}
	return false
}
