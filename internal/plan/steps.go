package plan

// The steps, in about the order in which a plan has them. What a field means
// to the kernel is in the man page of the system call that the step names.
//
// Each structure of this file is a step: its op code, its name, the encoding of its fields and
// the C side of them are generated from it (`go generate ./internal/plan`). The tag of a number says
// how it reads.

// Join enters a namespace, or with a pidfd the several namespaces of that
// process (setns(2)). A pid namespace takes effect at the next Fork.
type Join struct {
	FD    FD
	Types uint64 `plan:"cloneFlags"` // CLONE_NEW*
	Name  string // path or process, for people
}

// Unshare creates namespaces for the stage itself (unshare(2)).
type Unshare struct {
	Types uint64 `plan:"cloneFlags"`
}

// Fork goes on in a new process, a child of the stage's parent (clone3(2) with
// CLONE_PARENT), in new namespaces of the given types. It is needed to enter a
// pid namespace that exists, and to create or join a user namespace.
type Fork struct {
	Types uint64 `plan:"cloneFlags"`
	// Mappable lets a parent without root write the mappings: for that
	// moment the process is dumpable. The root of a user namespace does not need it, and there others may have the
	// same user, who as owner of the new namespace may trace what is dumpable in it.
	Mappable bool
}

// Identity takes user and group 0 of a new user namespace.
type Identity struct{}

// Sync tells the parent that a phase is reached and waits for its answer.
type Sync struct{ Phase Phase }

// Keyring joins a new session keyring (keyctl(2)), which has no name: that of one could
// be another container's, and whoever made it would share its keys.
type Keyring struct{}

// EnterTime enters the time namespace that an Unshare has made for children: an
// exec alone does it only on newer kernels than 6.1.
type EnterTime struct{ Proc FD }

// Propagation changes how mount events travel, for every mount below "/" of
// the new mount namespace.
type Propagation struct {
	Flags uint64 `plan:"mountFlags"`
}

// Source copies a mount tree of the host to Tree, a descriptor of kind Own, in the stage's mount namespace
// and before the container has mounted anything: no path of the host is looked up after that.
type Source struct {
	Tree      FD
	Path      string // on the host
	Recursive bool
	Link      bool   // a symbolic link is not followed, it is what is copied
	Set       uint64 `plan:"attrFlags"` // MOUNT_ATTR_*, of the top mount
	// Propagation of all mounts of the tree, MS_* flags: set if the stage is in the host's mount namespace, of whose mounts
	// the copies are peers. 0 leaves it as it is.
	Propagation uint64 `plan:"mountFlags"`
}

// Gather makes a mount namespace of a directory of the host and all that is mounted below it, at Tree, a descriptor of kind Own.
// It is for a container in a user namespace: the namespace belongs to that, so that its mounts are slaves of the host's, and
// locked: what is read-only or covered on the host stays so (Linux 7.2.11). All of them are made before the stage leaves
// the host's mount namespace, to which it cannot go back.
type Gather struct {
	Tree FD
	From FD     // the directory, or a tree; without one it is Path
	Path string // on the host
}

// Copy copies a mount tree in a mount namespace that a Gather has made, to Tree, a descriptor of kind Own.
type Copy struct {
	Tree, From FD
	Path       string // in the namespace; a symbolic link at its end is not followed
	Source     string // the same on the host, for people
	Same       FD     // what Path has to be, with O_PATH; NoFD for a directory, which is the namespace's root
	Recursive  bool
	Set        uint64 `plan:"attrFlags"` // MOUNT_ATTR_*, of the top mount
}

// Filesystem makes a new filesystem at Tree, a descriptor of kind Own, which a Mount attaches later. It is for a procfs or
// sysfs in a user namespace: the kernel allows a new one only in a mount namespace in which one is fully visible already
// (mount_too_revealing of the kernel's fs/namespace.c), and the host's is gone by the time of the Mount.
type Filesystem struct {
	Tree         FD
	Within       FD       // a mount namespace that a Gather has made, in which one is visible; NoFD is the stage's
	Type, Target string   // Target is for people
	Options      []string // as "name" or "name=value" (fsconfig(2))
	Set          uint64   `plan:"attrFlags"` // MOUNT_ATTR_*
}

