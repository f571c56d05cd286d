package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program may take this long, and longer in a virtual machine with an emulated processor. The
// programs wait up to ten seconds, several times.
const (
	patience        = 2 * time.Minute
	machinePatience = 20 * time.Minute
)

func init() { runtime.LockOSThread() } // the namespaces belong to this thread

// hierarchies returns the host's cgroup mounts by name: "memory", "systemd", "unified".
func hierarchies() (map[string]string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err != nil {
		return nil, err
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return map[string]string{"unified": "/sys/fs/cgroup"}, nil
	}
	entries, err := os.ReadDir("/sys/fs/cgroup")
	dirs := make(map[string]string)
	for _, e := range entries {
		if e.IsDir() {
			dirs[e.Name()] = "/sys/fs/cgroup/" + e.Name()
		}
	}
	return dirs, err
}

// run runs the programs with the contestant's runtime, in namespaces and cgroups of their own.
// Their parent process reaps at once. run returns the results.
func (c contestant) run(work, root string, programs []string) (map[string]result, error) {
	name := fmt.Sprintf("davit-conformance-%d-%s-%s", os.Getpid(), c.runtime, c.view)
	dirs, err := hierarchies()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		own := filepath.Join(dir, name)
		if err := os.MkdirAll(own+"/driver", 0o755); err != nil {
			return nil, err
		}
		defer removeTree(own)
		for _, at := range []string{own, own + "/driver"} { // a new cpuset of v1 is empty
			for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
				if data, err := os.ReadFile(filepath.Dir(at) + file); err == nil {
					_ = os.WriteFile(at+file, data, 0)
				}
			}
		}
	}
	cmd := exec.Command(filepath.Join(work, "conformance"), append([]string{"inside", "init", name, work, root, c.view, c.runtime}, programs...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var results map[string]result
	return results, json.Unmarshal(out, &results)
}

// removeTree removes a cgroup and the cgroups below it.
func removeTree(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(filepath.Join(dir, e.Name()))
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		fmt.Fprintf(os.Stderr, "conformance: rmdir %s: %v\n", dir, err)
	}
}

// inside is the part that runs in the namespaces: "init" builds the view and reaps, "run" runs the
// programs.
func inside(args []string) {
	var err error
	switch args[0] {
	case "init":
		err = initialize(args[1], args[2], args[3], args[4], args[5:])
	case "run":
		limit := patience
		if args[1] == machine {
			limit = machinePatience
		}
		err = runPrograms(limit, args[2], args[3:])
	case "machine":
		err = runInMachine(args[1], args[2], args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// One of the programs asks for a profile with this name.
const profile = "profile acme_secure_profile flags=(attach_disconnected,mediate_deleted) { file, capability, mount, umount, pivot_root, network, signal, ptrace, unix, }"

// runInMachine is the part of a command that runs in a virtual machine. Its output goes to a file
// in work.
func runInMachine(work, root string, programs []string) error {
	for _, c := range []struct{ input, name, args string }{
		{profile, "apparmor_parser", "--replace --skip-cache"},
		{"", "ip", "link add dummy0 type dummy"}, // one of the programs needs a second interface
	} {
		cmd := exec.Command(c.name, strings.Fields(c.args)...)
		cmd.Stdin = strings.NewReader(c.input)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	results, err := contest(work, root, programs, []string{machine})
	if err != nil {
		return err
	}
	found := make(map[string]map[string]result)
	for c, r := range results {
		found[c.runtime] = r
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return os.WriteFile(work+"/results.json", data, 0o644)
}

func initialize(name, work, root, view string, args []string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	// A cgroup hierarchy that it mounts begins at the parent of this cgroup.
	for _, leaf := range []string{name, name + "/driver"} {
		for _, dir := range dirs {
			if err := os.WriteFile(filepath.Join(dir, leaf, "cgroup.procs"), []byte("0"), 0); err != nil {
				return err
			}
		}
		if leaf == name {
			if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
		}
	}
	if err := enter(root, work, view, dirs); err != nil {
		return err
	}
	cmd := exec.Command("/mnt/conformance", append([]string{"inside", "run", view}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/mnt", os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err == nil && pid == cmd.Process.Pid {
			os.Exit(status.ExitStatus())
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}

type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// enter makes root the root directory, with the view's cgroups in it.
func enter(root, work, view string, dirs map[string]string) error {
	mounts := []mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{root, root, "", unix.MS_BIND, ""},
		{"proc", root + "/proc", "proc", 0, ""},
		{"/dev", root + "/dev", "", unix.MS_BIND | unix.MS_REC, ""},
		{"tmpfs", root + "/run", "tmpfs", 0, ""},
		{"tmpfs", root + "/tmp", "tmpfs", 0, ""},
		{"sysfs", root + "/sys", "sysfs", 0, ""},
		{work, root + "/mnt", "", unix.MS_BIND, ""},
	}
	at := root + "/sys/fs/cgroup"
	if view == "v2" {
		mounts = append(mounts, mount{"cgroup2", at, "cgroup2", 0, ""})
	} else {
		mounts = append(mounts, mount{"cgroup", at, "tmpfs", 0, "mode=755"})
		for name := range dirs {
			if name == "unified" {
				continue // crun refuses to have both
			}
			data := name
			if name == "systemd" {
				data = "none,name=systemd"
			}
			mounts = append(mounts, mount{"cgroup", at + "/" + name, "cgroup", 0, data})
		}
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.target, at+"/") {
			if err := os.Mkdir(m.target, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.fstype+m.source, m.target, err)
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root %s: %w", root, err)
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

func runPrograms(limit time.Duration, name string, programs []string) error {
	results := make(map[string]result)
	for _, p := range programs {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, "/mnt/"+p)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "RUNTIME=/mnt/" + name, "HOME=/root", "XDG_RUNTIME_DIR=/run"}
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = time.Second // a container that was left behind may hold the pipe open
		err := cmd.Run()
		cancel()
		r := parse(out.String())
		if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			r.Status = err.Error()
		}
		results[p] = r
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}
