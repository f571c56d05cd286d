package main

import (
	"fmt"
	"strings"
)

var colours = map[string]string{"davit": "#1f6feb", "crun": "#e3862b", "runc": "#8a8f98", floorName: "#c9ced6"}

// chart draws the rows about time as bars. Each row has its own scale, because the chart is for
// comparing the contestants.
func (r *report) chart() string {
	const label, bars, line, gap, top = 170, 430, 13, 14, 64
	var b strings.Builder
	y := top
	for _, row := range r.Rows {
		if row.Unit != "ms" {
			continue
		}
		widest := 0.0
		for _, x := range row.Results {
			widest = max(widest, x.Time.Median)
		}
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", label-8, y+10, row.Name+row.View.note())
		for _, name := range contestantNames {
			x := row.Results[name]
			if x == nil || x.Error != "" {
				continue
			}
			width := x.Time.Median / widest * bars
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
				label, y, width, line-2, colours[name])
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\">%.2f</text>\n", label+width+5, y+10, x.Time.Median)
			y += line
		}
		y += gap
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">
<rect width="100%%" height="100%%" fill="white"/>
<text x="10" y="20" font-size="14">Time of each verb, median, milliseconds (shorter is better)</text>
%s%s<text x="10" y="%d" fill="#57606a">%s; %s</text>
</svg>
`, label+bars+70, y+30, r.legend(), b.String(), y+14, r.Host, r.Date)
}

func (r *report) legend() string {
	var b strings.Builder
	x := 10
	for _, name := range contestantNames {
		fmt.Fprintf(&b, "<rect x=\"%d\" y=\"33\" width=\"11\" height=\"11\" fill=\"%s\"/><text x=\"%d\" y=\"43\">%s</text>\n",
			x, colours[name], x+16, strings.TrimSpace(name+" "+version(r.Versions[name])))
		x += 110
	}
	return b.String()
}

// version returns the first word of a runtime's version, without Debian's suffix.
func version(said string) string {
	first, _, _ := strings.Cut(said, " ")
	number, _, _ := strings.Cut(first, "+")
	return number
}

// note returns a remark if a row is not from the usual view.
func (v view) note() string {
	if v == v1 {
		return " (v1)"
	}
	return ""
}
