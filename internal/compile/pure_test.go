package compile

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"davit/internal/config"
	"davit/internal/config/specjson"
	"davit/internal/host"
	"davit/internal/jsonx"
	"davit/internal/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// asJSON returns a config as davit writes it. That has all properties that davit reads.
func asJSON(s *specs.Spec) string {
	var e jsonx.Encoder
	specjson.EncodeSpec(&e, s)
	return string(e.Bytes())
}

// all has every option that adds something to a config.
var all = Options{ID: "c1", Bundle: "/bundle", StateDir: "/run/davit/c1", ConsoleSocket: "/run/console.sock", Notify: true, ListenFDs: 2, ListenNames: "a:b",
	Receiver: "/run/receiver.sock", PreserveFDs: 2}

// Compile does not change the config that it gets, even if slices in it have spare capacity.
func TestConfigIsNotChanged(t *testing.T) {
	for name, given := range map[string]*specs.Spec{
		"default": config.Default(), "rootless": rootless(), "pod": podContainer(), "user namespace": userNamespaced(), "everything": everything(),
		"notifying": notifying(), "raw filter": rawFiltered(), "without a process": withoutProcess(), "without linux": {Version: specs.Version, Root: &specs.Root{Path: "rootfs"}, Process: noTerminal().Process},
	} {
		roomBehind := []string{}
		if given.Process != nil {
			given.Process.Env = slices.Grow(given.Process.Env, 8)
			roomBehind = given.Process.Env[len(given.Process.Env) : len(given.Process.Env)+4]
		}
		before := asJSON(given)
		facts := host.Fixed(root2)
		if name == "rootless" {
			facts = host.Fixed(user2)
		}
		c, err := New(given, all, facts)
		if err == nil {
			err = c.Compile(cgroup2, nil)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := NewExec(given, ExecOptions{Process: noTerminal().Process, ListenFDs: 1, Receiver: "/run/receiver.sock", Pid: 7, Namespaces: unix.CLONE_NEWNS}, facts); err != nil {
			t.Errorf("%s: exec: %v", name, err)
		}
		if after := asJSON(given); after != before {
			t.Errorf("%s: the config was\n%s\nand is\n%s", name, before, after)
		}
		if strings.Join(roomBehind, "") != "" {
			t.Errorf("%s: %q was written behind the config's environment", name, roomBehind)
		}
	}
}

// What the options add is in the copy of the config, or in the plan.
func TestOptionsAreAdded(t *testing.T) {
	c, err := New(notifying(), all, host.Fixed(root2))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Compile(cgroup2, nil); err != nil {
		t.Fatal(err)
	}
	if l := c.Config.Linux.Seccomp.ListenerPath; l != "/run/receiver.sock" {
		t.Errorf("the socket for notifications is %q", l)
	}
	for _, want := range []string{"NOTIFY_SOCKET=/run/notify/notify.sock", "LISTEN_PID=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b"} {
		if !slices.Contains(c.Config.Process.Env, want) {
			t.Errorf("no %s in %q", want, c.Config.Process.Env)
		}
	}
	rules := c.Config.Linux.Resources.Devices
	if len(rules) < 2 || rules[len(rules)-1].Major == nil || *rules[len(rules)-1].Major != 10 {
		t.Errorf("the rules for devices are %v", rules)
	}
	text := c.Plan.Text()
	if !strings.Contains(text, "/run/davit/c1/notify") || !strings.Contains(text, "target=/run/notify ") {
		t.Errorf("no directory for NOTIFY_SOCKET in\n%s", text)
	}
}

// The parent opens the directory of the NOTIFY_SOCKET once it exists, because the stage cannot. If
// the config mounts the same source elsewhere, that mount is treated like any other.
func TestNotifyDirectory(t *testing.T) {
	s := userNamespaced()
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/run/davit/c1/notify", Options: []string{"bind"}})
	c, err := New(s, all, host.Fixed(root2))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Compile(cgroup2, nil); err != nil {
		t.Fatal(err)
	}
	var kinds []plan.Kind
	for _, d := range c.Plan.Descriptors {
		if d.Path == "/run/davit/c1/notify" {
			kinds = append(kinds, d.Kind)
		}
	}
	if !slices.Equal(kinds, []plan.Kind{plan.Tree, plan.StateTree}) {
		t.Errorf("it is opened as %v in\n%s", kinds, c.Plan.Text())
	}
}

// If the host lacks something that a config asks for, that is a warning, or an error that names the
// field.
func TestWhatTheHostLacks(t *testing.T) {
	s := noTerminal()
	s.Linux.MountLabel = "system_u:object_r:x:s0"
	few := root2
	few.Caps = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_KILL
	c, err := New(s, all, host.Fixed(few))
	if err == nil {
		err = c.Compile(cgroup2, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, w := range c.Warnings {
		texts = append(texts, w.Error())
	}
	for _, want := range []string{"linux.mountLabel: \"system_u:object_r:x:s0\" is ignored", "process.capabilities: davit cannot grant CAP_NET_BIND_SERVICE"} {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(text, want) }) {
			t.Errorf("no warning %q in %q", want, texts)
		}
	}
	for _, c := range []struct {
		feature *host.Feature
		change  func(*specs.Spec)
		want    string
	}{
		{host.TimeNamespace, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		}, "linux.namespaces[6]: time namespaces: "},
		{host.IDMappedMounts, func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/d", Type: "bind", Source: "/s", Options: []string{"idmap=uids=0-0-1;gids=0-0-1"}})
		}, "mounts[7]: idmapped mounts: "},
		{host.SeccompNotify, func(s *specs.Spec) { s.Linux.Seccomp = notifying().Linux.Seccomp }, "linux.seccomp.listenerPath: notification by seccomp: "},
		{host.WeightedInterleaving, func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolWeightedInterleave, Nodes: "0"}
		}, "linux.memoryPolicy.mode: weighted interleaving of memory: "},
	} {
		s, without := noTerminal(), root2
		c.change(s)
		if _, err := New(s, all, host.Fixed(without)); err != nil {
			t.Errorf("a host that has all of it: %v", err)
		}
		without.Without = host.Set(c.feature)
		if _, err := New(s, all, host.Fixed(without)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("without %s: %v, not %q", c.feature.Call, err, c.want)
		}
	}
}

