package plan

// visitor is shown a step's arguments in their fixed order. The position of an
// argument among those of its kind is its slot in the encoded record.
type visitor interface {
	num(name string, v uint64, f format)
	str(name, v string)
	list(name string, v []string)
	fd(name string, v FD)
}

// format says how a number reads.
type format uint8

const (
	decimal format = iota
	octal
	hex
	boolean
	mountFlags // MS_*
	attrFlags  // MOUNT_ATTR_*
	cloneFlags // CLONE_NEW*
	capSet
	device // dev_t
	phase
)

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (s Join) visit(v visitor) {
	v.fd("fd", s.FD)
	v.num("types", s.Types, cloneFlags)
	v.str("name", s.Name)
}

func (s Unshare) visit(v visitor) { v.num("types", s.Types, cloneFlags) }

func (s Fork) visit(v visitor) {
	v.num("types", s.Types, cloneFlags)
	v.num("mappable", flag(s.Mappable), boolean)
}

func (Identity) visit(visitor) {}

func (s Sync) visit(v visitor) { v.num("phase", uint64(s.Phase), phase) }

func (Keyring) visit(visitor) {}

func (s EnterTime) visit(v visitor) { v.fd("proc", s.Proc) }

func (s Propagation) visit(v visitor) { v.num("flags", s.Flags, mountFlags) }

func (s Root) visit(v visitor) {
	v.fd("tree", s.Tree)
	v.str("path", s.Path)
	v.num("propagation", s.Propagation, mountFlags)
}

func (s Mount) visit(v visitor) {
	v.str("type", s.Type)
	v.str("source", s.Source)
	v.str("target", s.Target)
	v.str("data", s.Data)
	v.num("flags", s.Flags, mountFlags)
	v.num("propagation", s.Propagation, mountFlags)
	v.num("nofollow", flag(s.NoFollow), boolean)
	v.num("keepmode", flag(s.KeepMode), boolean)
}

func (s CopyUp) visit(v visitor) {
	v.str("target", s.Target)
	v.list("options", s.Options)
	v.num("set", s.Set, attrFlags)
	v.num("propagation", s.Propagation, mountFlags)
	v.num("ownuid", flag(s.OwnUID), boolean)
	v.num("owngid", flag(s.OwnGID), boolean)
	v.num("ownmode", flag(s.OwnMode), boolean)
}

func (s Bind) visit(v visitor) {
	v.fd("tree", s.Tree)
	v.str("source", s.Source)
	v.str("target", s.Target)
	v.num("recursive", flag(s.Recursive), boolean)
	v.num("set", s.Set, attrFlags)
	v.num("clear", s.Clear, attrFlags)
	v.num("recset", s.RecSet, attrFlags)
	v.num("recclear", s.RecClear, attrFlags)
	v.num("propagation", s.Propagation, mountFlags)
	v.num("nofollow", flag(s.NoFollow), boolean)
	v.num("type", s.Type, hex)
	v.num("rdev", s.Rdev, device)
}

func (s Remount) visit(v visitor) {
	v.str("target", s.Target)
	v.list("options", s.Options)
	v.num("set", s.Set, attrFlags)
	v.num("clear", s.Clear, attrFlags)
	v.num("propagation", s.Propagation, mountFlags)
}

func (s Symlink) visit(v visitor) {
	v.str("target", s.Target)
	v.str("link", s.Link)
}

func (s Device) visit(v visitor) {
	v.str("path", s.Path)
	v.num("mode", s.Mode, octal)
	v.num("rdev", s.Rdev, device)
	v.num("uid", s.UID, decimal)
	v.num("gid", s.GID, decimal)
}

func (s Console) visit(v visitor) {
	v.fd("socket", s.Socket)
	v.num("rows", s.Rows, decimal)
	v.num("cols", s.Cols, decimal)
	v.num("uid", s.UID, decimal)
	v.num("mount", flag(s.Mount), boolean)
}

