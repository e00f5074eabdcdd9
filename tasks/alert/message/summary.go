package message

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
)

// tableWidth is the widest that a table of characters gets.
const tableWidth = 80

// summary counts matches that are told together by some of their fields; "" where the rule does not ask for it.
func (w *writer) summary(matches []condition.Match) string {
	t := w.r.Text
	if !w.r.Aggregation.On() || len(t.SummaryFields) == 0 {
		return ""
	}
	head := append(append([]string{}, t.SummaryFields...), "count")
	rows := count(matches, t.SummaryFields)
	if t.SummaryMax > 0 {
		sort.SliceStable(rows, func(i, j int) bool { return rows[i].n > rows[j].n })
		rows = rows[:min(len(rows), t.SummaryMax)]
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = append(append([]string{}, r.values...), strconv.Itoa(r.n))
	}
	text := ""
	if t.SummaryPrefix != "" {
		text = t.SummaryPrefix + "\n"
	}
	names := make([]any, len(head))
	for i, name := range head {
		names[i] = name
	}
	text += fmt.Sprintf("Aggregation resulted in the following data for summary_table_fields ==> %s:\n\n", document.Text(names))
	switch t.SummaryType {
	case "markdown":
		text += markdownTable(head, cells) + "\n"
	case "html":
		text = htmlTable(head, cells) // a table alone, as ElastAlert has it
	default:
		text += asciiTable(head, cells) + "\n\n"
	}
	if t.SummaryMax > 0 {
		text += fmt.Sprintf("Showing top %d rows\n", t.SummaryMax)
	}
	return text + t.SummarySuffix
}

// row is one combination of values, and how many matches have it.
type row struct {
	values []string
	n      int
}

// count returns the combinations in the order in which they first appear.
func count(matches []condition.Match, fields []string) []row {
	var rows []row
	at := map[string]int{}
	for _, m := range matches {
		values := make([]string, len(fields))
		for i, f := range fields {
			values[i] = document.Text(document.Value(m, f))
		}
		key := strings.Join(values, "\x00")
		if i, known := at[key]; known {
			rows[i].n++
			continue
		}
		at[key] = len(rows)
		rows = append(rows, row{values, 1})
	}
	return rows
}

func markdownTable(head []string, rows [][]string) string {
	var b strings.Builder
	b.WriteString("| " + strings.Join(head, " | ") + " |\n" + strings.Repeat("|-----", len(head)) + "|\n")
	for _, r := range rows {
		b.WriteString("| " + strings.Join(r, " | ") + " |\n")
	}
	return b.String()
}

// entities are those of Python.
var entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;")

func htmlTable(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(indent int, text string) { b.WriteString(strings.Repeat(" ", 4*indent) + text + "\n") }
	cell := func(text string) string { return strings.ReplaceAll(entities.Replace(text), "\n", "<br>") }
	line(0, `<table frame="box" rules="all">`)
	line(1, "<thead>")
	line(2, "<tr>")
	for _, name := range head {
		line(3, `<th style="padding-left: 1em; padding-right: 1em; text-align: center">`+cell(name)+"</th>")
	}
	line(2, "</tr>")
	line(1, "</thead>")
	line(1, "<tbody>")
	for _, r := range rows {
		line(2, "<tr>")
		for _, v := range r {
			line(3, `<td style="padding-left: 1em; padding-right: 1em; text-align: center; vertical-align: top">`+cell(v)+"</td>")
		}
		line(2, "</tr>")
	}
	line(1, "</tbody>")
	b.WriteString("</table>")
	return b.String()
}

// asciiTable draws a table of characters: the head in the middle of its columns, lines between the rows, and columns that give way, one
// character after the other, until all of them have room.
func asciiTable(head []string, rows [][]string) string {
	widths := columnWidths(append([][]string{head}, rows...))
	rule := func(c string) string {
		parts := make([]string, len(widths))
		for i, n := range widths {
			parts[i] = strings.Repeat(c, n+2)
		}
		return "+" + strings.Join(parts, "+") + "+\n"
	}
	out := rule("-") + tableRow(head, widths, true) + rule("=")
	for _, r := range rows {
		out += tableRow(r, widths, false) + rule("-")
	}
	return strings.TrimSuffix(out, "\n")
}

func columnWidths(rows [][]string) []int {
	wanted := make([]int, len(rows[0]))
	total := 3*(len(wanted)-1) + 4
	frame := total
	for i := range wanted {
		for _, r := range rows {
			for line := range strings.SplitSeq(r[i], "\n") {
				wanted[i] = max(wanted[i], width(line))
			}
		}
		total += wanted[i]
	}
	if total <= tableWidth || tableWidth < len(wanted)+frame {
		return wanted
	}
	got := make([]int, len(wanted))
	for left, i := tableWidth-frame, 0; left > 0; i = (i + 1) % len(wanted) {
		if got[i] < wanted[i] {
			got[i]++
			left--
		}
	}
	for i := range got {
		got[i] = max(got[i], 1)
	}
	return got
}

// width is how many characters of a terminal a text takes.
func width(text string) int {
	n := 0
	for _, r := range text {
		switch {
		case r == '\t':
			n = (n/8 + 1) * 8
		case !unicode.Is(unicode.Mn, r):
			n++
		}
	}
	return n
}

func tableRow(cells []string, widths []int, head bool) string {
	wrapped := make([][]string, len(cells))
	height := 0
	for i, c := range cells {
		for line := range strings.SplitSeq(c, "\n") {
			wrapped[i] = append(wrapped[i], wrap(line, widths[i])...)
		}
		height = max(height, len(wrapped[i]))
	}
	var b strings.Builder
	for y := range height {
		b.WriteByte('|')
		for i, lines := range wrapped {
			text := ""
			if y < len(lines) {
				text = lines[y]
			}
			fill := max(0, widths[i]-width(text))
			left := 0
			if head {
				left = fill / 2
			}
			b.WriteString(" " + strings.Repeat(" ", left) + text + strings.Repeat(" ", fill-left) + " |")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
