package config

import (
	"davit/internal/sys"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ConfigFile is the name of the configuration in a bundle (runtime-spec, bundle.md).
const ConfigFile = "config.json"

// MaxConfig is the largest file that Load reads, in bytes. Engines write some
// ten kilobytes; a thousand times as much is a mistake.
const MaxConfig = 16 << 20

// Load reads and decodes bundle/config.json. It does not validate: see Validate.
// A relative bundle is taken from the working directory. Errors of reading wrap a
// unix.Errno, those of decoding are of type *jsonx.Error.
func Load(bundle string) (*specs.Spec, error) {
	data, err := Read(bundle)
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

// Read returns the text of bundle/config.json.
func Read(bundle string) ([]byte, error) {
	return sys.ReadSmall(unix.AT_FDCWD, filepath.Join(bundle, ConfigFile), MaxConfig, 0)
}
