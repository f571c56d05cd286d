// Package config loads a bundle's config.json and reports everything that is wrong with it.
//
//   - Reading (Load, Decode) gives the same result on every host.
//   - Check is a pure function from the config to all its problems.
//
// What the host can do is known to package host.
package config
