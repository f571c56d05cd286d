// Package sample has a struct with every kind of field that the generator takes.
package sample

import (
	"time"

	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate go run davit/build/jsongen -type Sample -out sample_json.go

type (
	word   string
	number int32
	flag   bool
)

type inner struct {
	Name  string `json:"name"`
	Next  *inner `json:"next,omitempty"`
	Count uint8  `json:"count,omitempty"`
}

// Embedded is part of Sample as if its fields were Sample's.
type Embedded struct {
	Major int64 `json:"major"`
	minor int64 //lint:ignore U1000 not exported: not a property
}

// Sample has a field of every kind.
type Sample struct {
	Embedded
	Text      string   `json:"text"`
	Untagged  string   // has its Go name
	Hidden    string   `json:"-"`
	Dash      string   `json:"-,"` //lint:ignore SA5008 a property of the name "-"
	Word      word     `json:"word,omitempty"`
	Number    number   `json:"number,omitempty"`
	Flag      flag     `json:"flag,omitempty"`
	Float     float64  `json:"float,omitempty"`
	Uintptr   uintptr  `json:"uintptr,omitempty"`
	Int8      int8     `json:"int8"`
	Words     []word   `json:"words,omitempty"`
	Lines     []string `json:"lines"`
	Grid      [][]string
	Pointers  []*inner             `json:"pointers,omitempty"`
	Inner     inner                `json:"inner"`
	Far       *inner               `json:"far"`
	Maybe     *bool                `json:"maybe,omitempty"`
	MaybeText *string              `json:"maybeText"`
	Labels    map[string]string    `json:"labels"`
	Groups    map[word][]inner     `json:"groups,omitempty"`
	Deep      map[string]*[]number `json:"deep,omitempty"`
	Raw       jsonx.Raw            `json:"raw"`
	When      time.Time            `json:"when"`
	Later     *time.Time           `json:"later,omitempty"`
	Times     []time.Time          `json:"times,omitempty"`
	Resources *specs.LinuxResources
	Status    specs.ContainerState `json:"status"`
}
