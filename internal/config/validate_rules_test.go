package config

import (
	"slices"
	"testing"
)

// TestRules has a case for each rule of Validate: a patch to the default config, and all resulting
// messages.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		// Version.
		{`{"ociVersion": null}`, []string{
			`ociVersion: is missing: the version of the runtime-spec that the config follows, such as "1.3.0"`,
		}},
		{`{"ociVersion": "1.2"}`, []string{
			`ociVersion: "1.2" is not a semantic version such as "1.3.0"`,
		}},
		{`{"ociVersion": "1.02.0"}`, []string{
			`ociVersion: "1.02.0" is not a semantic version such as "1.3.0"`,
		}},
		{`{"ociVersion": "1.2.0-01"}`, []string{
			`ociVersion: "1.2.0-01" is not a semantic version such as "1.3.0"`,
		}},
		{`{"ociVersion": "1.2.x"}`, []string{
			`ociVersion: "1.2.x" is not a semantic version such as "1.3.0"`,
		}},
		{`{"ociVersion": "1.0.2-dev"}`, nil},
		{`{"ociVersion": "1.0.0-rc.1+build.007"}`, nil},
		{`{"ociVersion": "2.0.0"}`, []string{
			`ociVersion: "2.0.0": davit implements runtime-spec 1.x only`,
		}},
		{`{"ociVersion": "0.5.0"}`, []string{
			`ociVersion: "0.5.0": davit implements runtime-spec 1.x only`,
		}},
		{`{"ociVersion": "1.99.0"}`, []string{
			`warning: ociVersion: "1.99.0" is newer than the runtime-spec 1.3 that davit implements: what is new in it is ignored`,
		}},

		// Root and process.
		{`{"root": null}`, []string{
			`root: is missing: a container needs a root file system | add "root": {"path": "rootfs"}`,
		}},
		{`{"root": {"path": ""}}`, []string{
			`root.path: is missing: the directory of the root file system, absolute or relative to the bundle`,
		}},
		{`{"root": {"path": "a\u0000b"}}`, []string{
			`root.path: "a\x00b" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"process": null}`, nil}, // such a container can be created, but not started
		{`{"process": {"args": null}}`, []string{
			`process.args: is missing: the program to run and its arguments`,
		}},
		{`{"process": {"args": []}}`, []string{
			`process.args: is missing: the program to run and its arguments`,
		}},
		{`{"process": {"args": [""]}}`, []string{
			`process.args[0]: is empty: the program to run is needed`,
		}},
		{`{"process": {"args": ["sh", "a\u0000b"]}}`, []string{
			`process.args[1]: "a\x00b" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"process": {"cwd": null}}`, []string{
			`process.cwd: is missing: an absolute path is needed`,
		}},
		{`{"process": {"cwd": "work"}}`, []string{
			`process.cwd: "work" is not an absolute path`,
		}},
		{`{"process": {"env": ["A=b", "NOVALUE", "=x", "B=\u0000", "C="]}}`, []string{
			`process.env[1]: "NOVALUE" has no =: NAME=value is needed`,
			`process.env[2]: "=x" has no name: NAME=value is needed`,
			`process.env[3]: "B=\x00" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"process": {"consoleSize": {"height": 65536, "width": 80}}}`, []string{
			`process.consoleSize: 65536 by 80 is more than the 65535 lines and columns that a terminal can have`,
		}},
		{`{"process": {"terminal": false, "consoleSize": {"height": 65536, "width": 80}}}`, nil},
		{`{"process": {"user": {"uid": 4294967295, "gid": 4294967295, "additionalGids": [5, 4294967295], "umask": 512}}}`, []string{
			`process.user.uid: 4294967295 is no id: the kernel takes it for -1`,
			`process.user.gid: 4294967295 is no id: the kernel takes it for -1`,
			`process.user.additionalGids[1]: 4294967295 is no id: the kernel takes it for -1`,
			`process.user.umask: 512 is out of range: from 0 to 511 (octal 777) | JSON has no octal numbers: 18 is octal 022`,
		}},
		{`{"process": {"oomScoreAdj": -1001}}`, []string{
			`process.oomScoreAdj: -1001 is out of range: from -1000 to 1000`,
		}},
		{`{"process": {"oomScoreAdj": 1001}}`, []string{
			`process.oomScoreAdj: 1001 is out of range: from -1000 to 1000`,
		}},
		{`{"process": {"oomScoreAdj": 1000}}`, nil},
		{`{"process": {"apparmorProfile": "a\u0000b", "selinuxLabel": "c\u0000d"}}`, []string{
			`process.apparmorProfile: "a\x00b" contains a NUL byte, where the kernel would end it`,
			`process.selinuxLabel: "c\x00d" contains a NUL byte, where the kernel would end it`,
		}},

		// Capabilities.
		{`{"process": {"capabilities": {"bounding": ["CAP_KILL", "CAP_FLY"], "effective": [], "permitted": ["cap_chown"]}}}`, []string{
			`warning: process.capabilities.bounding[1]: unknown capability "CAP_FLY": ignored`,
		}},
		{`{"process": {"capabilities": {"effective": ["CAP_AUDIT_WRITE", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]}}}`, []string{
			`process.capabilities.effective: CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE are not in permitted: the kernel refuses that`,
		}},
		{`{"process": {"capabilities": {"permitted": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_AUDIT_WRITE"]}}}`, []string{
			`process.capabilities.effective: CAP_AUDIT_WRITE is not in permitted: the kernel refuses that`,
		}},
		{`{"process": {"capabilities": {"inheritable": ["CAP_KILL", "CAP_BPF"]}}}`, []string{
			`process.capabilities.inheritable: CAP_BPF is not in bounding: the kernel refuses that`,
		}},
		{`{"process": {"capabilities": {"ambient": ["CAP_KILL"]}}}`, []string{
			`warning: process.capabilities.ambient: CAP_KILL is not in both permitted and inheritable, and so cannot be raised: left out`,
		}},
		{`{"process": {"capabilities": {"inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}}}`, nil},

		// Rlimits.
		{`{"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]}}`, []string{
			`process.rlimits[0].soft: 2 is above the hard limit, which is 1`,
		}},
		{`{"process": {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_AS", "soft": 1, "hard": 18446744073709551615}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 2}]}}`, []string{
			`process.rlimits[2].type: RLIMIT_CPU was given before, in rlimits[0]`,
		}},
		{`{"process": {"rlimits": [{"type": "NOFILE", "soft": 1, "hard": 1}, {"soft": 1, "hard": 1}]}}`, []string{
			`process.rlimits[0].type: unknown resource limit "NOFILE": must be one of RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME`,
			`process.rlimits[1].type: is missing: the resource limit must be one of RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME`,
		}},

		// Scheduler.
		{`{"process": {"scheduler": {"policy": ""}}}`, []string{
			`process.scheduler.policy: is missing: the scheduling policy must be one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_FAST"}}}`, []string{
			`process.scheduler.policy: unknown scheduling policy "SCHED_FAST": must be one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_ISO"}}}`, []string{
			`process.scheduler.policy: SCHED_ISO is reserved, but no Linux implements it`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_OTHER", "nice": -21}}}`, []string{
			`process.scheduler.nice: -21 is out of range: from -20 to 19`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_BATCH", "nice": 20, "priority": 3}}}`, []string{
			`process.scheduler.nice: 20 is out of range: from -20 to 19`,
			`process.scheduler.priority: 3 is given, but only SCHED_FIFO and SCHED_RR have priorities, not SCHED_BATCH`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_FIFO", "priority": 0, "nice": 4}}}`, []string{
			`process.scheduler.priority: 0 is out of range for SCHED_FIFO: from 1 to 99`,
			`warning: process.scheduler.nice: 4 has no effect with SCHED_FIFO`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_RR", "priority": 100}}}`, []string{
			`process.scheduler.priority: 100 is out of range for SCHED_RR: from 1 to 99`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_RR", "priority": 99, "runtime": 1, "deadline": 2, "period": 3}}}`, []string{
			`process.scheduler.runtime: 1 is given, but is for SCHED_DEADLINE, not SCHED_RR`,
			`process.scheduler.deadline: 2 is given, but is for SCHED_DEADLINE, not SCHED_RR`,
			`process.scheduler.period: 3 is given, but is for SCHED_DEADLINE, not SCHED_RR`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 2000000, "period": 3000000}}}`, nil},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 2000000}}}`, nil},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE"}}}`, []string{
			`process.scheduler.deadline: is missing: SCHED_DEADLINE needs one, in nanoseconds`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1023, "deadline": 2000000}}}`, []string{
			`process.scheduler.runtime: 1023 is below the 1024 nanoseconds that the kernel can tell apart`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 3000000, "deadline": 2000000}}}`, []string{
			`process.scheduler.runtime: 3000000 is above the deadline, which is 2000000`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 2000000, "period": 1500000}}}`, []string{
			`process.scheduler.deadline: 2000000 is above the period, which is 1500000`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 18446744073709551615}}}`, []string{
			`process.scheduler.deadline: deadline 18446744073709551615 or period 18446744073709551615 is beyond 2^63 nanoseconds`,
		}},
		{`{"process": {"scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_X"]}}}`, []string{
			`process.scheduler.flags[1]: unknown scheduling flag "SCHED_FLAG_X": must be one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX`,
		}},

		// I/O priority and CPU affinity.
		{`{"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}}`, []string{
			`process.ioPriority.priority: 8 is out of range: from 0, the highest, to 7`,
		}},
		{`{"process": {"ioPriority": {"class": "BE", "priority": -1}}}`, []string{
			`process.ioPriority.class: unknown I/O scheduling class "BE": must be one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE`,
			`process.ioPriority.priority: -1 is out of range: from 0, the highest, to 7`,
		}},
		{`{"process": {"ioPriority": {"priority": 0}}}`, []string{
			`process.ioPriority.class: is missing: the I/O scheduling class must be one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE`,
		}},
		{`{"process": {"execCPUAffinity": {"initial": "0-3,7", "final": "0"}}}`, nil},
		{`{"process": {"execCPUAffinity": {"initial": "3-1", "final": "0,,2"}}}`, []string{
			`process.execCPUAffinity.initial: "3-1" is no list of CPUs such as 0-3,7: "3-1" ends before it begins`,
			`process.execCPUAffinity.final: "0,,2" is no list of CPUs such as 0-3,7: "" is neither a number nor a range`,
		}},
		{`{"process": {"execCPUAffinity": {"initial": "a", "final": "1-"}}}`, []string{
			`process.execCPUAffinity.initial: "a" is no list of CPUs such as 0-3,7: "a" is neither a number nor a range`,
			`process.execCPUAffinity.final: "1-" is no list of CPUs such as 0-3,7: "1-" is neither a number nor a range`,
		}},

		// Names.
		{`{"hostname": "h12345678901234567890123456789012345678901234567890123456789012345", "domainname": "d\u0000"}`, []string{
			`hostname: "h12345678901234567890123456789012345678901234567890123456789012345" has 66 bytes, more than the 64 that the kernel takes`,
			`domainname: "d\x00" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}]}, "domainname": "example.org"}`, []string{
			`hostname: "davit" cannot be set without a uts namespace: it would be set for the host | add {"type": "uts"} to linux.namespaces, or remove hostname`,
			`domainname: "example.org" cannot be set without a uts namespace: it would be set for the host | add {"type": "uts"} to linux.namespaces, or remove domainname`,
		}},

		// Mounts.
		{`{"mounts": [{"type": "proc"}]}`, []string{
			`mounts[0].destination: is missing: the path in the container`,
		}},
		{`{"mounts": [{"destination": "proc", "type": "proc"}]}`, []string{
			`warning: mounts[0].destination: "proc" is not an absolute path: taken as relative to /, which the runtime-spec calls deprecated`,
		}},
		{`{"mounts": [{"destination": "/a\u0000", "type": "b\u0000", "source": "c\u0000", "options": ["d\u0000", ""]}]}`, []string{
			`mounts[0].destination: "/a\x00" contains a NUL byte, where the kernel would end it`,
			`mounts[0].type: "b\x00" contains a NUL byte, where the kernel would end it`,
			`mounts[0].source: "c\x00" contains a NUL byte, where the kernel would end it`,
			`mounts[0].options[0]: "d\x00" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"mounts": [{"destination": "/data", "options": ["rbind"]}]}`, []string{
			`mounts[0].source: is missing: a bind mount needs a file or directory of the host`,
		}},
		{`{"mounts": [{"destination": "/data", "type": "bind", "source": "/x"}]}`, nil},
		{`{"mounts": [{"destination": "/data", "options": ["ro"], "source": "/x"}]}`, []string{
			`mounts[0].type: is missing: a mount needs the type of a file system, or the option bind or rbind`,
		}},
		{`{"mounts": [{"destination": "/data", "options": ["bind", "remount", "ro", "size=1m"]}]}`, []string{
			`mounts[0].options[3]: "size=1m" is no option of a bind mount | the options of a file system are given where that is mounted; a bind mount has those that mount(8) has for all`,
		}},
		{`{"mounts": [{"destination": "/data", "options": ["bind", "ro", "rw", "size=1m", "rprivate"], "source": "/x"}]}`, []string{
			`mounts[0].options[3]: "size=1m" is no option of a bind mount | the options of a file system are given where that is mounted; a bind mount has those that mount(8) has for all`,
		}},
		{`{"mounts": [{"destination": "/data", "type": "bind", "options": ["rbnd", "noatim"], "source": "/x"}]}`, []string{
			`mounts[0].options[0]: "rbnd" is no option of a bind mount; did you mean rbind? | the options of a file system are given where that is mounted; a bind mount has those that mount(8) has for all`,
			`mounts[0].options[1]: "noatim" is no option of a bind mount; did you mean noatime? | the options of a file system are given where that is mounted; a bind mount has those that mount(8) has for all`,
		}},
		{`{"mounts": [{"destination": "/data", "options": ["bind", "sync", "async", "lazytime", "noatime"], "source": "/x"}]}`, []string{
			`warning: mounts[0].options[1]: "sync" is an option for a file system, which a bind mount cannot change: ignored`,
			`warning: mounts[0].options[3]: "lazytime" is an option for a file system, which a bind mount cannot change: ignored`,
		}},
		{`{"mounts": [{"destination": "/data", "type": "tmpfs", "options": ["size=1m", "tmpcopyup", "uid=7"]}, {"destination": "/x", "type": "ramfs", "options": ["tmpcopyup"]}]}`, []string{
			`mounts[1].options[0]: tmpcopyup is for mounts of type tmpfs, not "ramfs"`,
		}},

		// Idmapped mounts.
		{`{"mounts": [{"destination": "/d", "source": "/x", "options": ["bind", "idmap"], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}]}`, nil},
		{`{"mounts": [{"destination": "/d", "source": "/x", "options": ["bind"], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}]}`, []string{
			`mounts[0].gidMappings: is missing: it must be given along with uidMappings`,
		}},
		{`{"mounts": [{"destination": "/d", "source": "/x", "options": ["bind"], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 0}]}]}`, []string{
			`mounts[0].uidMappings: is missing: it must be given along with gidMappings`,
			`mounts[0].gidMappings[0].size: is 0 or missing: the number of ids to map is needed`,
		}},
		{`{"mounts": [{"destination": "/d", "source": "/x", "options": ["rbind", "ridmap"]}]}`, []string{
			`mounts[0].options: ridmap needs mappings: neither does the mount have any, nor has the container a user namespace | give the mount uidMappings and gidMappings`,
		}},
		{`{"mounts": [{"destination": "/d", "type": "tmpfs", "options": ["idmap"]}]}`, []string{
			`mounts[0]: only bind mounts can be idmapped | add the option bind or rbind, or remove idmap, ridmap, uidMappings and gidMappings`,
		}},
		{`{"mounts": [{"destination": "/d", "source": "/x", "options": ["bind", "idmap"], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 10}, {"containerID": 9, "hostID": 20, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 10}, {"containerID": 10, "hostID": 10, "size": 1}]}]}`, []string{
			`mounts[0].uidMappings[1]: maps ids of the container that entry 0 maps as well`,
			`mounts[0].gidMappings[1]: maps ids of the host that entry 0 maps as well`,
		}},

		// Namespaces.
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "net"}, {}]}}`, []string{
			`linux.namespaces[2].type: unknown namespace type "net": must be one of pid, network, mount, ipc, uts, user, cgroup, time`,
			`linux.namespaces[3].type: is missing: the namespace type must be one of pid, network, mount, ipc, uts, user, cgroup, time`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "mount", "path": "/proc/1/ns/mnt"}]}}`, []string{
			`linux.namespaces[2].type: "mount" was given before, in linux.namespaces[0]`,
			"warning: linux.namespaces: no mount namespace is made for the container: its mounts are visible in the one that it shares, until it is deleted, and it could leave its root directory",
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts", "path": "ns/uts"}]}}`, []string{
			`linux.namespaces[1].path: "ns/uts" is not an absolute path`,
		}},
		{`{"linux": {"namespaces": [{"type": "uts"}], "rootfsPropagation": "slave"}}`, []string{
			"warning: linux.namespaces: no mount namespace is made for the container: its mounts are visible in the one that it shares, until it is deleted, and it could leave its root directory",
		}},
		{`{"linux": {"namespaces": [{"type": "uts"}], "maskedPaths": null, "readonlyPaths": null}, "mounts": null, "root": {"readonly": false}}`, []string{
			"warning: linux.namespaces: no mount namespace is made for the container: its mounts are visible in the one that it shares, until it is deleted, and it could leave its root directory",
		}},

		// User namespaces.
		{`{"linux": {"uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}}`, []string{
			`linux.uidMappings: is given, but there is no user namespace | add {"type": "user"} to linux.namespaces, or remove uidMappings`,
			`linux.gidMappings: is given, but there is no user namespace | add {"type": "user"} to linux.namespaces, or remove gidMappings`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}]}}`, []string{
			`linux.uidMappings: is missing: a new user namespace needs mappings | for example "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]`,
			`linux.gidMappings: is missing: a new user namespace needs mappings | for example "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user", "path": "/proc/7/ns/user"}]}}`, nil},
		{`{"mounts": null, "process": {"user": {"uid": 5, "gid": 5, "additionalGids": [0, 6]}}, "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 5}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 5}]}}`, []string{
			`process.user.uid: 5 is not mapped by linux.uidMappings, so that it does not exist in the container | map it, or choose an id that is mapped`,
			`process.user.gid: 5 is not mapped by linux.gidMappings, so that it does not exist in the container | map it, or choose an id that is mapped`,
			`process.user.additionalGids[1]: 6 is not mapped by linux.gidMappings, so that it does not exist in the container | map it, or choose an id that is mapped`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}], "uidMappings": [{"containerID": 1, "hostID": 1, "size": 5}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 5}]}, "process": {"user": {"uid": 1}}}`, []string{
			`mounts[2].options[5]: "gid=5": linux.gidMappings does not map that id, so that it does not exist in the container | map it, or remove the option`,
			`linux.uidMappings: does not map id 0 of the container, as which it is set up`,
		}},
		{`{"mounts": null, "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}], "uidMappings": [{"containerID": 0, "hostID": 4294967290, "size": 6}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 4294967294}]}}`, []string{
			`linux.uidMappings[0]: ids 0 (container) and 4294967290 (host) with size 6 go beyond the last id, which is 4294967294`,
		}},
		{`{"mounts": null, "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 10}, {"containerID": 10, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 10}, {"containerID": 5, "hostID": 50, "size": 0}]}}`, []string{
			`linux.uidMappings[1]: maps ids of the host that entry 0 maps as well`,
			`linux.gidMappings[1].size: is 0 or missing: the number of ids to map is needed`,
		}},

		// Time.
		{`{"linux": {"timeOffsets": {"monotonic": {"secs": 1}}}}`, []string{
			`linux.timeOffsets: is given, but no time namespace is made for the container: the clocks of one in use cannot be set | add {"type": "time"}, without a path, to linux.namespaces, or remove timeOffsets`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "time", "path": "/proc/1/ns/time"}], "timeOffsets": {"boottime": {"secs": 1}}}}`, []string{
			`linux.timeOffsets: is given, but no time namespace is made for the container: the clocks of one in use cannot be set | add {"type": "time"}, without a path, to linux.namespaces, or remove timeOffsets`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "time"}], "timeOffsets": {"boottime": {"nanosecs": 1000000000}, "realtime": {}}}}`, []string{
			`linux.timeOffsets.boottime.nanosecs: 1000000000 is a second or more: put whole seconds in secs`,
			`linux.timeOffsets.realtime: unknown clock "realtime": must be one of monotonic, boottime`,
		}},

		// Devices.
		{`{"linux": {"devices": [{"path": "/dev/a", "type": "x"}, {"path": "dev/b", "type": "c", "major": -1, "minor": 1048576}, {"type": "b", "major": 4096}]}}`, []string{
			`linux.devices[0].type: unknown device type "x": must be one of c, b, u, p`,
			`linux.devices[1].path: "dev/b" is not an absolute path`,
			`linux.devices[1].major: -1 is out of range: from 0 to 4095`,
			`linux.devices[1].minor: 1048576 is out of range: from 0 to 1048575`,
			`linux.devices[2].path: is missing: an absolute path is needed`,
			`linux.devices[2].major: 4096 is out of range: from 0 to 4095`,
		}},
		{`{"linux": {"devices": [{"path": "/dev/a", "type": "p", "major": 1}, {"path": "/dev/c", "type": "u", "major": 1, "minor": 3, "fileMode": 8630}, {"path": "/dev/c", "type": "c", "major": 1, "minor": 3, "uid": 4294967295}]}}`, []string{
			`linux.devices[2].uid: 4294967295 is no id: the kernel takes it for -1`,
			`warning: linux.devices[0].major: 1:0 is given, but a fifo (p) has no numbers: ignored`,
		}},
		{`{"linux": {"devices": [{"path": "/dev/a", "type": "c", "major": 1, "minor": 3, "fileMode": 65536}, {"path": "/dev/a", "type": "c", "major": 1, "minor": 5}]}}`, []string{
			`linux.devices[0].fileMode: 65536 (octal 200000) is no file mode: the highest is 4095 (octal 7777)`,
			`linux.devices[1].path: /dev/a is another device in linux.devices[0]`,
		}},

		// Network devices.
		{`{"linux": {"netDevices": {"eth0": {}, "eth1": {"name": "eth0"}, "verylongname0123": {}, "a/b": {"name": "x y"}}}}`, []string{
			`linux.netDevices["a/b"]: "a/b" cannot be the name of a network device: it contains a slash, a colon or white space`,
			`linux.netDevices["a/b"].name: "x y" cannot be the name of a network device: it contains a slash, a colon or white space`,
			`linux.netDevices.eth1.name: "eth0" is the name of eth0 as well`,
			`linux.netDevices.verylongname0123: "verylongname0123" cannot be the name of a network device: it has more than 15 bytes`,
		}},
		{`{"linux": {"netDevices": {"eth0": {"name": "e%d"}, "eth1": {"name": "e%d"}, "eth2": {"name": "e%s"}, "": {"name": ".."}}}}`, []string{
			`linux.netDevices[""]: "" cannot be the name of a network device: it is empty`,
			`linux.netDevices[""].name: ".." cannot be the name of a network device: it is a directory`,
			`linux.netDevices.eth2.name: "e%s" cannot be the name of a network device: %d, once, is the only template`,
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}], "netDevices": {"eth0": {}}}}`, []string{
			`linux.netDevices: is given, but there is no network namespace to move devices to | add {"type": "network"} to linux.namespaces, or remove netDevices`,
		}},

		// Sysctl.
		{`{"linux": {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/rp_filter": "1", "kernel.sem": "1", "fs.mqueue.msg_max": "10", "kernel.domainname": "x"}}}`, nil},
		{`{"linux": {"sysctl": {"kernel.hostname": "x", "vm.swappiness": "1", "kernel/pid_max": "5", "user.max_user_namespaces": "0"}}}`, []string{
			`linux.sysctl["kernel.hostname"]: is what the property hostname is for`,
			`linux.sysctl["kernel/pid_max"]: belongs to no namespace: it would be set for the host | set it on the host, for all containers, or remove it`,
			`linux.sysctl["user.max_user_namespaces"]: cannot be set without a namespace of type user: it would be set for the host | add {"type": "user"} to linux.namespaces, or remove the sysctl`,
			`linux.sysctl["vm.swappiness"]: belongs to no namespace: it would be set for the host | set it on the host, for all containers, or remove it`,
		}},
		{`{"linux": {"sysctl": {"": "x", "net..a": "1", "net/../kernel/pid_max": "1", "net.core.x": "1\u0000"}}}`, []string{
			`linux.sysctl[""]: is no name of a sysctl`,
			`linux.sysctl["net..a"]: is no name of a sysctl`,
			`linux.sysctl["net.core.x"]: "1\x00" contains a NUL byte, where the kernel would end it`,
			`linux.sysctl["net/../kernel/pid_max"]: is no name of a sysctl`,
		}},
		{`{"hostname": null, "linux": {"namespaces": [{"type": "mount"}], "sysctl": {"net.core.somaxconn": "1", "kernel.shmmax": "1", "fs.mqueue.msg_max": "1", "kernel.domainname": "x"}}}`, []string{
			`linux.sysctl["fs.mqueue.msg_max"]: cannot be set without a namespace of type ipc: it would be set for the host | add {"type": "ipc"} to linux.namespaces, or remove the sysctl`,
			`linux.sysctl["kernel.domainname"]: cannot be set without a namespace of type uts: it would be set for the host | add {"type": "uts"} to linux.namespaces, or remove the sysctl`,
			`linux.sysctl["kernel.shmmax"]: cannot be set without a namespace of type ipc: it would be set for the host | add {"type": "ipc"} to linux.namespaces, or remove the sysctl`,
			`linux.sysctl["net.core.somaxconn"]: cannot be set without a namespace of type network: it would be set for the host | add {"type": "network"} to linux.namespaces, or remove the sysctl`,
		}},

		// Seccomp.
		{`{"linux": {"seccomp": {}}}`, []string{
			`linux.seccomp.defaultAction: is missing: the action must be one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "ALLOW", "architectures": ["SCMP_ARCH_X86_64", "x86"], "flags": ["SECCOMP_FILTER_FLAG_LOG", "LOG"]}}}`, []string{
			`linux.seccomp.defaultAction: unknown action "ALLOW": must be one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY`,
			`linux.seccomp.architectures[1]: unknown architecture "x86": must be one of SCMP_ARCH_X86, SCMP_ARCH_X86_64, SCMP_ARCH_X32, SCMP_ARCH_ARM, SCMP_ARCH_AARCH64, SCMP_ARCH_MIPS, SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS64N32, SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32, SCMP_ARCH_PPC, SCMP_ARCH_PPC64, SCMP_ARCH_PPC64LE, SCMP_ARCH_S390, SCMP_ARCH_S390X, SCMP_ARCH_PARISC, SCMP_ARCH_PARISC64, SCMP_ARCH_RISCV64, SCMP_ARCH_LOONGARCH64, SCMP_ARCH_M68K, SCMP_ARCH_SH, SCMP_ARCH_SHEB`,
			`linux.seccomp.flags[1]: unknown flag "LOG": must be one of SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1, "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}, {"names": ["a", ""], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}, {"names": ["b"], "action": "SCMP_ACT_KILL", "errnoRet": 0}]}}}`, []string{
			`linux.seccomp.defaultErrnoRet: 1 is given, but only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a number, not SCMP_ACT_ALLOW`,
			`linux.seccomp.syscalls[0].names: is missing: at least one system call is needed`,
			`linux.seccomp.syscalls[0].errnoRet: 4096 is out of range for SCMP_ACT_ERRNO: from 0 to 4094`,
			`linux.seccomp.syscalls[1].names[1]: is empty`,
			`linux.seccomp.syscalls[1].errnoRet: 65536 is out of range for SCMP_ACT_TRACE: from 0 to 65535`,
			`linux.seccomp.syscalls[2].errnoRet: 0 is given, but only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a number, not SCMP_ACT_KILL`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 5, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 6, "value": 1, "op": "=="}]}]}}}`, []string{
			`linux.seccomp.syscalls[0].args[1].index: 6 is out of range: system calls have arguments 0 to 5`,
			`linux.seccomp.syscalls[0].args[1].op: unknown operator "==": must be one of SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/agent.sock"}}}`, []string{
			`linux.seccomp.defaultAction: SCMP_ACT_NOTIFY would stop the container's own start, which nobody could let pass`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}}}`, []string{
			`linux.seccomp.listenerPath: is missing: SCMP_ACT_NOTIFY needs the socket of whoever decides`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}}}`, []string{
			`linux.seccomp.flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY`,
			`linux.seccomp.listenerMetadata: is given without a listenerPath`,
		}},
		{`{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock", "listenerMetadata": "x", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"], "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}}}`, nil},

		// Paths.
		{`{"linux": {"maskedPaths": ["/proc/kcore", "sys/firmware", ""], "readonlyPaths": ["proc/sys", "/a\u0000"], "cgroupsPath": "/a/../../b", "mountLabel": "x\u0000"}}`, []string{
			`linux.cgroupsPath: "/a/../../b" climbs with .. out of where it begins`,
			`linux.maskedPaths[1]: "sys/firmware" is not an absolute path`,
			`linux.maskedPaths[2]: is missing: an absolute path is needed`,
			`linux.readonlyPaths[0]: "proc/sys" is not an absolute path`,
			`linux.readonlyPaths[1]: "/a\x00" contains a NUL byte, where the kernel would end it`,
			`linux.mountLabel: "x\x00" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"linux": {"rootfsPropagation": "rslave"}}`, nil},
		{`{"linux": {"rootfsPropagation": "public"}}`, []string{
			`linux.rootfsPropagation: unknown propagation "public": must be one of shared, slave, private, unbindable`,
		}},

		// Resctrl, memory policy, personality.
		{`{"linux": {"intelRdt": {"closID": "/", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L2:0=f"]}}}`, nil},
		{`{"linux": {"intelRdt": {"closID": "a/b", "l3CacheSchema": "0=f\nL3:1=f", "memBwSchema": "0=20", "schemata": ["a", "b\nc"]}}}`, []string{
			`linux.intelRdt.closID: "a/b" is not the name of a directory of resctrl, nor / for the default class`,
			`linux.intelRdt.l3CacheSchema: "0=f\nL3:1=f" is more than one line`,
			`linux.intelRdt.memBwSchema: "0=20" does not begin with MB:`,
			`linux.intelRdt.schemata[1]: "b\nc" is more than one line`,
			`warning: linux.intelRdt.l3CacheSchema: "0=f\nL3:1=f" does not begin with L3:`,
		}},
		{`{"linux": {"intelRdt": {"closID": ".."}}}`, []string{
			`linux.intelRdt.closID: ".." is not the name of a directory of resctrl, nor / for the default class`,
		}},
		{`{"linux": {"memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}}}`, nil},
		{`{"linux": {"memoryPolicy": {"mode": "BIND", "nodes": "1-0", "flags": ["STATIC"]}}}`, []string{
			`linux.memoryPolicy.mode: unknown memory policy "BIND": must be one of MPOL_DEFAULT, MPOL_BIND, MPOL_INTERLEAVE, MPOL_WEIGHTED_INTERLEAVE, MPOL_PREFERRED, MPOL_PREFERRED_MANY, MPOL_LOCAL`,
			`linux.memoryPolicy.nodes: "1-0" is no list of memory nodes such as 0-3,7: "1-0" ends before it begins`,
			`linux.memoryPolicy.flags[0]: unknown flag of a memory policy "STATIC": must be one of MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES`,
		}},
		{`{"linux": {"memoryPolicy": {"mode": "MPOL_LOCAL", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}}}`, []string{
			`linux.memoryPolicy.nodes: "0" is given, but MPOL_LOCAL takes no nodes`,
			`linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other`,
		}},
		{`{"linux": {"memoryPolicy": {"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_NUMA_BALANCING"]}}}`, []string{
			`linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes`,
			`linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING is for MPOL_BIND and MPOL_PREFERRED_MANY, not MPOL_PREFERRED`,
		}},
		{`{"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "flags": ["MPOL_F_NUMA_BALANCING"]}}}`, []string{
			`linux.memoryPolicy.nodes: is missing: MPOL_BIND needs at least one node`,
		}},
		{`{"linux": {"personality": {"domain": "LINUX32"}}}`, nil},
		{`{"linux": {"personality": {"domain": "BSD", "flags": ["X"]}}}`, []string{
			`linux.personality.domain: unknown execution domain "BSD": must be one of LINUX, LINUX32`,
			`linux.personality.flags[0]: unknown flag "X": the runtime-spec defines none`,
		}},

		// Device rules.
		{`{"linux": {"resources": {"devices": [{"allow": false}, {"allow": true, "type": "c", "major": -1, "minor": 5, "access": "rw"}, {"allow": true, "type": "p", "access": "rx"}, {"allow": true, "major": 1}, {"allow": true, "type": "b", "major": 4096, "minor": -2}]}}}`, []string{
			`linux.resources.devices[2].type: unknown device type "p": must be one of a, b, c`,
			`linux.resources.devices[2].access: unknown access "x" in "rx": must be made of r, w and m`,
			`linux.resources.devices[3].major: 1 is given, but without type b or c the rule is for all devices`,
			`linux.resources.devices[4].major: 4096 is out of range: from 0 to 4095, or -1 for any`,
			`linux.resources.devices[4].minor: -2 is out of range: from 0 to 1048575, or -1 for any`,
		}},

		// Memory, cpu, pids.
		{`{"linux": {"resources": {"memory": {"limit": -2, "reservation": -2, "swap": -2, "kernelTCP": -2, "kernel": 5, "swappiness": 101}}}}`, []string{
			`linux.resources.memory.limit: -2 is out of range: from 0, or -1 for no limit`,
			`linux.resources.memory.reservation: -2 is out of range: from 0, or -1 for no limit`,
			`linux.resources.memory.swap: -2 is out of range: from 0, or -1 for no limit`,
			`linux.resources.memory.kernelTCP: -2 is out of range: from 0, or -1 for no limit`,
			`linux.resources.memory.swappiness: 101 is out of range: from 0 to 100`,
			`warning: linux.resources.memory.kernel: 5 is ignored: Linux has no such limit since 5.4`,
		}},
		{`{"linux": {"resources": {"memory": {"limit": -1, "swap": 99}}}}`, nil}, // cgroup v2 can do this
		{`{"linux": {"resources": {"memory": {"limit": 100, "swap": 99}}}}`, []string{
			`linux.resources.memory.swap: 99 is below the limit, which is 100: swap limits memory and swap together`,
		}},
		{`{"linux": {"resources": {"memory": {"swap": 99}}}}`, []string{
			`linux.resources.memory.swap: 99 is given without a limit: swap limits memory and swap together | set linux.resources.memory.limit, or remove swap`,
		}},
		{`{"linux": {"resources": {"memory": {"swap": 99}}}}`, []string{
			`linux.resources.memory.swap: 99 is given without a limit: swap limits memory and swap together | set linux.resources.memory.limit, or remove swap`,
		}},
		{`{"linux": {"resources": {"memory": {"limit": 100, "reservation": 200, "swap": -1, "swappiness": 100}}}}`, nil},
		{`{"linux": {"resources": {"cpu": {"shares": 1, "quota": 999, "period": 999, "burst": 1000, "idle": 2, "cpus": "0-", "mems": "x"}}}}`, []string{
			`linux.resources.cpu.quota: 999 is out of range: from 1000 microseconds, or -1 for no limit`,
			`linux.resources.cpu.period: 999 is out of range: from 1000 to 1000000 microseconds`,
			`linux.resources.cpu.burst: 1000 is above the quota, which is 999`,
			`linux.resources.cpu.idle: 2 is neither 0 nor 1`,
			`linux.resources.cpu.cpus: "0-" is no list of CPUs such as 0-3,7: "0-" is neither a number nor a range`,
			`linux.resources.cpu.mems: "x" is no list of memory nodes such as 0-3,7: "x" is neither a number nor a range`,
			`warning: linux.resources.cpu.shares: 1 is out of range, from 2 to 262144: taken as the nearest`,
		}},
		{`{"linux": {"resources": {"cpu": {"shares": 262145, "quota": -2, "period": 1000001, "realtimeRuntime": 1000001}}}}`, []string{
			`linux.resources.cpu.quota: -2 is out of range: from 1000 microseconds, or -1 for no limit`,
			`linux.resources.cpu.period: 1000001 is out of range: from 1000 to 1000000 microseconds`,
			`linux.resources.cpu.realtimeRuntime: 1000001 is above the period, which is 1000000`,
			`warning: linux.resources.cpu.shares: 262145 is out of range, from 2 to 262144: taken as the nearest`,
		}},
		{`{"linux": {"resources": {"cpu": {"shares": 0, "quota": -1, "period": 0, "burst": 5, "realtimeRuntime": 950000, "realtimePeriod": 900000, "idle": 1, "cpus": "0-1,3"}}}}`, []string{
			`linux.resources.cpu.realtimeRuntime: 950000 is above the period, which is 900000`,
		}},
		{`{"linux": {"resources": {"pids": {"limit": -2}}}}`, []string{
			`linux.resources.pids.limit: -2 is out of range: from 0, or -1 for no limit`,
		}},
		{`{"linux": {"resources": {"pids": {"limit": 0}}}}`, nil},

		// Block I/O, huge pages, network, rdma, unified.
		{`{"linux": {"resources": {"blockIO": {"weight": 9, "leafWeight": 1001, "weightDevice": [{"major": 8, "minor": 0}, {"major": 8, "minor": 0, "weight": 5}, {"major": -1, "minor": 1, "leafWeight": 10}], "throttleReadBpsDevice": [{"major": 4096, "minor": 0, "rate": 1}], "throttleWriteIOPSDevice": [{"major": 8, "minor": -1, "rate": 1}]}}}}`, []string{
			`linux.resources.blockIO.weight: 9 is out of range: from 10 to 1000`,
			`linux.resources.blockIO.leafWeight: 1001 is out of range: from 10 to 1000`,
			`linux.resources.blockIO.weightDevice[0]: weighs nothing: weight or leafWeight is needed`,
			`linux.resources.blockIO.weightDevice[1].weight: 5 is out of range: from 10 to 1000`,
			`linux.resources.blockIO.weightDevice[2].major: -1 is out of range: from 0 to 4095`,
			`linux.resources.blockIO.throttleReadBpsDevice[0].major: 4096 is out of range: from 0 to 4095`,
			`linux.resources.blockIO.throttleWriteIOPSDevice[0].minor: -1 is out of range: from 0 to 1048575`,
		}},
		{`{"linux": {"resources": {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "2M", "limit": 1}, {"pageSize": "02MB", "limit": 1}, {"limit": 1}]}}}`, []string{
			`linux.resources.hugepageLimits[1].pageSize: "2M" is no page size such as 64KB, 2MB or 1GB`,
			`linux.resources.hugepageLimits[2].pageSize: "02MB" is no page size such as 64KB, 2MB or 1GB`,
			`linux.resources.hugepageLimits[3].pageSize: "" is no page size such as 64KB, 2MB or 1GB`,
		}},
		{`{"linux": {"resources": {"network": {"priorities": [{"name": "eth0", "priority": 1}, {"name": "", "priority": 1}]}}}}`, []string{
			`linux.resources.network.priorities[1].name: "" cannot be the name of a network device: it is empty`,
		}},
		{`{"linux": {"resources": {"rdma": {"mlx5_1": {"hcaHandles": 3}, "mlx4_0": {}, "": {"hcaObjects": 1}}}}}`, []string{
			`linux.resources.rdma.mlx4_0: limits nothing: hcaHandles or hcaObjects is needed`,
			`linux.resources.rdma[""]: is no name of a device`,
		}},
		{`{"linux": {"resources": {"unified": {"cgroup.procs": "1", "cgroup.threads": "1", "cgroup.freeze": "0", "cgroup.kill": "", "cgroup.type": "threaded", "cgroup.subtree_control": "", "cgroup.max.depth": "2", "cgroup.max.descendants": "2", "cgroup.pressure": "0"}}}}`, []string{
			`linux.resources.unified["cgroup.freeze"]: is not a limit: davit itself manages the container's cgroup with this file | ` + "`davit pause` freezes a container",
			`linux.resources.unified["cgroup.kill"]: is not a limit: davit itself manages the container's cgroup with this file | ` + "`davit kill --all` kills every process of a container",
			`linux.resources.unified["cgroup.procs"]: is not a limit: davit itself manages the container's cgroup with this file | ` + "`davit exec` adds a process to a container",
			`linux.resources.unified["cgroup.subtree_control"]: is not a limit: davit itself manages the container's cgroup with this file | remove the key: the container enables controllers for its own sub-cgroups`,
			`linux.resources.unified["cgroup.threads"]: is not a limit: davit itself manages the container's cgroup with this file | ` + "`davit exec` adds a process to a container",
			`linux.resources.unified["cgroup.type"]: is not a limit: davit itself manages the container's cgroup with this file | remove the key: a container's cgroup is a domain`,
		}},
		{`{"linux": {"resources": {"unified": {"memory.high": "1", "": "1", "a/b.c": "1", ".hidden": "1", "cpu": "1"}}}}`, []string{
			`linux.resources.unified.cpu: is not of the form controller.parameter, as files of a cgroup are named`,
			`linux.resources.unified[""]: a file of the cgroup must be named`,
			`linux.resources.unified[".hidden"]: is not of the form controller.parameter, as files of a cgroup are named`,
			`linux.resources.unified["a/b.c"]: must name a file of the cgroup itself, without slashes`,
		}},

		// Hooks and annotations.
		{`{"hooks": {"prestart": [{"path": "/bin/true"}], "createRuntime": [{"path": "bin/a", "timeout": 0}], "createContainer": [{}], "startContainer": [{"path": "/a", "timeout": -1}], "poststart": [{"path": "/a", "env": ["X"]}], "poststop": [{"path": "/a", "args": ["a", "b\u0000"], "timeout": 5}]}}`, []string{
			`hooks.createRuntime[0].path: "bin/a" is not an absolute path`,
			`hooks.createRuntime[0].timeout: 0 is no time: a number of seconds above 0 is needed, or none for no limit`,
			`hooks.createContainer[0].path: is missing: an absolute path is needed`,
			`hooks.startContainer[0].timeout: -1 is no time: a number of seconds above 0 is needed, or none for no limit`,
			`hooks.poststart[0].env[0]: "X" has no =: NAME=value is needed`,
			`hooks.poststop[0].args[1]: "b\x00" contains a NUL byte, where the kernel would end it`,
		}},
		{`{"annotations": {"": "x", "a": ""}}`, []string{
			`annotations[""]: an annotation must have a name`,
		}},

		// Sections of other platforms.
		{`{"windows": {"layerFolders": 5}, "solaris": {"milestone": "x"}, "vm": [], "somethingNew": {"a": [1]}}`, nil},
	} {
		if got := said(t, patched(t, c.patch), Options{}); !slices.Equal(got, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.patch, got, c.want)
		}
	}
}

