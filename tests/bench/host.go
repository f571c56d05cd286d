package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// These places are in the root directory of the benchmark, and every contestant sees them.
const (
	toolsDir  = "/opt/davit-bench" // davit and the floors, beside the packaged peers
	workDir   = "/run/bench"       // a tmpfs with the directories below
	cgroupDir = "davit-bench"      // below the root of each cgroup hierarchy

	rootfsDir  = workDir + "/rootfs"  // the root filesystem of every container
	volumesDir = workDir + "/volumes" // sources of a pod's mounts
	sandboxDir = workDir + "/sandbox" // namespaces that a pod's containers join
	bundlesDir = workDir + "/bundles"
	stateDir   = workDir + "/state" // one --root for each contestant
)

// enter moves the process, which has a mount namespace of its own, into root. That has filesystems
// of its own, and the cgroup view v. Nothing of the real host's mount table is left, so that its
// length does not slow the contestants.
func enter(root string, v view) error {
	type mount struct {
		source, target, fstype string
		flags                  uintptr
	}
	mounts := []mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{root, root, "", unix.MS_BIND},
		{"proc", root + "/proc", "proc", 0},
		{"/dev", root + "/dev", "", unix.MS_BIND | unix.MS_REC},
		{"tmpfs", root + "/run", "tmpfs", 0},
		{"sysfs", root + "/sys", "sysfs", 0},
	}
	if v == unified {
		mounts = append(mounts, mount{"cgroup2", root + "/sys/fs/cgroup", "cgroup2", 0})
	} else { // does not mount cgroup2 where runtimes would see it, because crun refuses to have both
		mounts = append(mounts, mount{"/sys/fs/cgroup", root + "/sys/fs/cgroup", "", unix.MS_BIND | unix.MS_REC},
			mount{"cgroup2", root + "/mnt", "cgroup2", 0})
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.fstype+m.source, m.target, err)
		}
	}
	if v == v1 {
		if err := hideUnified(root); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(root, root+"/media"); err != nil {
		return fmt.Errorf("pivot_root %s: %w", root, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/media", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("umount of the old root: %w", err)
	}
	return unix.Sethostname([]byte("bench"))
}

// hideUnified leaves only the v1 hierarchies below root's /sys/fs/cgroup.
func hideUnified(root string) error {
	const name = "/sys/fs/cgroup/unified"
	if err := unix.Unmount(root+name, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("umount %s: %w", root+name, err)
	}
	return nil
}

// furnish makes what the configs refer to: the root filesystem, the volumes, and a sandbox.
func furnish() error {
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "var/run"} {
		if err := os.MkdirAll(filepath.Join(rootfsDir, dir), 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile(toolsDir + "/busybox")
	if err != nil {
		return err
	}
	if err := os.WriteFile(rootfsDir+"/bin/busybox", busybox, 0o755); err != nil {
		return err
	}
	for _, applet := range []string{"true", "sleep", "sh"} {
		if err := os.Symlink("busybox", rootfsDir+"/bin/"+applet); err != nil {
			return err
		}
	}
	if err := makeVolumes(); err != nil {
		return err
	}
	return makeSandbox()
}

// makeSandbox makes namespaces for a pod's containers to join, and keeps them, as an engine does.
func makeSandbox() error {
	pid, err := syscall.ForkExec(rootfsDir+"/bin/busybox", sleeper, &syscall.ProcAttr{Env: environment,
		Sys: &syscall.SysProcAttr{
			Pdeathsig:  syscall.SIGKILL,
			Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		}})
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if err := os.MkdirAll(sandboxDir, 0o755); err != nil {
		return err
	}
	for _, kind := range []string{"net", "ipc", "uts"} {
		pin := filepath.Join(sandboxDir, kind)
		if err := os.WriteFile(pin, nil, 0o444); err != nil {
			return err
		}
		if err := unix.Mount(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), pin, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pin %s namespace: %w", kind, err)
		}
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	_, err = syscall.Wait4(pid, nil, 0, nil)
	return err
}

// unifiedRoot returns where the cgroup2 hierarchy is mounted.
func (v view) unifiedRoot() string {
	if v == unified {
		return "/sys/fs/cgroup"
	}
	return "/mnt"
}

// hierarchies returns the mount points of the cgroup hierarchies that runtimes see in this view.
func (v view) hierarchies() ([]string, error) {
	if v == unified {
		return []string{"/sys/fs/cgroup"}, nil
	}
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup" {
			dirs = append(dirs, f[1])
		}
	}
	return dirs, nil
}

// has reports whether cgroup2 has the controller, within the benchmark's root or outside.
func (v view) has(controller string) bool {
	for _, dir := range []string{"", "/unified"} {
		data, err := os.ReadFile("/sys/fs/cgroup" + dir + "/cgroup.controllers")
		if err == nil {
			return strings.Contains(" "+strings.TrimSpace(string(data))+" ", " "+controller+" ")
		}
	}
	return false
}

// ownCgroups returns the cgroups below which the contestants make theirs. With v1 it also returns
// the cgroup of cgroup2 that counts processor time.
func (v view) ownCgroups() ([]string, error) {
	dirs, err := v.hierarchies()
	if v == v1 {
		dirs = append(dirs, v.unifiedRoot())
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Join(dir, cgroupDir)
	}
	return dirs, err
}

func (v view) makeCgroups() error {
	dirs, err := v.ownCgroups()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // a new cpuset of v1 is empty
			data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
			if err != nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), data, 0); err != nil {
				return err
			}
		}
	}
	if v == unified {
		return enableControllers("/sys/fs/cgroup", "/sys/fs/cgroup/"+cgroupDir)
	}
	return nil
}

// enableControllers enables all controllers of cgroup2 for the children of dirs.
func enableControllers(dirs ...string) error {
	for _, dir := range dirs {
		data, err := os.ReadFile(dir + "/cgroup.controllers")
		if err != nil {
			return err
		}
		for _, controller := range strings.Fields(string(data)) {
			if err := os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+controller), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// killAll ends the processes in the benchmark's cgroups.
func (v view) killAll() {
	_ = os.WriteFile(filepath.Join(v.unifiedRoot(), cgroupDir, "cgroup.kill"), []byte("1"), 0)
}

// removeCgroups removes the benchmark's cgroups, and those that a failed contestant has left in
// them.
func (v view) removeCgroups() error {
	dirs, err := v.ownCgroups()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err2 := removeTree(dir); err == nil {
			err = err2
		}
	}
	return err
}

// removeTree removes a cgroup and the cgroups below it. Their files vanish with them.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}

func must(err error) {
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
