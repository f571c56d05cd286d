package config

import (
	"path/filepath"

	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// ConfigFile is the name of the configuration in a bundle (runtime-spec, bundle.md).
const ConfigFile = "config.json"

// MaxConfig is the size in bytes of the largest file that Read accepts. Engines write some ten
// kilobytes; a file a thousand times as large is a mistake.
const MaxConfig = 16 << 20

// Read returns the contents of bundle/config.json. A relative bundle is relative to the working
// directory. Errors wrap a unix.Errno.
func Read(bundle string) ([]byte, error) {
	return sys.ReadSmall(unix.AT_FDCWD, filepath.Join(bundle, ConfigFile), MaxConfig, 0)
}
