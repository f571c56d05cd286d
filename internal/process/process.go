// Package process turns what config.json says about the container process into
// steps: session, limits, scheduling, labels, user, capabilities, and in the
// end the exec. It only decides; see package plan.
package process

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"davit/internal/config"
	"davit/internal/fault"
	"davit/internal/plan"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filter describes a seccomp filter before it is compiled.
type Filter struct {
	Program []byte // of a Raw one; else it is filled in once the plan is made
	Flags   uint32
	Notify  bool
	// Raw says that the filter comes from an annotation, not from linux.seccomp.
	Raw bool
	// Connect returns a new connection for each notification descriptor. It is used only if Notify is set.
	Connect func() plan.FD
	State   string // what is sent with the descriptor
}

// step returns the step that loads the filter, or that keeps it for hooks.
func (f *Filter) step(forHooks bool) plan.Seccomp {
	s := plan.Seccomp{Program: string(f.Program), Flags: uint64(f.Flags), State: f.State, ForHooks: forHooks}
	if f.Notify {
		s.Listener = f.Connect()
	}
	return s
}

// Options are what the steps depend on besides the process object of the config.
type Options struct {
	// Exec says that the process joins a running container.
	Exec bool
	// UserNamespace says that the container's user namespace is not davit's.
	UserNamespace bool
	// ReadOnlyRoot is root.readonly of the config.
	ReadOnlyRoot bool
	// KeepOwnGroups says that the process keeps the supplementary groups of davit's caller, whatever additionalGids says.
	KeepOwnGroups bool
	// KeepGroups says that setgroups(2) is denied (user_namespaces(7)), so that the groups stay as they are.
	KeepGroups bool
	// AppArmor and SELinux say whether that LSM is enabled.
	AppArmor, SELinux bool
	// Console is the socket to which the master of the terminal is sent. The terminal of a new container is made by package rootfs.
	Console plan.FD
	// Proc returns the descriptor of the host's procfs.
	Proc func() plan.FD
	// Filter is the seccomp filter, which is loaded last; nil: none.
	Filter *Filter
	// Wait says that the process waits for start: on Socket, or until its creator lets it go.
	Wait   bool
	Socket plan.FD
	// Hooks are the startContainer hooks. State is what they read from stdin.
	Hooks []specs.Hook
	State string
	// NoFileLifted says that the plan has raised RLIMIT_NOFILE.
	NoFileLifted bool
	// Preserve is how many descriptors the process gets, from 3 on.
	Preserve uint64
	// Grantable are the capabilities that davit can give. Others are left out.
	Grantable uint64
	// Home is the user's home directory. It is used if the environment has no HOME.
	Home string
}

// Compile adds the steps that follow after the root filesystem is in place, up to the exec.
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

// resources adds the steps for resource limits and scheduling.
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
			return fault.WithHint(fault.At("process.selinuxLabel", "%q: SELinux is not enabled on this host", s.SelinuxLabel), "remove process.selinuxLabel, or boot the host with SELinux")
		}
		p.Add("process.selinuxLabel", plan.Label{Proc: o.Proc(), File: "thread-self/attr/exec", Text: s.SelinuxLabel})
	}
	if s.ApparmorProfile != "" && s.ApparmorProfile != "unconfined" || s.ApparmorProfile != "" && o.AppArmor {
		if !o.AppArmor {
			return fault.WithHint(fault.At("process.apparmorProfile", "%q: AppArmor is not enabled on this host", s.ApparmorProfile), "remove process.apparmorProfile, or boot the host with AppArmor")
		}
		p.Add("process.apparmorProfile", plan.Label{Proc: o.Proc(), File: "thread-self/attr/apparmor/exec", Text: "exec " + s.ApparmorProfile})
	}
	return nil
}

// identity adds the steps for privileges, working directory and user.
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

// Capabilities returns the capability sets of the config. It leaves out what is unknown or not in grantable; package config and the
// caller warn of that. If the config has no capabilities, all sets are empty.
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

// filter adds the step that loads the seccomp filter, and the steps that must follow it.
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

// Candidates returns the paths at which to look for the program, in this order.
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

// Environment returns the environment with a HOME, and with only the last value of each name. Which of two values a program would see
// depends on its libc.
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

// HasHome reports whether an environment sets HOME. If it sets it several times, the last value counts.
func HasHome(env []string) bool {
	for _, e := range slices.Backward(env) {
		if strings.HasPrefix(e, "HOME=") {
			return len(e) > len("HOME=")
		}
	}
	return false
}
