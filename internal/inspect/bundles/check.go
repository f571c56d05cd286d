// Package bundles reports what is wrong with a bundle, and whether this host can run it.
package bundles

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"davit/internal/compile"
	"davit/internal/config"
	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/host"
	"davit/internal/jsonx"
	"davit/internal/launch"
	"davit/internal/log"
	"davit/internal/plan"
	"davit/internal/seccomp"
	"davit/internal/store"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Finding is a problem that keeps this host from running a bundle, or a warning.
type Finding struct {
	Warning bool // the bundle can be run all the same
	Field   string
	Message string
	Hint    string
}

// examination collects the findings about one bundle.
type examination struct {
	options  compile.Options
	store    store.Store
	log      log.Logger
	facts    *host.Facts
	spec     *specs.Spec
	findings []Finding
}

// Check reports everything that is wrong with a bundle, and whether this host can run it. raw is
// its config.json, given the result of decoding that, and err the reason if decoding failed. Check
// makes nothing. It goes through the steps of create up to the first one that would make something,
// so that the two agree. If some parts of a config have errors, it checks the others.
func Check(st store.Store, lg log.Logger, o compile.Options, raw []byte, given *specs.Spec, err error) []Finding {
	e := &examination{options: o, store: st, log: lg, facts: host.Host()}
	for _, n := range config.Notes(raw) {
		e.findings = append(e.findings, Finding{Warning: true, Field: n.Path, Message: n.Message, Hint: n.Hint})
	}
	if err != nil {
		field := "config.json"
		var at *jsonx.Error                    // it names the place in the file itself
		if errors.As(err, &at) || raw == nil { // without a file, the error names its path or that of the bundle
			field = ""
		}
		e.fail(field, err)
		e.incomplete("nothing else of it was looked at: davit cannot read on after that")
		return e.findings
	}
	e.spec = given
	options := config.Options{Start: true, Rootless: e.facts.UID() != 0, SystemdCgroup: o.SystemdCgroup}
	problems, warnings := config.Check(given, options)
	for _, p := range problems {
		e.findings = append(e.findings, Finding{Field: p.Field, Message: p.Message(), Hint: p.Hint})
	}
	for _, p := range warnings {
		e.findings = append(e.findings, Finding{Warning: true, Field: p.Field, Message: p.Message(), Hint: p.Hint})
	}
	if err := e.facts.Supported(); err != nil {
		e.fail("", err)
	}
	e.features()
	e.host()
	if len(problems) > 0 {
		return e.rest(options)
	}
	e.compile()
	return e.findings
}

// rest checks whether this host can run the correct parts of a config that has errors, and says
// which parts it left out.
func (e *examination) rest(options config.Options) []Finding {
	sound, left := config.Sound(e.spec, options)
	if sound == nil {
		e.incomplete("whether this host can run the rest (cgroups, namespaces, sources of mounts, the filter) was not looked at, because of the errors above")
		return e.findings
	}
	known := len(e.findings)
	e.spec = sound
	e.compile()
	// Parts that replace the left out ones do not come from the config.
	e.findings = append(e.findings[:known], slices.DeleteFunc(e.findings[known:], func(f Finding) bool {
		return slices.ContainsFunc(left, func(part string) bool { return strings.HasPrefix(f.Field, part) })
	})...)
	e.incomplete("whether this host can run " + strings.Join(left, ", ") + " was not looked at, because of the errors above")
	return e.findings
}

// incomplete reports which parts Check has left out.
func (e *examination) incomplete(text string) {
	e.findings = append(e.findings, Finding{Warning: true, Message: text, Hint: "fix what is wrong, and check again"})
}

// fail adds an error. If the error does not name a field itself, it is about the given one.
func (e *examination) fail(field string, err error) {
	e.add(field, fault.Of(err))
}

// failAll adds each of the errors that err may contain.
func (e *examination) failAll(err error) {
	for _, one := range fault.All(err) {
		e.add("", one)
	}
}

