package fs

import (
	"math"
	"strconv"
	"strings"
)

func ParseNumber(s string) uint64 {
	if s == "max" {
		return math.MaxUint64
	}
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// parseList reads the kernel's lists, "0-3,7", also with blanks beside the commas.
func ParseList(s string) []uint16 {
	var out []uint16
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		for ; a <= b; a++ {
			out = append(out, uint16(a))
		}
	}
	return out
}

// pageSize is what the kernel calls a huge page of so many KiB in its files: "2MB".
func PageSize(kib string) string {
	n := ParseNumber(kib)
	switch {
	case n >= 1<<20:
		return strconv.FormatUint(n>>20, 10) + "GB"
	case n >= 1<<10:
		return strconv.FormatUint(n>>10, 10) + "MB"
	}
	return strconv.FormatUint(n, 10) + "KB"
}
