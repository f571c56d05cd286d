package plan

// Op is the code of a step's type in an encoded plan.
type Op uint32

// One line a step: its code is its place in this list, which Go, the generated
// C header and the names that people read all come from.
var ops = [...]struct {
	name string
	zero Step
}{
	{"join", Join{}}, {"unshare", Unshare{}}, {"fork", Fork{}}, {"identity", Identity{}},
	{"sync", Sync{}}, {"keyring", Keyring{}}, {"enter time", EnterTime{}},
	{"propagation", Propagation{}}, {"root", Root{}}, {"mount", Mount{}}, {"copy up", CopyUp{}}, {"bind", Bind{}},
	{"remount", Remount{}}, {"symlink", Symlink{}}, {"device", Device{}}, {"console", Console{}},
	{"mask", Mask{}}, {"read only", ReadOnly{}}, {"root read only", RootReadOnly{}},
	{"pivot", Pivot{}}, {"root propagation", RootPropagation{}}, {"sysctl", Sysctl{}},
	{"hostname", Hostname{}}, {"domainname", Domainname{}}, {"loopback", Loopback{}},
	{"hook", Hook{}}, {"setsid", Setsid{}}, {"rlimit", Rlimit{}}, {"lift nofile", LiftNoFile{}},
	{"restore nofile", RestoreNoFile{}}, {"scheduler", Scheduler{}},
	{"io priority", IOPriority{}}, {"affinity", Affinity{}}, {"memory policy", MemoryPolicy{}},
	{"personality", Personality{}}, {"umask", Umask{}}, {"no new privileges", NoNewPrivileges{}},
	{"label", Label{}}, {"stdio owner", StdioOwner{}}, {"bounding", Bounding{}}, {"user", User{}},
	{"capabilities", Capabilities{}}, {"chdir", Chdir{}}, {"program", Program{}}, {"ready", Ready{}},
	{"wait start", WaitStart{}}, {"seccomp", Seccomp{}}, {"exec", Exec{}},
}

func (o Op) String() string {
	if int(o) < len(ops) {
		return ops[o].name
	}
	return "unknown step"
}

const (
	opJoin Op = iota
	opUnshare
	opFork
	opIdentity
	opSync
	opKeyring
	opEnterTime
	opPropagation
	opRoot
	opMount
	opCopyUp
	opBind
	opRemount
	opSymlink
	opDevice
	opConsole
	opMask
	opReadOnly
	opRootReadOnly
	opPivot
	opRootPropagation
	opSysctl
	opHostname
	opDomainname
	opLoopback
	opHook
	opSetsid
	opRlimit
	opLiftNoFile
	opRestoreNoFile
	opScheduler
	opIOPriority
	opAffinity
	opMemoryPolicy
	opPersonality
	opUmask
	opNoNewPrivileges
	opLabel
	opStdioOwner
	opBounding
	opUser
	opCapabilities
	opChdir
	opProgram
	opReady
	opWaitStart
	opSeccomp
	opExec
)

func (Join) op() Op            { return opJoin }
func (Unshare) op() Op         { return opUnshare }
func (Fork) op() Op            { return opFork }
func (Identity) op() Op        { return opIdentity }
func (Sync) op() Op            { return opSync }
func (EnterTime) op() Op       { return opEnterTime }
func (Keyring) op() Op         { return opKeyring }
func (Propagation) op() Op     { return opPropagation }
func (Root) op() Op            { return opRoot }
func (Mount) op() Op           { return opMount }
func (CopyUp) op() Op          { return opCopyUp }
func (Bind) op() Op            { return opBind }
func (Remount) op() Op         { return opRemount }
func (Symlink) op() Op         { return opSymlink }
func (Device) op() Op          { return opDevice }
func (Console) op() Op         { return opConsole }
func (Mask) op() Op            { return opMask }
func (ReadOnly) op() Op        { return opReadOnly }
func (RootReadOnly) op() Op    { return opRootReadOnly }
func (Pivot) op() Op           { return opPivot }
func (RootPropagation) op() Op { return opRootPropagation }
func (Sysctl) op() Op          { return opSysctl }
func (Hostname) op() Op        { return opHostname }
func (Domainname) op() Op      { return opDomainname }
func (Loopback) op() Op        { return opLoopback }
func (Hook) op() Op            { return opHook }
func (Setsid) op() Op          { return opSetsid }
func (Rlimit) op() Op          { return opRlimit }
func (LiftNoFile) op() Op      { return opLiftNoFile }
func (RestoreNoFile) op() Op   { return opRestoreNoFile }
func (Scheduler) op() Op       { return opScheduler }
func (IOPriority) op() Op      { return opIOPriority }
func (Affinity) op() Op        { return opAffinity }
func (MemoryPolicy) op() Op    { return opMemoryPolicy }
func (Personality) op() Op     { return opPersonality }
func (Umask) op() Op           { return opUmask }
func (NoNewPrivileges) op() Op { return opNoNewPrivileges }
func (Label) op() Op           { return opLabel }
func (StdioOwner) op() Op      { return opStdioOwner }
func (Bounding) op() Op        { return opBounding }
func (User) op() Op            { return opUser }
func (Capabilities) op() Op    { return opCapabilities }
func (Chdir) op() Op           { return opChdir }
func (Program) op() Op         { return opProgram }
func (Ready) op() Op           { return opReady }
func (WaitStart) op() Op       { return opWaitStart }
func (Seccomp) op() Op         { return opSeccomp }
func (Exec) op() Op            { return opExec }

// OpOf returns the code of a step's type.
func OpOf(s Step) Op { return s.op() }
