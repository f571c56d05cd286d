package compile

import (
	"flag"
	"os"
	"path/filepath"

	"testing"

	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/host"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the plans as they are now to internal/compile/testdata")

// These are facts of some hosts. None of them is the host on which the test runs.
var (
	root2 = host.Known{Kernel: host.Version{Major: 6, Minor: 12}, Caps: 1<<41 - 1, InitialUserNS: true, Cgroup: host.Unified}
	// On this host the stage enters a namespace of the root filesystem.
	root2new = host.Known{Kernel: host.Version{Major: 7, Minor: 2}, Caps: 1<<41 - 1, InitialUserNS: true, Cgroup: host.Unified}
	root1    = host.Known{Kernel: host.Version{Major: 6, Minor: 12}, Caps: 1<<41 - 1, InitialUserNS: true, Cgroup: host.Hybrid}
	// An engine has made a network namespace on this host, for a user namespace that somebody else
	// has made.
	foreign2 = host.Known{Kernel: host.Version{Major: 6, Minor: 12}, Caps: 1<<41 - 1, InitialUserNS: true, Cgroup: host.Unified, Foreign: []string{"/run/netns/x"}}
	// Here davit is root of a user namespace, as in rootless Podman or in a container.
	inside2 = host.Known{Kernel: host.Version{Major: 6, Minor: 12}, Caps: 1<<41 - 1, Cgroup: host.Unified}
	user2   = host.Known{Kernel: host.Version{Major: 6, Minor: 12}, UID: 1000, InitialUserNS: true, Cgroup: host.Unified}
)

var (
	cgroup2 = cgroups.State{Driver: cgroups.Cgroupfs, Mode: cgroups.Unified, Dirs: map[string]string{"": "/sys/fs/cgroup/c1"}}
	cgroup1 = cgroups.State{Driver: cgroups.Cgroupfs, Mode: cgroups.Hybrid, Dirs: map[string]string{
		"": "/sys/fs/cgroup/unified/c1", "memory": "/sys/fs/cgroup/memory/c1", "name=systemd": "/sys/fs/cgroup/systemd/c1",
		"cpu": "/sys/fs/cgroup/cpu,cpuacct/c1", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/c1",
	}}
	noCgroup = cgroups.State{Rootless: true}
)

// TestGoldenPlans compares the plans of some configs on some hosts with internal/compile/testdata,
// as text and as JSON. It needs no root. `davit explain` prints both forms.
func TestGoldenPlans(t *testing.T) {
	create := Options{StateDir: "/run/davit/c1", ID: "c1", Bundle: "/bundle", ConsoleSocket: "/run/console.sock"}
	for _, g := range []struct {
		name   string
		config func() *specs.Spec
		facts  host.Known
		cgroup cgroups.State
		change func(*Options)
	}{
		{name: "default", config: config.Default, facts: root2, cgroup: cgroup2},
		{name: "default-v1", config: config.Default, facts: root1, cgroup: cgroup1},
		{name: "default-run", config: noTerminal, facts: root2, cgroup: cgroup2, change: func(o *Options) { o.Run, o.NoPivot, o.NoNewKeyring, o.PreserveFDs = true, true, true, 2 }},
		{name: "default-enter", config: config.Default, facts: root2new, cgroup: cgroup2},
		{name: "pod-container-enter", config: podContainer, facts: root2new, cgroup: cgroup2},
		{name: "user-namespace-enter", config: userNamespaced, facts: root2new, cgroup: cgroup2},
		{name: "rootless", config: rootless, facts: user2, cgroup: noCgroup},
		{name: "pod-container", config: podContainer, facts: root2, cgroup: cgroup2},
		{name: "pod-container-v1", config: podContainer, facts: root1, cgroup: cgroup1},
		{name: "user-namespace", config: userNamespaced, facts: root2, cgroup: cgroup2},
		{name: "joined", config: joined, facts: root2, cgroup: cgroup2},
		{name: "joined-foreign", config: joined, facts: foreign2, cgroup: cgroup2},
		{name: "inside", config: noTerminal, facts: inside2, cgroup: cgroup2},
		{name: "inside-user-namespace", config: userNamespaced, facts: inside2, cgroup: cgroup2},
		{name: "everything", config: everything, facts: root2, cgroup: cgroup2},
	} {
		t.Run(g.name, func(t *testing.T) {
			o := create
			if g.change != nil {
				g.change(&o)
			}
			c, err := New(g.config(), o, host.Fixed(g.facts))
			if err != nil {
				t.Fatal(err)
			}
			m := cgroups.Open(g.cgroup)
			if err := c.Compile(g.cgroup, m.Hierarchies()); err != nil {
				t.Fatal(err)
			}
			if err := DescribeFilter(c.Plan, g.config()); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, g.name, c.Plan)
		})
	}
}

// Invariant 5: a process that joins namespaces, where others may wait for it, is never dumpable.
// Only the mappings of a new user namespace need that.
func TestJoinedIsNotDumpable(t *testing.T) {
	notDumpable(t, joined(), Options{ID: "c1", Bundle: "/bundle", ConsoleSocket: "/run/console.sock"}, user2)
}

// The same holds for a container that root of a user namespace makes there. That user has other
// processes in the namespace, and owns what they make.
func TestNestedIsNotDumpable(t *testing.T) {
	notDumpable(t, userNamespaced(), Options{ID: "c1", Bundle: "/bundle", ConsoleSocket: "/run/console.sock"}, inside2)
}

func notDumpable(t *testing.T, s *specs.Spec, o Options, facts host.Known) {
	t.Helper()
	c, err := New(s, o, host.Fixed(facts))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Compile(noCgroup, nil); err != nil {
		t.Fatal(err)
	}
	i := c.Plan.ForkStep()
	if i < 0 || c.Plan.Steps[i].Step.(plan.Fork).Mappable {
		t.Errorf("step %d of\n%s", i, c.Plan.Text())
	}
}

