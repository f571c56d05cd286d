// Gen reads the definitions of the wire between davit and the stage, which are Go declarations, and
// writes all that follows from them:
//
//   - internal/plan/steps.go, the steps, and internal/plan/wire.go, the header of an encoded plan
//   - nsenter/message.go, the messages
//
// It writes internal/plan/steps_gen.go (op codes, names, visit methods, the record's layout) and
// nsenter/stage/plan.h (the same for C). It is run by `go generate ./internal/plan`.
package main

import (
	"fmt"
	"go/format"
	"hash/fnv"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	for path, data := range generate() {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns the files by their paths. It reads, and its paths are, below the directory plan.
func generate() map[string][]byte {
	w := wire{
		steps: readSteps(parse("steps.go")), phases: readConsts(parse("steps.go"), "Phase"),
		header: readStruct(parse("wire.go"), "header"), consts: readValues(parse("wire.go")),
		kinds: readConsts(parse("../../nsenter/message.go"), "Kind"), message: readStruct(parse("../../nsenter/message.go"), "record"),
	}
	w.measure()
	source, err := format.Source([]byte(w.golang()))
	if err != nil {
		log.Fatal(err)
	}
	return map[string][]byte{"steps_gen.go": source, "../../nsenter/stage/plan.h": []byte(w.c())}
}

// wire is all that both languages have to agree on.
type wire struct {
	steps           []step
	phases, kinds   []string
	header, message []field
	consts          []value
	// How many numbers, references to data and descriptors a record has room for.
	nums, refs, fds int
}

// measure finds the smallest record that holds every step.
func (w *wire) measure() {
	for _, s := range w.steps {
		var nums, refs, fds int
		for _, a := range s.args {
			switch a.kind {
			case number:
				nums++
			case text, list:
				refs++
			case descriptor:
				fds++
			}
		}
		w.nums, w.refs, w.fds = max(w.nums, nums), max(w.refs, refs), max(w.fds, fds)
	}
	w.fds |= 1 // so that op and descriptors fill whole words of 8 bytes: numbers follow without padding
}

func (w *wire) recordSize() int { return 4 + 4*w.fds + 8*w.nums + 8*w.refs }

// fingerprint is of everything that the other side must have alike. A stage of another build refuses a plan by it.
func (w *wire) fingerprint() uint32 {
	h := fnv.New32a()
	fmt.Fprintln(h, w.nums, w.refs, w.fds, w.phases, w.kinds, w.header, w.message, w.consts)
	for _, s := range w.steps {
		fmt.Fprintln(h, s.name, s.args)
	}
	return h.Sum32()
}

func upper(words string) string { return strings.ToUpper(strings.ReplaceAll(words, " ", "_")) }