// Root attaches the root filesystem's mount tree at its own path, from where
// everything else is resolved.
type Root struct {
	Tree FD     // or, without one, the stage copies Path itself
	Path string // on the host
	// Propagation of the tree, MS_* flags; 0 leaves it as it is.
	Propagation uint64 `plan:"mountFlags"`
}

// Enter makes a mount namespace that has the root filesystem's mount tree and nothing else, and goes there (open_tree(2) with
// OPEN_TREE_NAMESPACE, Linux 7.0). It takes the place of Root and Pivot: the host's mounts are not copied, and no name leads to
// one of them afterwards. Until then the stage is in the host's mount namespace, in which it mounts nothing.
type Enter struct {
	Tree FD     // the namespace, if a Gather has made it
	Path string // on the host
	// Propagation of the tree, MS_* flags. The namespace begins with peers of the host's mounts: it is set before anything is mounted.
	Propagation uint64 `plan:"mountFlags"`
	// Back keeps a way to the host's mount namespace, for a Bind with BindAgain.
	Back bool
}

// Confine makes the root filesystem the root directory of the stage (chroot(2)) while the host's mounts have to stay, so that
// absolute names and links of the container's end there. Lift undoes it, for hooks of the host.
type Confine struct{ Lift bool }

// Mount mounts a new filesystem instance on Target, which is made if missing.
type Mount struct {
	Tree FD // one that a Filesystem has made
	// Keep gets the new mount, a descriptor of kind Own: for a Remount, and to set Propagation. With it the filesystem is mounted in an
	// empty directory that nobody else can reach, so that a relative Source leads to no file, and from there on Target.
	Keep                       FD
	Type, Source, Target, Data string
	Flags                      uint64 `plan:"mountFlags"` // MS_*
	Propagation                uint64 `plan:"mountFlags"` // MS_*, 0: none asked for
	// NoFollow refuses a symbolic link in Target (CVE-2023-27561).
	NoFollow bool
	// KeepMode gives a tmpfs the mode of the directory that it covers, if there is one.
	KeepMode bool
	// Host: the kernel looks names of the host up for it, such as Source. It needs Confine, not Pivot, before it.
	Host bool
}

// CopyUp mounts a new tmpfs on Target with a copy of what Target held.
type CopyUp struct {
	Proc        FD // the host's procfs, by which a file that was found is opened
	Keep        FD // gets the new mount, a descriptor of kind Own: for a Remount
	Target      string
	Options     []string // of tmpfs, as "name" or "name=value" (fsconfig(2))
	Set         uint64   `plan:"attrFlags"`  // MOUNT_ATTR_*, but RDONLY: it is filled first
	Propagation uint64   `plan:"mountFlags"` // MS_*, 0: none asked for
	// Options say these of the new directory; otherwise they are the covered one's.
	OwnUID, OwnGID, OwnMode bool
}

// Bind attaches a copy of a mount tree of the host on Target.
type Bind struct {
	Tree FD // none with BindInRoot and BindLate
	Keep FD // gets what was attached, a descriptor of kind Own: for a Remount
	// Source on the host, or with BindInRoot in the container. If Tree holds the file of a mount namespace (nsfs),
	// which move_mount(2) refuses with ELOOP, the stage with BindAgain copies Source anew, without such files, if that is still
	// the same directory.
	Source     string
	Target     string
	How        uint64 `plan:"bindHow"`   // BindRecursive …
	Set, Clear uint64 `plan:"attrFlags"` // MOUNT_ATTR_*, of the top mount
	// Drop are MOUNT_ATTR_* that the top mount loses, too, unless the kernel has locked one of them
	// (mount_namespaces(7)): then all of Drop stay as they are.
	Drop        uint64 `plan:"attrFlags"`
	RecSet      uint64 `plan:"attrFlags"` // MOUNT_ATTR_*, of all mounts of the tree
	RecClear    uint64 `plan:"attrFlags"`
	Propagation uint64 `plan:"mountFlags"` // MS_*
	Type        uint64 `plan:"hex"`        // S_IFCHR or S_IFBLK, with Rdev: the device that the source must be
	Rdev        uint64 `plan:"device"`
}

