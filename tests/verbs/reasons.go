package main

const head = `# Verbs, flags and outputs beside runc's and crun's

Written by ` + "`make verbs`" + ` from the three programs' --help and a session with each. It fails if davit lacks a flag of runc's,
or has another, without a reason given here. Where the host has hybrid cgroups, crun, which does not know them, saw cgroup
v2 alone, without controllers for memory and pids.

`

// verbs has the verbs in the order of the page; "" means the global flags.
var verbs = []string{"", "create", "start", "run", "exec", "state", "kill", "delete", "list", "ps", "pause", "resume", "update", "events",
	"spec", "features", "checkpoint", "restore", "explain", "trace", "verify", "mounts"}

var verbReasons = map[string]string{
	"":           "An unknown flag or verb is an error with exit status 1 and one line; runc prints the whole help besides.",
	"start":      "With NOTIFY_SOCKET set, here and at create, start waits until the container is ready, and says so with its pid as MAINPID, as runc does.",
	"exec":       "What davit itself fails at has exit status 255, as with runc. Flags given beside `--process FILE` are over the file; runc ignores them. Capabilities, AppArmor profile, SELinux label, umask and OOM score that the file leaves out are the container's, as with runc. `--cap` does not touch the inheritable set, and the ambient one only where the capability is inheritable already, as with runc. `--preserve-fds N` fails if fewer than N descriptors were opened; runc then passes its own.",
	"kill":       "Names with and without SIG, numbers, and realtime signals (RTMIN+3), which runc takes as numbers only. Signal 0 asks whether there is a process. `--all` is hidden in runc's help; on a stopped container it does nothing and succeeds, as with both. HUP, INT, QUIT and TERM end a created container, as with runc; with crun it stays.",
	"list":       "A container whose state cannot be read is shown as broken, in JSON with the error; runc prints an error and leaves it out.",
	"ps":         "Without options of ps(1): -ef. An empty option counts as none.",
	"update":     "`--resources` with other flags is an error; runc ignores the flags. All of linux.resources is taken from the file, runc takes memory, cpu, blockIO.weight, pids and unified. A refused value puts back those written before it, and the stored config always has what is set.",
	"events":     "runc's field names. davit adds pressure (psi) on a hybrid host too, hugetlb, and the figures of the container's network interfaces.",
	"features":   "runtime-spec 1.3's document, with memoryPolicy and netDevices.",
	"checkpoint": "By CRIU 3.16 or later, as with both ([checkpoint.md](checkpoint.md)). The default of `--network-lock` is nftables where iptables-restore is not in PATH; runc and crun fail there.",
	"restore":    "CRIU has a mount namespace of its own; runc and crun mount in the host's. The checkpoint of runc can be restored, too, if the bundle is the same.",
	"explain":    "davit's own: the plan for a bundle, without making anything.",
	"trace":      "davit's own: what `--trace` has written, as a table.",
	"verify":     "davit's own: what a running container has otherwise than its config asks.",
	"mounts":     "crun's own, experimental.",
}

// reasons says why a flag does not exist in all three runtimes. The key is VERB --FLAG, or --FLAG
// for every verb.
var reasons = map[string]string{
	"--trace":                    "davit: a timeline of every step",
	" --cgroup-manager":          "crun's, which Podman gives; davit takes it for Podman's sake",
	" --log-level":               "crun's; davit's default is warning, crun's is error",
	"create --config":            "crun's: the file may be anywhere",
	"run --config":               "the same",
	"create --no-subreaper":      "crun's, and hidden in davit: neither makes a subreaper at create",
	"checkpoint --network-lock":  "crun's",
	"checkpoint --tcp-close":     "crun's",
	"restore --config":           "as create's",
	"restore --no-new-keyring":   "crun's and conmon's",
	"restore --pidfd-socket":     "as create's",
	"list --all-roots":           "davit: the containers of the engines' state directories, too",
	"restore --network-lock":     "crun's",
	"restore --preserve-fds":     "runc's, hidden there: a warning says that the process has the descriptors that it had",
	"restore --tcp-close":        "crun's",
	"spec --file":                "crun's",
	"kill --all":                 "accepted by runc, too, but hidden there",
	"kill --regex":               "crun's; a failure is the exit status, too, once all that match were tried",
	"delete --regex":             "the same",
	"events --format":            "davit: a table with live figures for people; JSON is the default",
	"update --kernel-memory":     "crun's, and hidden in runc and davit: the kernel ignores or refuses this limit since 5.4",
	"update --kernel-memory-tcp": "crun's, and hidden in runc and davit: a limit of cgroup v1, which davit refuses on v2",
}

func reason(verb, name string) (string, bool) {
	if why, ok := reasons[verb+" --"+name]; ok {
		return why, true
	}
	why, ok := reasons["--"+name]
	return why, ok
}
