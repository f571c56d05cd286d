// Seeds writes plans with which the fuzzer of the stage begins: each kind of step, and some steps
// that belong together.
//
//	go run ./tests/fuzz/seeds DIRECTORY
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"davit/internal/plan"
)

var steps = []plan.Step{
	plan.Join{FD: 1, Types: 1 << 29, Name: "container"}, plan.Unshare{Types: 1 << 25}, plan.Fork{Types: 1 << 29, Mappable: true},
	plan.Identity{}, plan.Sync{Phase: plan.Placed}, plan.Keyring{},
	plan.EnterTime{Proc: 1}, plan.Propagation{Flags: 1 << 19}, plan.Source{Tree: 2, Path: "/dev/null", Set: 1}, plan.Filesystem{Tree: 2, Type: "proc", Target: "/proc", Options: []string{"source=proc", "hidepid=2"}, Set: 14}, plan.Root{Tree: 1, Path: "/b/rootfs", Propagation: 1 << 19}, plan.Gather{Tree: 1, From: 2, Path: "/dev"}, plan.Copy{Tree: 2, From: 1, Path: "/null", Same: 2, Recursive: true, Set: 1}, plan.Enter{Path: "/b/rootfs", Propagation: 1 << 19, Back: true},
	plan.Confine{Lift: true},
	plan.Mount{Type: "proc", Source: "proc", Target: "/proc", Flags: 14, NoFollow: true},
	plan.Mount{Tree: 2, Type: "tmpfs", Target: "/tmp", KeepMode: true, Propagation: 1 << 18},
	plan.CopyUp{Proc: 1, Target: "/a/b", Options: []string{"mode=755", "size=1k", "sync"}, Set: 2, Propagation: 1 << 18, OwnGID: true},
	plan.Bind{Tree: 1, Source: "/src", Target: "/dst/x", How: plan.BindRecursive, Set: 1, RecSet: 1},
	plan.Remount{Target: "/dev", Set: 1}, plan.Symlink{Target: "/proc/self/fd", Link: "/dev/fd"},
	plan.Device{Path: "/dev/null", Mode: 0o20666, Rdev: 1<<32 | 3, UID: 1, GID: 2}, plan.Console{Socket: 1, Rows: 24, Cols: 80, UID: 1, Mount: true},
	plan.Mask{Path: "/proc/kcore", Null: 2}, plan.ReadOnly{Path: "/proc/sys"}, plan.RootReadOnly{}, plan.Pivot{Move: true},
	plan.RootPropagation{Flags: 1 << 20}, plan.Sysctl{Proc: 1, Key: "net/ipv4/ip_forward", Value: "1"}, plan.Hostname{Name: "h"},
	plan.Domainname{Name: "d"}, plan.Loopback{},
	plan.Hook{Path: "/bin/hook", Args: []string{"hook", "a"}, Env: []string{"A=b", ""}, Timeout: 1, State: `{"pid":` + plan.PIDMark + `}`, AtRoot: true},
	plan.Setsid{}, plan.Rlimit{Name: "RLIMIT_CORE", Resource: 4, Soft: 1, Hard: 2}, plan.LiftNoFile{}, plan.RestoreNoFile{}, plan.Scheduler{Attr: string(make([]byte, 48))},
	plan.IOPriority{Value: 1}, plan.Affinity{Mask: "\x03\x00\x00\x00\x00\x00\x00\x00"}, plan.MemoryPolicy{Mode: 2, Nodes: "\x01\x00\x00\x00\x00\x00\x00\x00", Max: 65},
	plan.Personality{Value: 8}, plan.Umask{Mask: 0o22}, plan.NoNewPrivileges{}, plan.Label{Proc: 1, File: "thread-self/attr/exec", Text: "label"},
	plan.StdioOwner{UID: 1000, Keep: true}, plan.Bounding{Keep: 0xff}, plan.User{UID: 1, GID: 2, Groups: "\x01\x00\x00\x00"},
	plan.Capabilities{Effective: 1, Permitted: 3, Inheritable: 2, Ambient: 1 << 63}, // a shift by 64, once plan.Chdir{Path: "/w/o/r/k", UID: 1, GID: 1, Create: true, ReadOnly: true},
	plan.Program{Name: "sh", Paths: []string{"/bin/sh", "/sbin/sh"}}, plan.Ready{}, plan.WaitStart{Socket: 1},
	plan.Seccomp{Program: "12345678", Flags: 1, State: "{}"}, plan.Exec{Args: []string{"sh", "-c", "true"}, Env: []string{"PATH=/bin"}},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: seeds DIRECTORY")
		os.Exit(2)
	}
	for i := range steps {
		write(fmt.Sprintf("one-%02d", i), steps[i])
		if i%3 == 0 {
			write(fmt.Sprintf("some-%02d", i), steps[i:min(i+6, len(steps))]...)
		}
	}
	write("all", steps...)
}

func write(name string, steps ...plan.Step) {
	p := plan.Plan{Descriptors: make([]plan.Descriptor, 3)}
	for _, s := range steps {
		p.Add("", s)
	}
	data, err := p.Encode()
	if err == nil {
		copy(data, make([]byte, 8)) // magic and fingerprint stand for those of any build
		data = append(data, "\xff\x00\x21\x40\x01\x02\x03\x80\x00\x00\x00\x00"...)
		err = os.WriteFile(filepath.Join(os.Args[1], name), data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "seeds:", err)
		os.Exit(1)
	}
}