func (e *examination) add(field string, err *fault.Error) {
	f := Finding{Field: field, Message: err.Error(), Hint: diagnose.Hint(err)}
	if err.Field != "" {
		f.Field, f.Message = err.Field, err.Message()
	}
	if !slices.Contains(e.findings, f) {
		e.findings = append(e.findings, f)
	}
}

func (e *examination) warn(field, format string, args ...any) {
	e.findings = append(e.findings, Finding{Warning: true, Field: field, Message: fmt.Sprintf(format, args...)})
}

// compile does what create does before it makes anything. It goes on after the first error where it
// can.
func (e *examination) compile() {
	if e.spec.Process != nil && e.spec.Process.Terminal && e.options.ConsoleSocket == "" {
		e.options.ConsoleSocket = "/dev/null" // a stand-in for the socket that the caller of create passes
	}
	c := e.compileSome()
	if c == nil {
		return
	}
	defer c.Cgroups.Close()
	for _, w := range c.Warnings {
		if !slices.ContainsFunc(e.findings, func(f Finding) bool { return f.Field == w.Field && f.Message == w.Message() }) {
			e.findings = append(e.findings, Finding{Warning: true, Field: w.Field, Message: w.Message(), Hint: w.Hint})
		}
	}
	if err := c.FillFilter("", e.log); err != nil { // "": the filter is not kept in the cache
		e.fail("", err)
	}
	for _, step := range c.Plan.Steps {
		if f, is := step.Step.(plan.Seccomp); is && len(f.Program) > 0 && seccomp.Of(f.Program, unix.SYS_EXIT_GROUP).Refused() {
			e.warn("linux.seccomp", "forbids exit_group: a program can only end by a signal")
		}
	}
	for _, entry := range c.Plan.Steps {
		switch s := entry.Step.(type) {
		case plan.Root:
			if s.Tree == plan.NoFD {
				e.source(entry.Field, s.Path, false)
			}
		case plan.Enter:
			e.source(entry.Field, s.Path, false)
		case plan.Source:
			if strings.HasPrefix(entry.Field, "mounts[") && strings.HasSuffix(entry.Field, ".source") {
				e.source(entry.Field, s.Path, s.Link)
			}
		}
	}
	maps := launch.Idmaps{}
	defer maps.Close()
	for i := range c.Plan.Descriptors {
		if err := tryOpen(c, &c.Plan.Descriptors[i], maps); err != nil {
			e.fail(c.Plan.Descriptors[i].Field, err)
		}
	}
}

// compileSome compiles the config without the parts that this host cannot provide, after it has
// reported each of them. It returns nil if the errors do not tell which parts these are.
func (e *examination) compileSome() *launch.Prepared {
	for range 8 {
		c, err := launch.Prepare(e.store, e.spec, e.options, e.facts)
		if err == nil {
			return c
		}
		e.failAll(err)
		for _, one := range fault.All(err) {
			var part string
			if e.spec, part = config.Without(e.spec, one.Field); part == "" {
				return nil
			}
		}
	}
	return nil
}

// source looks for a source that the stage would copy.
func (e *examination) source(field, path string, link bool) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if link {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := launch.Named("open_tree", path)(unix.Open(path, flags, 0))
	if err != nil {
		d := plan.Descriptor{Kind: plan.Tree, Field: field}
		e.fail(field, launch.OpenFailed(&d, err, diagnose.HintOpen(&d, err)))
		return
	}
	unix.Close(fd)
}

