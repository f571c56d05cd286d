// everything is a validation program in the manner of runtime-tools: runtimetest inspects
// containers whose config its generator has made. The suite turns on one feature at a time; this
// config turns on all of them at once.
package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"
	"github.com/opencontainers/runtime-tools/generate/seccomp"
	"github.com/opencontainers/runtime-tools/validation/util"
)

func main() {
	if len(os.Args) < 2 { // a process can show the output of runtimetest only once
		for _, arg := range []string{"root", "user"} {
			cmd := exec.Command(os.Args[0], arg)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Run(); err != nil {
				util.Fatal(err)
			}
		}
		return
	}
	user := os.Args[1] == "user"
	g, err := util.GetDefaultGenerator()
	if err == nil {
		err = turnOn(g, user)
	}
	if err == nil {
		err = util.RuntimeInsideValidate(g, nil, func(bundle string) error { return own(bundle, user) })
	}
	if err != nil {
		util.Fatal(err)
	}
}

func turnOn(g *generate.Generator, user bool) error {
	g.SetHostname("everything")
	g.SetRootReadonly(!user)
	for _, ns := range []string{"cgroup", "ipc", "mount", "network", "pid", "uts"} {
		if err := g.AddOrReplaceLinuxNamespace(ns, ""); err != nil {
			return err
		}
	}
	process(g)
	kernel(g)
	if user { // there the devices, and so their owners, are the host's
		if err := g.AddOrReplaceLinuxNamespace("user", ""); err != nil {
			return err
		}
		g.AddLinuxUIDMapping(100000, 0, 65536)
		g.AddLinuxGIDMapping(100000, 0, 65536)
	} else {
		devices(g)
	}
	mounts(g)
	return nil
}

// own gives the bundle to the container's root, which has to make mount points in it.
func own(bundle string, user bool) error {
	if !user {
		return nil
	}
	return filepath.WalkDir(bundle, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, 100000, 100000)
		}
		return err
	})
}

func process(g *generate.Generator) {
	g.SetProcessUID(10)
	g.SetProcessGID(10)
	g.AddProcessAdditionalGid(5)
	g.AddProcessAdditionalGid(20)
	g.SetProcessCwd("/tmp")
	g.AddProcessEnv("EVERYTHING", "turned on")
	g.SetProcessNoNewPrivileges(true)
	g.SetProcessOOMScoreAdj(500)
	for _, c := range []string{"CAP_CHOWN", "CAP_FOWNER", "CAP_NET_RAW", "CAP_SETUID"} {
		for _, add := range []func(string) error{g.AddProcessCapabilityBounding, g.AddProcessCapabilityEffective,
			g.AddProcessCapabilityInheritable, g.AddProcessCapabilityPermitted, g.AddProcessCapabilityAmbient} {
			if err := add(c); err != nil {
				util.Fatal(err)
			}
		}
	}
	const giga = 1 << 30
	g.AddProcessRlimits("RLIMIT_CORE", 4*giga, 3*giga)
	g.AddProcessRlimits("RLIMIT_FSIZE", 8*giga, 7*giga)
	g.AddProcessRlimits("RLIMIT_CPU", 120, 60)
}

func kernel(g *generate.Generator) {
	g.AddLinuxSysctl("net.ipv4.ip_forward", "1")
	g.AddLinuxSysctl("kernel.msgmax", "9000")
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/sys/firmware", "/masked/dir", "/masked/file"} {
		g.AddLinuxMaskedPaths(path)
	}
	for _, path := range []string{"/proc/bus", "/proc/irq", "/proc/sys"} {
		g.AddLinuxReadonlyPaths(path)
	}
	g.SetDefaultSeccompAction("allow")
	if err := g.SetSyscallAction(seccomp.SyscallOpts{Action: "errno", Syscall: "acct"}); err != nil {
		util.Fatal(err)
	}
}

func devices(g *generate.Generator) {
	mode, id := os.FileMode(0o640), uint32(7)
	g.AddDevice(rspec.LinuxDevice{Path: "/dev/everything", Type: "c", Major: 1, Minor: 5, FileMode: &mode, UID: &id, GID: &id})
	g.AddDevice(rspec.LinuxDevice{Path: "/dev/a/fifo", Type: "p", FileMode: &mode, UID: &id, GID: &id})
	if err := g.SetLinuxRootPropagation("private"); err != nil {
		util.Fatal(err)
	}
}

func mounts(g *generate.Generator) {
	for _, m := range []rspec.Mount{
		{Destination: "/masked", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/mnt/private", Type: "tmpfs", Source: "tmpfs", Options: []string{"nodev", "private"}},
		{Destination: "/mnt/shared", Type: "tmpfs", Source: "tmpfs", Options: []string{"noexec", "shared"}},
		{Destination: "/mnt/slave", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "slave"}},
	} {
		g.AddMount(m)
	}
}