// Remount changes attributes of the mount on Target (mount_setattr(2)), and options of its filesystem.
type Remount struct {
	Tree        FD // what an earlier step has kept; Target, whose name others may have moved meanwhile, is for people then
	Target      string
	Options     []string // of the filesystem, as "name" or "name=value" (fsconfig(2))
	Set, Clear  uint64   `plan:"attrFlags"`
	Propagation uint64   `plan:"mountFlags"`
}

// Options asks the kernel whether a type of filesystem knows options, which nothing is mounted with (fsconfig(2)).
type Options struct {
	Type    string
	Options []string // as "name" or "name=value"
}

// Symlink makes a symbolic link. What exists is left alone.
type Symlink struct {
	Target, Link string
	// Exact: what exists must be the same link.
	Exact bool
}

// Device makes a device node or fifo (mknod(2)). One that exists must be of that type and number, and stays as it is.
type Device struct {
	Path     string
	Mode     uint64 `plan:"octal"` // S_IF* and permissions
	Rdev     uint64 `plan:"device"`
	UID, GID uint64 // in the container
}

// Console makes a pseudoterminal in the container's devpts, makes it the
// process's stdio and controlling terminal, and sends its master to Socket.
type Console struct {
	Socket FD
	Rows   uint64
	Cols   uint64
	UID    uint64 // owner of the slave
	Mount  bool   // bind it on /dev/console
}

// Mask hides a path behind a null device or an empty directory, both read-only, if it exists.
type Mask struct {
	Path string
	Null FD // the host's /dev/null: the first step that needs it attaches it, others copies
}

// ReadOnly makes what is at a path read-only, if it exists.
type ReadOnly struct{ Path string }

// RootReadOnly makes the root filesystem's mount read-only.
type RootReadOnly struct{}

// Pivot makes the root filesystem the root (pivot_root(2)), and lets go of the host's: nothing of the host has a name
// in the mount namespace after it. It comes right after Root, before the first name of the container's is resolved, unless
// something needs the host for longer.
type Pivot struct {
	// Late is the field of config.json for which the host has stayed until now. It is for people.
	Late string
	// Move uses MS_MOVE and chroot(2) instead, for hosts that run from an initramfs.
	Move bool
	// Chroot uses chroot(2) only: the mount namespace is not the container's own.
	Chroot bool
	// Root is the directory to take; without it the one that step Root has made.
	Root FD
}

// RootPropagation sets the propagation of the mount that is now "/".
type RootPropagation struct {
	Flags uint64 `plan:"mountFlags"`
}

// Sysctl writes a kernel parameter through the host's procfs.
type Sysctl struct {
	Proc       FD
	Key, Value string // Key with slashes
}

// Hostname sets the UTS namespace's host name.
type Hostname struct{ Name string }

// Domainname sets the UTS namespace's NIS domain name.
type Domainname struct{ Name string }

// Loopback brings the network namespace's lo up.
type Loopback struct{}

// Hook runs a program of the config with the container's state on its stdin.
type Hook struct {
	Path    string
	Args    []string
	Env     []string
	Timeout uint64 // seconds; 0: none
	State   string // JSON; PIDMark in it becomes the process's pid
	AtRoot  bool   // the root filesystem becomes its working directory
}

// Setsid starts a new session.
type Setsid struct{}

// Rlimit sets a resource limit (prlimit(2)).
type Rlimit struct {
	Name       string
	Resource   uint64
	Soft, Hard uint64
}

// LiftNoFile raises the soft limit of open descriptors to the hard one, for a plan with more of them than davit's
// caller may have: Go has lifted davit's own, and gives the stage the caller's.
type LiftNoFile struct{}

// RestoreNoFile undoes LiftNoFile: the container process has the caller's limit.
type RestoreNoFile struct{}

// Scheduler sets policy and parameters (sched_setattr(2)).
type Scheduler struct{ Attr string }

