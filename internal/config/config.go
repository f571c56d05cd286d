// Package config loads a bundle's config.json and reports everything that is wrong with it.
//
//   - Read and Decode give the same result on every host.
//   - Check returns all problems of a config. It decides by the config alone.
//
// Package host knows what the host can do.
package config
