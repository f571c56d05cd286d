package limits

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Compare reports whether the file of w in the open directory dir has the value of w (same), and
// returns what it has. file is w, or w.Alt if that one's file exists. A file that may be missing,
// or that can only be written, counts as the same. If it cannot be read for another reason, have is
// the error's text.
func Compare(dir int, w *Write) (file *Write, have string, same bool) {
	have, err := readValue(dir, w.File)
	if errors.Is(err, unix.ENOENT) && w.Alt != nil {
		w = w.Alt
		have, err = readValue(dir, w.File)
	}
	switch {
	case errors.Is(err, unix.ENOENT) && w.Flags&mayLack != 0,
		errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES): // a file that can only be written
		return w, "", true
	case err != nil:
		return w, err.Error(), false
	}
	have = strings.TrimSpace(have)
	if w.Flags&Keyed != 0 {
		have = lineOf(have, w.Value)
	} else if all, ok := strings.CutPrefix(have, "default "); ok && !strings.HasPrefix(w.Value, "default") {
		have, _, _ = strings.Cut(all, "\n") // a weight; lines for single devices follow
	}
	if w.Ctrl == "cpuset" { // a list, in which blanks do not separate values
		return w, have, sameWord(w.Value, have)
	}
	return w, have, sameValue(w.Value, have)
}

// lineOf returns the line of a keyed file that begins with the key of value, "" if there is none.
func lineOf(text, value string) string {
	key, _, _ := strings.Cut(value, " ")
	for line := range strings.SplitSeq(text, "\n") {
		if k, _, _ := strings.Cut(line, " "); k == key {
			return line
		}
	}
	return ""
}

// sameValue compares what was written with what is read. They may differ in form: the kernel rounds
// sizes down to pages, prints lists as ranges, and shows fields that were not written.
func sameValue(want, have string) bool {
	if want == have {
		return true
	}
	w, h := strings.Fields(want), strings.Fields(have)
	if len(w) == 0 || len(h) < len(w) {
		return false
	}
	if strings.Contains(want, "=") { // io.max: its words may have any order
		shown := " " + strings.Join(h, " ") + " "
		for _, word := range w {
			if !strings.Contains(shown, " "+word+" ") {
				return false
			}
		}
		return true
	}
	for i := range w {
		if !sameWord(w[i], h[i]) {
			return false
		}
	}
	return true
}

func sameWord(want, have string) bool {
	if want == have {
		return true
	}
	a, errA := strconv.ParseInt(want, 10, 64)
	b, errB := strconv.ParseInt(have, 10, 64)
	switch {
	case errA == nil && errB == nil && a < 0: // on v1 a negative number is no limit
		return b < 0 || b >= 1<<62
	case errA == nil && errB == nil:
		return b == a-a%int64(unix.Getpagesize())
	case want == "max":
		return errB == nil && b >= 1<<62
	}
	return expandList(want) == expandList(have) && expandList(want) != ""
}

// expandList returns all numbers of a list as in cpuset(7), each followed by a comma; "" for what
// is no list.
func expandList(list string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		x, err := strconv.Atoi(from)
		y := x
		if err == nil && isRange {
			y, err = strconv.Atoi(to)
		}
		if err != nil || y-x > 4096 {
			return ""
		}
		for ; x <= y; x++ {
			b.WriteString(strconv.Itoa(x) + ",")
		}
	}
	return b.String()
}