// IOPriority sets the class and level (ioprio_set(2)).
type IOPriority struct {
	Value uint64 `plan:"hex"`
}

// Affinity sets the CPUs (sched_setaffinity(2)); without a mask, all that the cgroup allows.
type Affinity struct{ Mask string }

// MemoryPolicy sets the NUMA policy (set_mempolicy(2)).
type MemoryPolicy struct {
	Mode  uint64 `plan:"hex"`
	Nodes string // bit mask
	Max   uint64 // bits in it
}

// Personality sets the execution domain (personality(2)).
type Personality struct {
	Value uint64 `plan:"hex"`
}

// Umask sets the file mode creation mask.
type Umask struct {
	Mask uint64 `plan:"octal"`
}

// NoNewPrivileges sets PR_SET_NO_NEW_PRIVS.
type NoNewPrivileges struct{}

// Label writes an LSM attribute of the process, through the host's procfs.
type Label struct {
	Proc       FD
	File, Text string // attr/exec …
}

// StdioOwner gives the inherited stdio to the container's user, and replaces the host's /dev/null by the container's, or by
// a new one if that is missing: by the descriptor, its mode and owner could be changed.
type StdioOwner struct {
	UID  uint64
	Keep bool // the owner stays as it is
}

// Bounding drops every capability that is not in Keep from the bounding set.
type Bounding struct {
	Keep uint64 `plan:"capSet"`
}

// User sets groups and user, keeping the permitted capabilities.
type User struct {
	UID, GID uint64 `plan:"id"`
	Groups   string // an array of gid_t, in the machine's byte order
	// KeepGroups leaves the supplementary groups (where setgroups is denied).
	KeepGroups bool
}

// Capabilities sets the thread's capability sets, bit masks (capabilities(7)).
type Capabilities struct {
	Effective, Permitted, Inheritable, Ambient uint64 `plan:"capSet"`
}

// Chdir enters the working directory, made if it is missing, and checks
// that it is inside the container (CVE-2024-21626).
type Chdir struct {
	Path string
	// Owner of a directory that had to be made.
	UID, GID uint64
	Create   bool
	// ReadOnly: the root is read-only by now, and must not be while a directory is made.
	ReadOnly bool
}

// Program finds the executable among Paths, as the container's user.
type Program struct {
	Name  string
	Paths []string
}

// Ready tells the parent that the container is created, and lets go of it.
type Ready struct{}

// WaitStart waits for start: a connection to Socket, or without one a message
// of the parent.
type WaitStart struct{ Socket FD }

// Seccomp loads the filter, or sets it aside for the startContainer hooks that follow.
type Seccomp struct {
	Program  string // struct sock_filter, in order
	Flags    uint64 `plan:"hex"` // SECCOMP_FILTER_FLAG_*
	Listener FD     // gets the notification descriptor, with State
	State    string // JSON; PIDMark in it becomes the process's pid
	// ForHooks: each hook loads it in its own process, just before its exec. The stage goes on without.
	ForHooks bool
	// Reporter: the filter may forbid what tells of a failure after it; a second thread, which it does not bind, does that.
	Reporter bool
}

// Exec becomes the container process.
type Exec struct {
	Args, Env []string
	// Preserve is how many descriptors from 3 on stay open. It is for people: the stage is
	// started with them (nsenter.Options) and closes only what comes after.
	Preserve uint64
}

// Phase is a point at which the stage waits for its parent.
type Phase uint64

// The phases.
const (
	// Placed: the parent puts the process into its cgroups, sets their limits, the
	// offsets of its clocks and its OOM score, and moves devices to its network namespace.
	Placed Phase = 1 + iota
	// Mapped: the parent writes the mappings of a user namespace.
	Mapped
	// Hooks: the parent runs the prestart and createRuntime hooks.
	Hooks
	// Sources: the parent opens the descriptors that are Within.
	Sources
	// Delegated: the parent moves the process to a cgroup below the container's, which the
	// process then manages. The root of its cgroup namespace stays the container's.
	Delegated
)

func (p Phase) String() string { return phaseNames[p] }
