package inspect

import (
	"davit/cgroups"
	"davit/internal/config"
	"davit/internal/process"
	"davit/internal/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features returns the features of this build of davit, whatever the host can do (features.md).
// Where possible each value comes from the code that implements the feature.
func Features(version, commit string) *features.Features {
	f := &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  config.MountOptions(),
		Linux: &features.Linux{
			Capabilities: config.CapabilityNames(),
			Cgroup: &features.Cgroup{
				V1: is(true), V2: is(true), Rdma: is(true), Systemd: is(cgroups.HasSystemd), SystemdUser: is(cgroups.HasSystemd),
			},
			Seccomp: &features.Seccomp{
				Enabled: is(true), Actions: seccomp.Actions(), Operators: seccomp.Operators(), Archs: seccomp.Archs(),
				KnownFlags: seccomp.KnownFlags(), SupportedFlags: seccomp.SupportedFlags(),
			},
			Apparmor:        &features.Apparmor{Enabled: is(true)},
			Selinux:         &features.Selinux{Enabled: is(true)},
			MemoryPolicy:    memoryPolicies(),
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: is(true)}},
			NetDevices:      &features.NetDevices{Enabled: is(true)},
			IntelRdt:        &features.IntelRdt{Enabled: is(true), Schemata: is(true), Monitoring: is(true)},
		},
		Annotations: map[string]string{
			"davit.version":            version,
			"davit.checkpoint.enabled": "true",
			// Engines look for the feature by this name.
			"org.opencontainers.runc.checkpoint.enabled": "true",
		},
		PotentiallyUnsafeConfigAnnotations: config.Annotations(),
	}
	if commit != "" {
		f.Annotations["davit.commit"] = commit
	}
	for _, n := range config.Namespaces {
		f.Linux.Namespaces = append(f.Linux.Namespaces, string(n.Type))
	}
	return f
}

func is(v bool) *bool { return &v }

func memoryPolicies() *features.MemoryPolicy {
	f := &features.MemoryPolicy{}
	for _, mode := range [...]specs.MemoryPolicyModeType{specs.MpolDefault, specs.MpolPreferred, specs.MpolBind, specs.MpolInterleave,
		specs.MpolLocal, specs.MpolPreferredMany, specs.MpolWeightedInterleave} {
		if _, err := process.MemoryPolicy(&specs.LinuxMemoryPolicy{Mode: mode, Nodes: "0"}); err == nil {
			f.Modes = append(f.Modes, string(mode))
		}
	}
	for _, flag := range [...]specs.MemoryPolicyFlagType{specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes} {
		if _, err := process.MemoryPolicy(&specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{flag}}); err == nil {
			f.Flags = append(f.Flags, string(flag))
		}
	}
	return f
}
