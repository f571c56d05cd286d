package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"davit/internal/config"
	"davit/tests/profile"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// view is how the runtimes see the host's cgroups.
type view string

const (
	unified view = "v2" // one cgroup2 hierarchy and nothing else
	v1      view = "v1" // the host's own v1 hierarchies, which have the controllers
)

// The names of the configs that the benchmark uses.
const (
	minimal  = "minimal"
	standard = "default"
	pod      = "pod"
)

// sleeper is the process of a container that keeps running.
var sleeper = []string{"/bin/sleep", "100000"}

// newConfig returns the named config for hosts of view v. It runs /bin/true in the cgroup of that
// name, below the benchmark's cgroup.
func newConfig(name string, v view, cgroup string) *specs.Spec {
	var s *specs.Spec
	switch name {
	case minimal:
		s = minimalConfig()
	case standard:
		s = config.Default()
		s.Process.Terminal = false
	case pod:
		s = podConfig(v)
	default:
		panic("no config " + name)
	}
	s.Root.Path = rootfsDir
	s.Process.Args = []string{"/bin/true"}
	s.Linux.CgroupsPath = "/" + cgroupDir + "/" + cgroup
	return s
}

// minimalConfig returns a config that asks only for a process with a root of its own.
func minimalConfig() *specs.Spec {
	return &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{Cwd: "/", Env: []string{"PATH=/bin"}},
		Root:    &specs.Root{},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}},
		},
	}
}

// podConfig returns what containerd 2.1's CRI plugin passes to a runtime for an ordinary container
// of a Kubernetes pod. It joins the pod's namespaces, and has the default seccomp profile, the
// volumes that the kubelet mounts, and those limits for which the view has controllers. With v1,
// containerd gives a container no cgroup namespace.
func podConfig(v view) *specs.Spec {
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
		"CAP_AUDIT_WRITE",
	}
	score := 999
	s := &specs.Spec{
		Version: "1.2.1",
		Process: &specs.Process{
			User: specs.User{AdditionalGids: []uint32{0, 1, 2, 3, 4, 6, 10}},
			Cwd:  "/",
			Env: []string{
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=web-0",
				"KUBERNETES_PORT=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
				"KUBERNETES_PORT_443_TCP_PROTO=tcp", "KUBERNETES_PORT_443_TCP_PORT=443",
				"KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1", "KUBERNETES_SERVICE_HOST=10.96.0.1",
				"KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
			},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			OOMScoreAdj:  &score,
		},
		Root:   &specs.Root{},
		Mounts: podMounts(),
		Annotations: map[string]string{
			"io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.container-type": "container",
			"io.kubernetes.cri.image-name": "docker.io/library/busybox:latest", "io.kubernetes.cri.sandbox-id": "bench",
			"io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "default",
			"io.kubernetes.cri.sandbox-uid": "4c1b6d3e-7a52-4be3-9d4f-0a3c6e2f1b77",
		},
		Linux: &specs.Linux{
			Resources: podResources(v),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace},
				{Type: specs.IPCNamespace, Path: sandboxDir + "/ipc"},
				{Type: specs.UTSNamespace, Path: sandboxDir + "/uts"},
				{Type: specs.NetworkNamespace, Path: sandboxDir + "/net"},
			},
			Seccomp: profile.Default(),
			MaskedPaths: []string{
				"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
				"/sys/devices/virtual/powercap", "/proc/scsi",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if v == unified {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return s
}

func podResources(v view) *specs.LinuxResources {
	r := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
	}
	if v == v1 || v.has("cpu") && v.has("memory") && v.has("pids") {
		shares, quota, period := uint64(102), int64(50000), uint64(100000)
		limit, pids := int64(128<<20), int64(4096)
		r.CPU = &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period}
		r.Memory = &specs.LinuxMemory{Limit: &limit}
		r.Pids = &specs.LinuxPids{Limit: &pids}
	}
	if v == unified && v.has("hugetlb") {
		r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 0}}
	}
	return r
}

// podMounts returns containerd's own mounts, then the kubelet's files and volumes: 20 in all.
func podMounts() []specs.Mount {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs",
			Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
			Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
	for _, path := range podFiles {
		mounts = append(mounts, volume(path, "rw"))
	}
	for _, path := range podVolumes {
		mounts = append(mounts, volume(path, "rw"))
	}
	for _, path := range podReadOnlyVolumes {
		mounts = append(mounts, volume(path, "ro"))
	}
	return mounts
}

var (
	podFiles           = []string{"/etc/hosts", "/dev/termination-log", "/etc/hostname", "/etc/resolv.conf"}
	podVolumes         = []string{"/dev/shm", "/data", "/cache", "/var/log/web"}
	podReadOnlyVolumes = []string{
		"/var/run/secrets/kubernetes.io/serviceaccount", "/etc/web/config", "/etc/web/tls",
		"/etc/web/templates", "/etc/web/rules", "/etc/web/feature-flags",
	}
)

func volume(destination, mode string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: volumesDir + destination,
		Options: []string{"rbind", "rprivate", mode}}
}

// makeVolumes makes the sources of a pod's mounts, and their targets. So the targets exist for
// every contestant.
func makeVolumes() error {
	for _, top := range []string{volumesDir, rootfsDir} {
		for _, dir := range append(append([]string(nil), podVolumes...), podReadOnlyVolumes...) {
			if err := os.MkdirAll(top+dir, 0o755); err != nil {
				return err
			}
		}
		for _, file := range podFiles {
			if err := os.MkdirAll(filepath.Dir(top+file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(top+file, nil, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeBundle writes s as the config.json of the bundle in dir.
func writeBundle(dir string, s *specs.Spec) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644)
}
