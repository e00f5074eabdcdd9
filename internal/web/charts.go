package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// Charts are drawn by templates as SVG, from what stands here: places in a field of fixed size, and texts.

// line is a line chart.
type line struct {
	Width, Height int
	Line, Area    string // paths
	Top           string // the highest value
	From, To      string // what the ends of the time axis are
	Says          string // the chart in words
}

// sparkline draws values, the oldest first, without axes.
func sparkline(values []float64, width, height int) line {
	l := line{Width: width, Height: height}
	if len(values) < 2 {
		return l
	}
	top := slices.Max(values)
	if top <= 0 {
		top = 1
	}
	var b strings.Builder
	for i, v := range values {
		x := float64(i) / float64(len(values)-1) * float64(width)
		y := float64(height) - 1 - v/top*float64(height-2)
		c := 'L'
		if i == 0 {
			c = 'M'
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", c, x, y)
	}
	l.Line = b.String()
	l.Area = fmt.Sprintf("%sL%d %dL0 %dZ", l.Line, width, height, height)
	return l
}

// chartOf draws how fast a job was, in rows a second.
func chartOf(points []wire.PacePoint, width, height int) line {
	if len(points) < 3 {
		return line{Width: width, Height: height}
	}
	values := make([]float64, 0, len(points)-1)
	top, last := 0.0, 0.0
	for i := 1; i < len(points); i++ {
		last = 0
		if d := points[i].At.Sub(points[i-1].At).Seconds(); d > 0 {
			last = max(0, float64(points[i].Read-points[i-1].Read)/d)
		}
		values = append(values, last)
		top = max(top, last)
	}
	l := sparkline(values, width, height)
	from, to := points[0].At, points[len(points)-1].At
	l.Top, l.From, l.To = rate(top), from.UTC().Format("15:04:05"), to.UTC().Format("15:04:05")
	l.Says = fmt.Sprintf("Rows read a second over %s: at most %s, at last %s.", duration(to.Sub(from).Round(time.Second)), rate(top), rate(last))
	return l
}

// graph is a drawing of what waits for what.
type graph struct {
	Width, Height int
	Nodes         []node
	Edges         []string // paths
}

// node is a box of a graph.
type node struct {
	X, Y  int
	Name  string // clipped to the box
	Full  string
	State string
	Note  string
	Done  int // per cent; -1 draws no bar
	Bar   int // its length
	Link  string
}

// Sizes of a graph's boxes and of what is between them.
const (
	boxWidth, boxHeight = 190, 56
	gapX, gapY          = 48, 16
	boxText             = 24 // characters that fit
)

// part is what a graph is made of.
type part struct {
	Name, State, Note, Link string
	After                   []string
	Done                    int
}

// graphOf draws parts in columns: each behind all that it waits for.
func graphOf(parts []part) graph {
	at := map[string]int{}
	for i, p := range parts {
		at[p.Name] = i
	}
	column := make([]int, len(parts))
	for range parts { // at most as many rounds as there are parts; a circle ends there too
		moved := false
		for i, p := range parts {
			for _, a := range p.After {
				if j, known := at[a]; known && column[i] <= column[j] && column[j] < len(parts) {
					column[i], moved = column[j]+1, true
				}
			}
		}
		if !moved {
			break
		}
	}
	g := graph{Nodes: make([]node, len(parts))}
	rows := map[int]int{}
	for i, p := range parts {
		x := column[i] * (boxWidth + gapX)
		y := rows[column[i]] * (boxHeight + gapY)
		rows[column[i]]++
		name := p.Name
		if r := []rune(name); len(r) > boxText {
			name = string(r[:boxText-1]) + "…"
		}
		g.Nodes[i] = node{X: x, Y: y, Name: name, Full: p.Name, State: p.State, Note: p.Note, Done: p.Done, Bar: max(p.Done, 0) * (boxWidth - 24) / 100, Link: p.Link}
		g.Width, g.Height = max(g.Width, x+boxWidth), max(g.Height, y+boxHeight)
	}
	for i, p := range parts {
		for _, a := range p.After {
			j, known := at[a]
			if !known {
				continue
			}
			x1, y1 := g.Nodes[j].X+boxWidth, g.Nodes[j].Y+boxHeight/2
			x2, y2 := g.Nodes[i].X, g.Nodes[i].Y+boxHeight/2
			g.Edges = append(g.Edges, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+gapX/2, y1, x2-gapX/2, y2, x2, y2))
		}
	}
	return g
}