// TestGoldenExec does the same for processes that join a container.
func TestGoldenExec(t *testing.T) {
	score := 500
	for _, g := range []struct {
		name       string
		namespaces uint64
		process    *specs.Process
		cgroup     cgroups.State
	}{
		{"exec", unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS, &specs.Process{Args: []string{"/bin/sh"}, Cwd: "/"}, cgroup2},
		{"exec-v1-terminal", unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER, &specs.Process{
			Terminal: true, ConsoleSize: &specs.Box{Height: 24, Width: 80}, Args: []string{"top"}, Cwd: "/tmp", Env: []string{"PATH=/bin:/usr/bin", "HOME=/x"},
			User: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}}, OOMScoreAdj: &score, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}},
		}, cgroup1},
	} {
		t.Run(g.name, func(t *testing.T) {
			e, err := NewExec(noTerminal(), ExecOptions{Process: g.process, ConsoleSocket: "/run/console.sock", ID: "c1", Bundle: "/bundle", Namespaces: g.namespaces, Cgroup: g.cgroup}, host.Fixed(root2))
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, g.name, e.Plan)
		})
	}
}

func compareGolden(t *testing.T, name string, p *plan.Plan) {
	t.Helper()
	if _, err := p.Encode(); err != nil {
		t.Error(err)
	}
	for ext, have := range map[string]string{".txt": p.Text(), ".json": string(p.JSON())} {
		file := filepath.Join("testdata", name+ext)
		if *update {
			if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if have != string(want) {
			t.Errorf("the plan is not that of %s (go test ./internal/compile -run Golden -update, and look at the difference):\n%s", file, have)
		}
	}
}

func noTerminal() *specs.Spec {
	s := config.Default()
	s.Process.Terminal = false
	return s
}

func rootless() *specs.Spec {
	s := noTerminal()
	config.Rootless(s, 1000, 1000)
	return s
}

func userNamespaced() *specs.Spec {
	s := noTerminal()
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = maps, maps
	s.Process.User = specs.User{UID: 1000, GID: 1000}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: "/srv/data", Options: []string{"rbind", "idmap"}})
	return s
}

func joined() *specs.Spec {
	s := noTerminal()
	s.Linux.Namespaces = []specs.LinuxNamespace{
		{Type: specs.PIDNamespace, Path: "/proc/1234/ns/pid"}, {Type: specs.UserNamespace, Path: "/proc/1234/ns/user"},
		{Type: specs.NetworkNamespace, Path: "/run/netns/x"}, {Type: specs.MountNamespace}, {Type: specs.UTSNamespace},
	}
	return s
}

// podContainer returns the config that containerd's CRI plugin makes for an ordinary container of a
// Kubernetes pod.
func podContainer() *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_KILL"}
	score := 999
	rw := "rw"
	s := config.Default()
	s.Hostname = ""
	s.Process = &specs.Process{
		User: specs.User{UID: 1000, GID: 3000, AdditionalGids: []uint32{2000, 3000}}, Args: []string{"nginx", "-g", "daemon off;"},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=web-0"}, Cwd: "/srv", OOMScoreAdj: &score,
		Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
	}
	s.Root = &specs.Root{Path: "rootfs"}
	s.Annotations = map[string]string{"io.kubernetes.cri.container-type": "container"}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: "/var/lib/kubelet/pods/1/etc-hosts", Options: []string{"rbind", "rprivate", rw}},
		specs.Mount{Destination: "/etc/resolv.conf", Type: "bind", Source: "/var/lib/containerd/sandboxes/1/resolv.conf", Options: []string{"rbind", "rprivate", rw}},
		specs.Mount{Destination: "/var/run/secrets", Type: "bind", Source: "/var/lib/kubelet/pods/1/volumes/token", Options: []string{"rbind", "rprivate", "ro"}},
	)
	s.Linux.Namespaces = []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
		{Type: specs.IPCNamespace, Path: "/proc/77/ns/ipc"}, {Type: specs.UTSNamespace, Path: "/proc/77/ns/uts"},
		{Type: specs.NetworkNamespace, Path: "/var/run/netns/cni-1"},
	}
	s.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"read", "write", "exit_group", "execve", "capset"}, Action: specs.ActAllow}},
	}
	return s
}

// everything returns a config with the fields that the other configs lack.
func everything() *specs.Spec {
	s := noTerminal()
	mode := os.FileMode(0o600)
	id, timeout, umask := uint32(7), 5, uint32(0o27)
	s.Domainname = "example.org"
	s.Process.Cwd = "/work"
	s.Process.User.Umask = &umask
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 3}
	s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 4}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/cache", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "size=1m", "noexec", "rslave"}},
		specs.Mount{Destination: "/ro", Type: "bind", Source: "beside", Options: []string{"rbind", "rro", "rnosuid"}},
		specs.Mount{Destination: "/ro", Options: []string{"remount", "bind", "noexec"}, Source: "x", Type: "none"},
	)
	s.Hooks = &specs.Hooks{
		CreateRuntime:   []specs.Hook{{Path: "/bin/runtime"}},
		CreateContainer: []specs.Hook{{Path: "/bin/container", Args: []string{"container", "x"}, Env: []string{"A=b"}, Timeout: &timeout}},
		StartContainer:  []specs.Hook{{Path: "/bin/start"}},
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 3}}
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: &id, GID: &id}, {Path: "/dev/pipe", Type: "p"}}
	s.Linux.RootfsPropagation = "shared"
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	return s
}