// The packages that decide make no system calls, neither through package os nor through functions
// of package unix.
func TestDecidesWithoutTheSystem(t *testing.T) {
	pure := []string{"Major", "Minor", "Mkdev", "Errno"} // allowed in package unix, besides constants
	for _, dir := range []string{".", "../process", "../../rootfs", "../plan", "../fault"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, bytes.NewReader(text), 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range file.Imports {
				switch i.Path.Value {
				case `"os"`, `"os/exec"`, `"syscall"`, `"net"`, `"log"`, `"davit/internal/sys"`, `"davit/internal/memfd"`:
					t.Errorf("%s imports %s", path, i.Path.Value)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is {
					return true
				}
				f, is := call.Fun.(*ast.SelectorExpr)
				if !is {
					return true
				}
				switch x, _ := f.X.(*ast.Ident); {
				case x == nil:
				case x.Name == "unix" && !slices.Contains(pure, f.Sel.Name):
					t.Errorf("%s calls unix.%s", path, f.Sel.Name)
				case x.Name == "fmt" && strings.HasPrefix(f.Sel.Name, "Print"):
					t.Errorf("%s prints", path)
				}
				return true
			})
		}
	}
}

func notifying() *specs.Spec {
	s := noTerminal()
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mknod"}, Action: specs.ActNotify}}}
	return s
}

func rawFiltered() *specs.Spec {
	s := noTerminal()
	s.Annotations = map[string]string{config.AnnotationBPF: "BgAAAAAA/38="}
	return s
}

func withoutProcess() *specs.Spec {
	s := noTerminal()
	s.Process = nil
	return s
}