func (s Mask) visit(v visitor)     { v.str("path", s.Path) }
func (s ReadOnly) visit(v visitor) { v.str("path", s.Path) }
func (RootReadOnly) visit(visitor) {}
func (s Pivot) visit(v visitor) {
	v.num("move", flag(s.Move), boolean)
	v.num("chroot", flag(s.Chroot), boolean)
	v.fd("root", s.Root)
}
func (s RootPropagation) visit(v visitor) { v.num("flags", s.Flags, mountFlags) }

func (s Sysctl) visit(v visitor) {
	v.fd("proc", s.Proc)
	v.str("key", s.Key)
	v.str("value", s.Value)
}

func (s Hostname) visit(v visitor)   { v.str("name", s.Name) }
func (s Domainname) visit(v visitor) { v.str("name", s.Name) }
func (Loopback) visit(visitor)       {}

func (s Hook) visit(v visitor) {
	v.str("path", s.Path)
	v.list("args", s.Args)
	v.list("env", s.Env)
	v.num("timeout", s.Timeout, decimal)
	v.str("state", s.State)
	v.num("atroot", flag(s.AtRoot), boolean)
}

func (Setsid) visit(visitor) {}

func (s Rlimit) visit(v visitor) {
	v.str("name", s.Name)
	v.num("resource", s.Resource, decimal)
	v.num("soft", s.Soft, decimal)
	v.num("hard", s.Hard, decimal)
}

func (LiftNoFile) visit(visitor)    {}
func (RestoreNoFile) visit(visitor) {}

func (s Scheduler) visit(v visitor)  { v.str("attr", s.Attr) }
func (s IOPriority) visit(v visitor) { v.num("value", s.Value, hex) }
func (s Affinity) visit(v visitor)   { v.str("mask", s.Mask) }

func (s MemoryPolicy) visit(v visitor) {
	v.num("mode", s.Mode, hex)
	v.str("nodes", s.Nodes)
	v.num("max", s.Max, decimal)
}

func (s Personality) visit(v visitor) { v.num("value", s.Value, hex) }
func (s Umask) visit(v visitor)       { v.num("mask", s.Mask, octal) }
func (NoNewPrivileges) visit(visitor) {}
func (s StdioOwner) visit(v visitor)  { v.num("uid", s.UID, decimal) }
func (s Bounding) visit(v visitor)    { v.num("keep", s.Keep, capSet) }
func (Ready) visit(visitor)           {}
func (s WaitStart) visit(v visitor)   { v.fd("socket", s.Socket) }

func (s Label) visit(v visitor) {
	v.fd("proc", s.Proc)
	v.str("file", s.File)
	v.str("text", s.Text)
}

func (s User) visit(v visitor) {
	v.num("uid", s.UID, decimal)
	v.num("gid", s.GID, decimal)
	v.num("keepgroups", flag(s.KeepGroups), boolean)
	v.str("groups", s.Groups)
}

func (s Capabilities) visit(v visitor) {
	v.num("effective", s.Effective, capSet)
	v.num("permitted", s.Permitted, capSet)
	v.num("inheritable", s.Inheritable, capSet)
	v.num("ambient", s.Ambient, capSet)
}

func (s Chdir) visit(v visitor) {
	v.str("path", s.Path)
	v.num("uid", s.UID, decimal)
	v.num("gid", s.GID, decimal)
	v.num("create", flag(s.Create), boolean)
	v.num("readonly", flag(s.ReadOnly), boolean)
}

func (s Program) visit(v visitor) {
	v.str("name", s.Name)
	v.list("paths", s.Paths)
}

func (s Seccomp) visit(v visitor) {
	v.str("program", s.Program)
	v.str("state", s.State)
	v.num("flags", s.Flags, hex)
	v.fd("listener", s.Listener)
}

func (s Exec) visit(v visitor) {
	v.list("args", s.Args)
	v.list("env", s.Env)
	v.num("preserve", s.Preserve, decimal)
}
