// Package plan defines the list of steps that make a container. davit decides everything in Go and writes it down as this ordered list
// of typed steps. The stage carries the steps out in the new namespaces, and decides nothing.
//
// A plan is data: it is printed by `davit explain`, compared in golden tests,
// encoded for the stage (see [Plan.Encode]) and, because each step remembers
// the field of config.json that it comes from, it turns a failed step back into
// an error that names that field. The package does no I/O.
//
//go:generate go run ./gen
package plan

// Plan has the steps for one process of a container, in the order in which they are carried out.
type Plan struct {
	// Clone are the CLONE_NEW* flags with which the stage itself is cloned.
	Clone uint64
	// Descriptors are opened by the parent, in order, before anything is
	// cloned. Steps refer to them by FD.
	Descriptors []Descriptor
	// Steps are carried out by the stage.
	Steps []Entry
	// Trace makes the stage record when each step began and ended.
	Trace bool
}

// Entry is a step and the field of config.json that asked for it, as in
// "mounts[3]". The field is empty for what davit does for every container.
type Entry struct {
	Field string
	Step  Step
	// Late describes what is still filled in before the step is carried out, for explain. It is empty if nothing is.
	Late string
}

// Step is one thing to do. Only types of this package implement it.
type Step interface {
	op() Op
	// visit calls a method of the visitor for every argument. The encoding, explain and the generated C header all use it.
	visit(v visitor)
}

// FD refers to a descriptor by its index in Plan.Descriptors. The zero value
// refers to none.
type FD int32

// NoFD is the reference to no descriptor.
const NoFD FD = 0

// Kind says how the parent opens a Descriptor.
type Kind uint8

// The kinds of descriptors.
const (
	// Path is opened with O_PATH.
	Path Kind = iota
	// Tree is a detached copy of the mount at Path (open_tree, Linux 5.2).
	Tree
	// TreeRecursive is a Tree with all mounts below it.
	TreeRecursive
	// Namespace is a namespace file, checked to be of type Flags (CLONE_NEW*).
	Namespace
	// Proc is the host's procfs, checked to be one.
	Proc
	// StateTree is a Tree of a directory in the state directory, which does not exist when the others are opened.
	StateTree
	// Listen is the socket in the state directory on which the stage waits for start.
	Listen
	// Connect is a connection to the unix socket at Path.
	Connect
	// Given is a descriptor that the caller already holds, known by Path as its name.
	Given
	// Instance is a new filesystem of type Path that shows a namespace of type Flags (CLONE_NEW*): a procfs, sysfs or mqueue
	// of Namespace, or of davit's own. It is made with davit's privileges, for a container whose user namespace has none over it.
	Instance
	// Node is a device of its own that the parent makes: see [Descriptor.Node].
	Node
	// Own is opened by the stage itself, in a step Source. The parent leaves its place empty.
	Own
)

var kindNames = [...]string{
	Path: "path", Tree: "tree", TreeRecursive: "tree with submounts", Namespace: "namespace", Proc: "procfs",
	StateTree: "tree of the state directory", Listen: "start socket", Connect: "connection", Given: "descriptor", Instance: "new filesystem", Node: "new device", Own: "tree of the stage's",
}

func (k Kind) String() string { return kindNames[k] }

// Descriptor describes a file, mount or socket of the host that the stage gets as an open descriptor.
type Descriptor struct {
	Kind  Kind
	Path  string
	Flags uint64 // Namespace, Instance: the CLONE_NEW* type
	Field string // of config.json
	// Maps are the mappings that a tree gets, as uid_map, NUL, gid_map (MOUNT_ATTR_IDMAP, Linux 5.12). The parent does it: it
	// takes privileges over the filesystem, which the stage has left behind if there is a user namespace.
	Maps    string
	MapsAll bool // they are for all mounts of the tree
	// Within: the tree is a copy made in the mount namespace of the stage, once that has one (see Sources). If that belongs to
	// another user namespace, what the host has read-only, nosuid, … and covered there is locked so (mount_namespaces(7)).
	Within bool
	// Namespace is an earlier descriptor: the namespace that an Instance shows, or the user namespace whose mappings a tree gets.
	// For an Instance, NoFD is davit's own: then the stage gets a copy of the host's filesystem if the kernel refuses davit a new one.
	Namespace FD
	Options   []string // of an Instance: "name" or "name=value" (fsconfig(2))
	Set       uint64   // MOUNT_ATTR_* that an Instance has from the start: the kernel may demand those of the host's (mount_too_revealing)
	// Apart: the parent copies the tree in a mount namespace that it makes for that: it is a slave of the host's mounts, and holds no
	// file of a mount namespace, as if it was copied Within.
	Apart bool
	// Link says that a symbolic link at the end of Path is opened itself and not followed.
	Link bool
	// Below is the container's root directory on the host, if Path is resolved below that; else "".
	Below string
	Node  DeviceNode // of kind Node
}

// DeviceNode has the arguments of mknod(2) and chown(2) for a device.
type DeviceNode struct {
	Mode     uint64 // with S_IFCHR or S_IFBLK
	Rdev     uint64 // the major number in the upper 32 bits, the minor in the lower
	UID, GID int    // on the host
}

// Mapped reports whether a tree gets id mappings.
func (d *Descriptor) Mapped() bool { return d.Maps != "" || d.Namespace != NoFD && d.Kind != Instance }

// Add appends a step.
func (p *Plan) Add(field string, s Step) { p.Steps = append(p.Steps, Entry{Field: field, Step: s}) }

// Open appends a descriptor and returns the reference to it.
func (p *Plan) Open(d Descriptor) FD {
	p.Descriptors = append(p.Descriptors, d)
	return FD(len(p.Descriptors))
}

// ForkStep returns the index of the fork step, -1 if there is none.
func (p *Plan) ForkStep() int {
	for i := range p.Steps {
		if p.Steps[i].Step.op() == opFork {
			return i
		}
	}
	return -1
}

// RenameFields replaces the field of each descriptor and step by what f returns for it.
func (p *Plan) RenameFields(f func(field string) string) {
	for i := range p.Descriptors {
		p.Descriptors[i].Field = f(p.Descriptors[i].Field)
	}
	for i := range p.Steps {
		p.Steps[i].Field = f(p.Steps[i].Field)
	}
}
