package libcontainer

import (
	"path/filepath"

	"davit/internal/config"
)

// What crun's annotations mean. Package spec knows their names, and checks their values.

// pidfdReceivers returns the sockets that get the process's pidfd, each with the name that errors have for it.
func (c *creation) pidfdReceivers() []pidfdReceiver {
	list := []pidfdReceiver{{"option PidfdSocket", c.PidfdSocket}}
	if path := c.Spec.Annotations[config.AnnotationPidfd]; path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Bundle, path)
		}
		list = append(list, pidfdReceiver{"annotations[" + config.AnnotationPidfd + "]", path})
	}
	return list
}

// pidfdReceiver is a socket that gets a pidfd, or nothing if the path is empty.
type pidfdReceiver struct{ name, path string }