func TestRulesThatDependOnTheCaller(t *testing.T) {
	for _, c := range []struct {
		patch string
		o     Options
		want  []string
	}{
		{`{"linux": {"cgroupsPath": "system.slice:davit:c1"}}`, Options{SystemdCgroup: true}, nil},
		{`{"linux": {"cgroupsPath": "/a/b"}}`, Options{SystemdCgroup: true}, []string{
			`linux.cgroupsPath: "/a/b" is not of the form slice:prefix:name, which option SystemdCgroup needs`,
		}},
		{`{}`, Options{Rootless: true}, []string{
			"linux.namespaces: without root's privileges a container needs a user namespace | `davit spec --rootless` writes such a config",
		}},
		{`{"process": {"args": null}}`, Options{Exec: true}, []string{
			"process.args: is missing: the program to run and its arguments | name a program after the container's id, or in the file of option Process",
		}},
		{`{"linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user", "path": "/proc/7/ns/user"}, {"type": "network"}], "netDevices": {"eth0": {}}}}`,
			Options{Rootless: true}, []string{
				`linux.netDevices: is given, but moving devices of the host needs root's privileges`,
			}},
	} {
		if got := said(t, patched(t, c.patch), c.o); !slices.Equal(got, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.patch, got, c.want)
		}
	}
}
