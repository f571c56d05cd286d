package libcontainer

import (
	"os"

	"davit/internal/checkpoint"

	"golang.org/x/sys/unix"
)

// keys returns CRIU's keys of the three standard streams that a new container gets (checkpoint.StreamKey).
func (s *Stdio) keys() []string {
	keys := make([]string, 3)
	for i, f := range [...]*os.File{s.In, s.Out, s.Err} {
		switch f {
		case nil:
			keys[i] = os.DevNull
		case os.Stdin: // as in fill
			keys[i] = checkpoint.StreamKey(unix.Stdin)
		case os.Stdout:
			keys[i] = checkpoint.StreamKey(unix.Stdout)
		case os.Stderr:
			keys[i] = checkpoint.StreamKey(unix.Stderr)
		default:
			keys[i] = checkpoint.StreamKey(int(f.Fd()))
		}
	}
	return keys
}
