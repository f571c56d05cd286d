package plan

// What crosses to the stage, beside the steps. The C side of all that is generated from here, from
// steps.go and from nsenter/message.go (internal/plan/gen).

const (
	// Magic begins an encoded plan: "DVT1".
	Magic = 0x44565431
	// MaxSize is the greatest size of an encoded plan, in bytes.
	MaxSize = 64 << 20
	// What is special about a bind mount: Bind.How.

	// BindRecursive takes along what is mounted below the source.
	BindRecursive = 1
	// BindTargetLink mounts on a symbolic link itself, if the target is one. There must be something.
	BindTargetLink = 2
	// BindNoLinks refuses a symbolic link anywhere in the target (CVE-2023-27561).
	BindNoLinks = 4
	// BindInRoot means that the source lies in the container's root, where the stage resolves it, as it does targets.
	BindInRoot = 8
	// BindSourceLink binds a symbolic link itself, if the source with BindInRoot is one.
	BindSourceLink = 16
	// BindAgain lets the stage copy a source by its path, while the host is still there (see Pivot).
	BindAgain = 32
	// BindLate lets the stage copy the source by its path when its turn comes, for want of descriptors: after the mounts
	// before it. It comes with BindAgain.
	BindLate = 64
	// pidMarkByte and pidMarkLen make up PIDMark.
	pidMarkByte = 1
	pidMarkLen  = 10
)

// PIDMark stands for the container process's pid in a State: it is only known
// once the process exists, so the stage overwrites the mark with digits and spaces.
const PIDMark string = "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"

// header begins an encoded plan; the records of the steps follow, then data: strings, and lists of
// offsets of strings. All is in the machine's byte order, as both sides are the same machine.
type header struct {
	Magic       uint32
	Fingerprint uint32
	Size        uint32 // of the whole, in bytes
	NSteps      uint32
	Data        uint32 // offset of the data, in bytes
	NFDs        uint32 // how many descriptors the plan counts on
	Trace       uint32 // 1: the stage tells when each step began and ended
	Reserved    uint32
}

// Op is the code of a step's type in an encoded plan. The codes have no meaning beyond one build.
type Op uint32

// String returns the step's name as `davit explain` prints it.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "unknown step"
}

// OpOf returns the code of a step's type.
func OpOf(s Step) Op { return s.op() }

// visitor is shown a step's arguments in their fixed order. The position of an
// argument among those of its kind is its slot in the encoded record.
type visitor interface {
	num(name string, v uint64, f format)
	str(name, v string)
	list(name string, v []string)
	fd(name string, v FD)
}

// format says how a number reads: the tag `plan:"…"` of a step's field, decimal without one.
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
	bindHow
	phase
	id // a user's or group's: 0 is said, too
)

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
