// Package featuresjson encodes and decodes the features document of runtime-spec
// (features.md, features-linux.md).
package featuresjson

//go:generate go run davit/build/jsongen -pkg github.com/opencontainers/runtime-spec/specs-go/features -type Features -only encode -export -package featuresjson -out features.go
