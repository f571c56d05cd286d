package libcontainer

// The words that engines look for in davit's messages, beside those of the errors that a store has. Nothing else in them is
// matched by anybody, as far as is known.
const (
	textNotFound = "executable file not found in $PATH"
)

// Situation is one in which davit's message has words that somebody matches.
type Situation string

// The situations. TestMatches of tests/integration makes each of them.
const (
	NoContainer   Situation = "any verb: there is no such container"
	HasEnded      Situation = "kill, exec, pause, update: the container's process has ended"
	NoProgram     Situation = "create, exec: the program is nowhere in PATH"
	NoFile        Situation = "create, exec: the program is a path where nothing is"
	NotExecutable Situation = "create, exec: the program may not be executed"
	NoPrivilege   Situation = "create: the kernel refuses something that takes more privileges"
)

// Match is what an engine looks for, and does when it finds it.
type Match struct {
	Who  string
	When Situation
	Text string // a part of the message; case matters
	Then string
}

// Matches are those known: from the sources of containerd 2 (checkKillError of its runc shim), CRI-O
// 1.3x, Podman 5 (the regular expressions of getOCIRuntimeError) and Docker 28 (setExitCodeFromError).
// Of "os: process already finished", "no such process" and "invalid process", which
// they look for as well, runc says none here: like it, davit says that the container is not running.
func Matches() []Match {
	return []Match{
		{"containerd", NoContainer, "does not exist", "takes it for gone"},
		{"containerd", HasEnded, "container not running", "kill: not found"},
		{"CRI-O", HasEnded, "container not running", "stop: it is done"},
		{"Podman", NoProgram, "executable file not found in", "exit status 127"},
		{"Podman", NoFile, "no such file or directory", "exit status 127"},
		{"Podman", NotExecutable, "permission denied", "exit status 126"},
		{"Podman", NoPrivilege, "operation not permitted", "exit status 126"},
		{"Docker", NoProgram, "executable file not found", "exit status 127"},
		{"Docker", NoFile, "no such file or directory", "exit status 127"},
		{"Docker", NotExecutable, "permission denied", "exit status 126"},
	}
}
