package bench

import (
	"fmt"
	"math"
	"strings"
)

// picture is a bar chart of a record. less says that short bars are the better ones.
type picture struct {
	id, area    string
	title, unit string
	less        bool
	line        string // what the line at the aim says
}

var pictures = []picture{
	{id: "migration", area: "Migration", title: "Moving rows from SQLite into PostgreSQL", unit: "rows a second", line: "aim"},
	{id: "throughput", area: "Engine", title: "Tasks that do nothing, enqueued and run", unit: "tasks a second", line: "aim"},
	{id: "kill", area: "Engine", title: "kill -9 of a worker to its work running elsewhere", unit: "seconds, p99", less: true, line: "aim"},
	{id: "one-job", area: "Engine", title: "CPU of a step, by the steps of its job", unit: "microseconds of workers, Redis and scheduler", less: true, line: "aim"},
	{id: "dedupe", area: "Dedupe", title: "Finding duplicates among 9.6 million GUIDs", unit: "seconds", less: true, line: "aim"},
}

// alt says in words what the picture shows.
func (p picture) alt(r kept) string {
	var parts []string
	for _, b := range r.Bars[p.id] {
		parts = append(parts, b.Name+" "+b.Text)
	}
	text := p.title + ", " + p.unit + ": " + strings.Join(parts, ", ")
	if at := r.Aims[p.id]; at > 0 {
		text += "; " + p.line + " " + short(at)
	}
	return text
}

// The measures of a picture, in its own units.
const (
	chartWidth = 760
	chartNames = 250 // left of the bars
	chartTexts = 110 // right of the longest bar
	chartRow   = 30
	chartTop   = 64
)

var escaped = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// svg draws the bars. Its colours follow the reader's scheme; nothing depends on colour alone, as each bar has its name and its number.
func (p picture) svg(r kept) string {
	bars, at := r.Bars[p.id], r.Aims[p.id]
	most := at
	for _, b := range bars {
		most = math.Max(most, b.Value)
	}
	height := chartTop + len(bars)*chartRow + 34
	x := func(v float64) float64 { return chartNames + v/most*(chartWidth-chartNames-chartTexts) }
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title desc">
<title id="title">%s</title>
<desc id="desc">%s</desc>
<style>
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.back { fill: #ffffff }
.head { font-size: 16px; font-weight: 600 }
.unit, .says { fill: #59636e; font-size: 13px }
.name { text-anchor: end }
.ours { fill: #1f6feb }
.peer { fill: #9aa4af }
.own { font-weight: 600 }
.aim { stroke: #b35900; stroke-width: 2; stroke-dasharray: 5 4 }
.says { fill: #8a4600; text-anchor: middle }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.back { fill: #0d1117 }
.unit { fill: #9198a1 }
.ours { fill: #4493f8 }
.peer { fill: #6e7681 }
.aim { stroke: #f0a050 }
.says { fill: #f0a050 }
}
</style>
<rect class="back" width="100%%" height="100%%"/>
<text class="head" x="16" y="26">%s</text>
`, chartWidth, height, chartWidth, height, escaped.Replace(p.title), escaped.Replace(p.alt(r)), escaped.Replace(p.title))
	better := "longer is better"
	if p.less {
		better = "shorter is better"
	}
	fmt.Fprintf(&s, "<text class=\"unit\" x=\"16\" y=\"46\">%s; %s</text>\n", escaped.Replace(p.unit), better)
	for i, b := range bars {
		y := chartTop + i*chartRow
		class, own := "peer", ""
		if b.Ours {
			class, own = "ours", " own"
		}
		fmt.Fprintf(&s, "<text class=\"name%s\" x=\"%d\" y=\"%d\">%s</text>\n", own, chartNames-10, y+17, escaped.Replace(b.Name))
		fmt.Fprintf(&s, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"20\" rx=\"2\"/>\n", class, chartNames, y+2, math.Max(1, x(b.Value)-chartNames))
		fmt.Fprintf(&s, "<text class=\"value%s\" x=\"%.1f\" y=\"%d\">%s</text>\n", own, x(b.Value)+8, y+17, escaped.Replace(b.Text))
	}
	if at > 0 {
		bottom := chartTop + len(bars)*chartRow
		fmt.Fprintf(&s, "<line class=\"aim\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n<text class=\"says\" x=\"%.1f\" y=\"%d\">%s: %s</text>\n", x(at), chartTop-6, x(at), bottom+4, x(at), bottom+22, p.line, short(at))
	}
	s.WriteString("</svg>\n")
	return s.String()
}
