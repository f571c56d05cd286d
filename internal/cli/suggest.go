package cli

import "strings"

// Suggest returns "; did you mean X?" with the known word that was probably meant, or "".
func Suggest(word string, known []string) string {
	most := 2 // the most slips; in a short word, two slips would make another word
	switch n := len(strings.TrimLeft(word, "-")); {
	case n == 1:
		most = 0
	case n <= 4:
		most = 1
	}
	best := ""
	for _, k := range known {
		if d := slips(word, k); d <= most {
			best, most = k, d-1
		}
	}
	// If a word is the beginning of exactly one known word, that counts more than a known word
	// with a slip: stat means state, not start.
	begins := ""
	for _, k := range known {
		if len(word) > 2 && strings.HasPrefix(k, word) {
			if begins != "" {
				begins = ""
				break
			}
			begins = k
		}
	}
	if begins != "" {
		best = begins
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// slips returns the number of slips between two words: letters that are left out, added, exchanged,
// or swapped with their neighbour (the optimal string alignment distance).
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			exchanged := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				exchanged++
			}
			d := min(exchanged, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
