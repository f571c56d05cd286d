package config

import (
	"davit/internal/sys"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ConfigFile is the name of the configuration in a bundle (runtime-spec, bundle.md).
const ConfigFile = "config.json"

// MaxConfig is the largest file that Read reads, in bytes. Engines write some
// ten kilobytes; a thousand times as much is a mistake.
const MaxConfig = 16 << 20

// Read returns the text of bundle/config.json. A relative bundle is taken from the working directory. Errors wrap a unix.Errno.
func Read(bundle string) ([]byte, error) {
	return sys.ReadSmall(unix.AT_FDCWD, filepath.Join(bundle, ConfigFile), MaxConfig, 0)
}