// tryOpen does for one descriptor what create does before it makes anything, but it does not
// disturb the listener of a socket.
func tryOpen(c *launch.Prepared, d *plan.Descriptor, maps launch.Idmaps) error {
	joined := -1
	if d.Namespace != plan.NoFD {
		ns := &c.Plan.Descriptors[d.Namespace-1]
		var err error
		if joined, err = launch.OpenNamespace(ns.Path, ns.Flags); err != nil {
			return nil // it is reported when its own turn comes
		}
		defer unix.Close(joined)
	}
	switch d.Kind {
	case plan.Instance:
		fd, err := launch.OpenInstance(d, joined)
		if err == nil {
			unix.Close(fd)
		}
		return err
	case plan.Tree, plan.TreeRecursive, plan.Path, plan.Namespace, plan.Proc:
		fd, err := launch.OpenMapped(d, joined, nil, maps)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return c.SpareOwn(d, fd)
	case plan.Connect:
		if d.Field == "option ConsoleSocket" { // only create knows it
			return nil
		}
		if err := hasListener(d.Path); err != nil {
			return launch.OpenFailed(d, err, diagnose.HintOpen(d, err))
		}
	}
	return nil
}

// hasListener asks the kernel with a connection of the wrong type. The kernel looks up the socket
// and whether it is bound, before it refuses that type. The listener does not notice.
func hasListener(path string) error {
	fd, err := launch.Connect(path, unix.SOCK_DGRAM)
	switch {
	case errors.Is(err, unix.EPROTOTYPE):
		return nil
	case err != nil:
		return err
	}
	unix.Close(fd)
	return fmt.Errorf("connect to %s: %w", path, unix.EPROTOTYPE) // the error that a stream socket would get there
}

// features checks that the kernel has the features that the config needs.
func (e *examination) features() {
	for _, n := range compile.Needs(e.spec) {
		if err := e.facts.Have(n.Feature); err != nil {
			e.fail(n.Field, err)
		}
	}
	for _, f := range [...]*host.Feature{host.OpenTree, host.Pidfd, host.Openat2, host.CloseRange, host.MountSetattr} { // features that every container needs
		if err := e.facts.Have(f); err != nil {
			e.fail("", err)
		}
	}
}

// host looks for other things of the host that the config names.
func (e *examination) host() {
	s := e.spec
	if h := s.Hooks; h != nil {
		for _, list := range [...]struct {
			kind  string
			hooks []specs.Hook
		}{
			{"prestart", h.Prestart}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer}, //nolint:staticcheck // deprecated, but used
			{"poststart", h.Poststart}, {"poststop", h.Poststop},
		} {
			for i := range list.hooks {
				if err := unix.Access(list.hooks[i].Path, unix.X_OK); err != nil {
					e.fail("", fmt.Errorf("hooks.%s[%d].path: %s: %w", list.kind, i, list.hooks[i].Path, err))
				}
			}
		}
	}
	known, _ := os.ReadFile("/proc/filesystems")
	for i, m := range s.Mounts {
		if t := m.Type; t != "" && t != "bind" && t != "none" && t != "cgroup2" && !strings.Contains(string(known), "\t"+t+"\n") && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			e.warn(fmt.Sprintf("mounts[%d].type", i), "the kernel does not know the file system %q yet: it may have a module for it", t)
		}
	}
	if s.Linux != nil && len(s.Linux.NetDevices) > 0 {
		devices, _ := os.ReadFile("/proc/net/dev")
		for name := range s.Linux.NetDevices {
			if !strings.Contains(string(devices), " "+name+":") && !strings.Contains(string(devices), "\n"+name+":") {
				e.fail("", fmt.Errorf("linux.netDevices.%s: no such device in the network namespace that davit runs in", name))
			}
		}
	}
	if s.Process != nil {
		e.limits(s.Process)
		e.program(s.Process)
	}
}

// limits reports limits that only a privileged davit could raise.
func (e *examination) limits(p *specs.Process) {
	if e.facts.Caps()&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return
	}
	for i, r := range p.Rlimits {
		var have unix.Rlimit
		n, _ := config.Rlimit(r.Type)
		if err := unix.Getrlimit(int(n), &have); err == nil && r.Hard > have.Max {
			e.fail("", fault.WithHint(fault.At(fmt.Sprintf("process.rlimits[%d].hard", i), "%d is above davit's own limit, %d", r.Hard, have.Max), "raising it needs CAP_SYS_RESOURCE"))
		}
	}
}
