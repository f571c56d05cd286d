// Package spec loads a bundle's config.json, says everything that is wrong with
// it, and knows what this host can do.
//
// Three things, kept apart:
//   - reading (Load, Decode, Write) gives the same result on every host;
//   - Validate is a pure function from the config to all its problems;
//   - Facts is the only part that asks the kernel, one fact at a time, once.
package spec
