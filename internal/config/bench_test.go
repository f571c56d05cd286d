package config

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// configs returns the configs that the benchmarks read: the default one, and what containerd writes
// for a container of a Kubernetes pod.
func configs(tb testing.TB) map[string][]byte {
	tb.Helper()
	var b bytes.Buffer
	if err := Write(&b, Default()); err != nil {
		tb.Fatal(err)
	}
	pod, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		tb.Fatal(err)
	}
	return map[string][]byte{"default": b.Bytes(), "pod": pod}
}

func BenchmarkDecode(b *testing.B) {
	for name, data := range configs(b) {
		b.Run(name+"/davit", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := json.Unmarshal(data, new(specs.Spec)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	for name, data := range configs(b) {
		s, err := Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if validate(s, Options{}) != nil {
					b.Fatal("problems")
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	s := Default()
	b.Run("davit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := Write(io.Discard, s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.MarshalIndent(s, "", "\t"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
