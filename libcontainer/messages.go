package libcontainer

import "fmt"

// The wording that engines look for. Nothing else in davit's messages is
// matched by anybody, as far as is known.
//
//	who         what it looks for            what it then does
//	containerd  does not exist               treats the container as gone
//	containerd  container not running        kill: "not found"
//	containerd  os: process already finished the same
//	containerd  no such process              the same
//	CRI-O       no such process, container not running, invalid process
//	Podman      executable file not found in, no such file or directory  exit status 127
//	Podman      permission denied, operation not permitted               exit status 126
//	Docker      executable file not found, no such file or directory     exit status 127
//	Docker      permission denied            exit status 126
const (
	textNotExist   = "container does not exist"
	textNotRunning = "container not running"
	textNotFound   = "executable file not found in $PATH"
)

func notExist(id string) error { return fmt.Errorf("%s: %q", textNotExist, id) }
