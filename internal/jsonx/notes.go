package jsonx

import "strings"

// Note describes something in JSON text that can be decoded, but that its author probably did not
// mean.
type Note struct {
	Path    string // the path of the property: root.readOnly
	Message string
	Hint    string // the cure, or empty
}

// Text returns message and hint in one line.
func (n Note) Text() string {
	if n.Hint == "" {
		return n.Message
	}
	return n.Message + "; " + n.Hint
}

// maxNotes is how many notes a decoder collects at most: for each it has to compute the path.
const maxNotes = 50

// watcher collects notes.
type watcher struct {
	notes []Note
	// seen has the property names of each object that is open, by depth.
	seen []map[string]bool
}

// Watch makes the decoder collect notes from now on. That costs time and memory, and is meant for
// `check`.
func (d *Decoder) Watch() { d.watch = &watcher{} }

// Notes returns what is odd about the text read so far: names of properties that are unknown, in
// another case, for another platform, or given twice. It returns at most 50 notes, and nil if Watch
// was not called.
func (d *Decoder) Notes() []Note {
	if d.watch == nil {
		return nil
	}
	return d.watch.notes
}

// begin is called when an object or array of that depth begins.
func (w *watcher) begin(depth int) {
	for len(w.seen) <= depth {
		w.seen = append(w.seen, nil)
	}
	w.seen[depth] = nil
}

// watchKey adds a note if the object had the property before that Next has just found.
func (d *Decoder) watchKey() {
	seen := d.watch.seen[d.depth]
	if seen == nil {
		seen = map[string]bool{}
		d.watch.seen[d.depth] = seen
	}
	if seen[d.key] {
		d.note("is there twice: the last one counts", "remove one of them")
	}
	seen[d.key] = true
}

// note adds a note about the property that Next has found. It must be called before the value is
// read.
func (d *Decoder) note(message, hint string) {
	if len(d.watch.notes) < maxNotes {
		d.watch.notes = append(d.watch.notes, Note{pathAt(d.data, d.pos), message, hint})
	}
}

// Fold handles a property whose name matches none exactly. It looks in known, names separated by
// blanks, for one that differs only in case, as encoding/json does, and makes that the key.
// elsewhere has the names of properties of other platforms.
func (d *Decoder) Fold(known, elsewhere string) bool {
	given := d.key
	for name := range strings.SplitSeq(known, " ") {
		if len(given) <= 2*len(name) && strings.EqualFold(name, given) {
			d.key = name
			if d.watch != nil {
				d.note("is taken for "+name+", as runc does, but the spec's names are in that very case, and crun ignores others", "write it "+name)
				d.watchKey()
			}
			return true
		}
	}
	if d.watch == nil {
		return false
	}
	for name := range strings.SplitSeq(elsewhere, " ") {
		if name == given {
			d.note("is for other platforms than Linux, and ignored", "")
			return false
		}
	}
	hint := ""
	if near := nearest(given, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	d.note("is unknown, and ignored", hint)
	return false
}

// nearest returns the one of names that given may be a misspelling of: no more than a third of it
// is wrong. "" is none.
func nearest(given, names string) string {
	best, least := "", len(given)/3+1
	for name := range strings.SplitSeq(names, " ") {
		if n := distance(strings.ToLower(given), strings.ToLower(name), least); n < least {
			best, least = name, n
		}
	}
	return best
}

// distance returns how many bytes must be inserted, removed, replaced or exchanged with their
// neighbour to make b of a, or a number that is not less than most (Damerau–Levenshtein, optimal
// string alignment).
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
