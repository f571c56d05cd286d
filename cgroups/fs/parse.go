package fs

import (
	"math"
	"strconv"
	"strings"
)

// ParseNumber returns the number that a file contains. "max" is the largest uint64, anything else
// that is no number 0.
func ParseNumber(s string) uint64 {
	if s == "max" {
		return math.MaxUint64
	}
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// ParseList returns the numbers of a list as the kernel prints it: "0-3,7", with or without blanks
// beside the commas. Parts that it cannot read are left out.
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

// PageSize returns the name that the kernel's files have for a huge page of kib KiB, "2MB" for
// "2048".
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
