// Package spec loads a bundle's config.json, says everything that is wrong with
// it, and knows what this host can do.
//
// Three things, kept apart:
//   - reading (Load, Decode, Write) gives the same result on every host;
//   - Validate is a pure function from the config to all its problems;
//   - Facts is the only part that asks the kernel, one fact at a time, once.
package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ConfigFile is the name of the configuration in a bundle (runtime-spec, bundle.md).
const ConfigFile = "config.json"

// Load reads and decodes bundle/config.json. It does not validate: see Validate.
// A relative bundle is taken from the working directory.
func Load(bundle string) (*specs.Spec, error) {
	path := filepath.Join(bundle, ConfigFile)
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("bundle %s has no %s: %w", bundle, ConfigFile, err)
		}
		return nil, err
	}
	return Decode(data)
}
