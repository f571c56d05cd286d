// Gen writes functions that decode structs from JSON and encode them, on top of
// davit/internal/jsonx, without reflection when they run.
//
//	go run davit/build/jsongen -type State,Record -out state_json.go
//
// writes decodeState(*jsonx.Decoder, *State) and encodeState(*jsonx.Encoder, *State). It does so
// for the named structs of the package in the working directory, and for the structs that they
// contain. Names come from the json tags, with omitempty and "-", as in encoding/json. Fields may
// be booleans, integers, floats, strings, types made of these, structs, pointers, slices, maps with
// string keys, jsonx.Raw, and types with a text form (encoding.TextMarshaler and TextUnmarshaler,
// such as time.Time). The generator refuses other types (interfaces, []byte, arrays): use a type
// that says what is meant.
//
// With -only encode, or -only decode, it writes functions of that kind alone.
//
// The package need not compile before: the functions that are about to be written may be missing.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"strings"
)

type options struct {
	pkg      string   // import path of the types; empty for the package in the working directory
	names    []string // names of the types
	out      string
	pkgName  string // name of the package that the output belongs to
	export   bool
	only     string // "decode" or "encode"; empty writes both
	platform string
}

func main() {
	var o options
	var names string
	flag.StringVar(&o.pkg, "pkg", "", "import `path` of the package that has the types (default: the one here)")
	flag.StringVar(&names, "type", "", "`names` of the struct types, comma-separated")
	flag.StringVar(&o.out, "out", "", "`file` to write")
	flag.StringVar(&o.pkgName, "package", "", "`name` of the package that the file belongs to (default: that of the types)")
	flag.BoolVar(&o.export, "export", false, "name the functions DecodeX and EncodeX instead of decodeX and encodeX")
	flag.StringVar(&o.only, "only", "", "write functions of one kind alone: `decode` or encode")
	flag.StringVar(&o.platform, "platform", "linux", "leave out fields whose platform tag does not list this `name`")
	flag.Parse()
	o.names = strings.Split(names, ",")
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.only != "" && o.only != "decode" && o.only != "encode" {
		return fmt.Errorf("-only: %q: decode or encode", o.only)
	}
	if o.names[0] == "" || o.out == "" {
		return fmt.Errorf("-type and -out are needed")
	}
	p, err := load(o.pkg, o.out)
	if err != nil {
		return err
	}
	g := &generator{options: o, home: p, imports: map[string]string{}, done: map[string]bool{}}
	if o.pkgName == "" {
		g.pkgName = p.Name()
	}
	g.foreign = o.pkg != "" && o.pkgName != ""
	for _, name := range o.names {
		if err := g.addNamed(name); err != nil {
			return err
		}
	}
	var body bytes.Buffer
	for len(g.todo) > 0 {
		t := g.todo[0]
		g.todo = g.todo[1:]
		if err := g.structFuncs(&body, t); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	src, err := format.Source(append(g.header(), body.Bytes()...))
	if err != nil {
		return fmt.Errorf("what was generated is not Go (a bug): %w", err)
	}
	return os.WriteFile(o.out, src, 0o644)
}
