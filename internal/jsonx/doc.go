// Package jsonx reads and writes JSON without reflection: a pull decoder, an
// encoder, and nothing that runs at start-up. The functions that fill structs
// are written by a generator from the types themselves.
//
// # For your own struct
//
// Put this beside the type and run `go generate`:
//
//	//go:generate go run davit/build/jsongen -type State -out state_json.go
//
// It writes decodeState and encodeState, and the same for every struct that State
// is made of. The structs of runtime-spec are not written again: they are in
// davit/internal/config/specjson. (davit/build/jsongen lists its flags and what types it
// takes.) Then:
//
//	func readState(data []byte) (*State, error) {
//		var s State
//		d := jsonx.NewDecoder("davit.json", data)
//		decodeState(&d, &s)
//		return &s, d.End()
//	}
//
//	func (s *State) json() []byte {
//		var e jsonx.Encoder // e.Indent = "\t" for people
//		encodeState(&e, s)
//		return e.Bytes()
//	}
//
// Structs and slices of structs that s points to beforehand are filled instead of
// new ones: a state that is read often can bring its own memory.
//
// By hand it reads like this:
//
//	if d.Object() { // false for null
//		for d.Next() {
//			switch d.Key() {
//			case "pid":
//				s.Pid = int(d.Int(64))
//			case "args":
//				s.Args = d.Strings()
//			default:
//				d.Skip()
//			}
//		}
//	}
//
// # What is read
//
// RFC 8259, stricter and clearer than encoding/json:
//   - generated functions take property names in any case, as encoding/json does (code by hand:
//     in the very case); unknown ones are skipped (but must be well-formed); of duplicate ones
//     the last wins, entirely. Notes tells of all three;
//   - null is the same as an absent property;
//   - text that is not UTF-8 and unpaired surrogates (\ud800) are refused, where
//     encoding/json puts U+FFFD in their place;
//   - nesting deeper than MaxDepth is refused;
//   - a byte order mark and anything after the value are refused.
//
// After the first error everything reads as empty, so that callers check once, in
// End. The error knows line, column and path of the value; see Error.
package jsonx
