package record

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// MaxSummaryTemplates is how many GUIDs of template rows a summary shows.
const MaxSummaryTemplates = 5

// Summary writes what a person reads of an analysis in a minute: its header and its totals, and what is different from the analysis
// before, whose totals may be nil.
func Summary(dst io.Writer, h Header, t decide.Totals, before *decide.Totals) error {
	p := &page{}
	p.line("Analysis %s of %s, %s", h.Job, h.Store, moment(h.At))
	p.line("Compared by the GUIDs of %s; the rows of a data set stand in %s", h.Entity, strings.Join(h.Tables, ", "))
	p.line("")
	goes, held := t.Of(decide.Delete), t.Of(decide.Hold)
	p.line("%s, %s, %s.", nouns(t.Customers, "customer"), nouns(t.All.Sets, "data set"), nouns(t.All.Rows, "row"))
	if goes.Sets == 0 {
		p.line("No data set is a copy that may go.")
	} else {
		p.line("%s of %s may go: %s (%s of all) become reusable for the database.", nouns(goes.Sets, "data set"), nouns(t.Affected, "customer"), nouns(goes.Rows, "row"), ratio(goes.Rows, t.All.Rows))
		p.line("%s of them stand in no data set that stays; they are archived with the others.", nouns(t.Lost, "row"))
	}
	if held.Sets > 0 {
		p.line("Held for a person to look at: %s, %s.", nouns(held.Sets, "data set"), nouns(held.Rows, "row"))
	}
	if why := t.Stop(h.Rules); why != "" {
		p.line("")
		p.line("STOPPED, nothing of it may be carried out: %s.", why)
	}
	p.reasons(t)
	p.largest(t.Largest)
	p.templates(h.Templates)
	p.rules(h.Rules)
	p.compare(t, before)
	p.notes(h.Notes)
	return p.write(dst)
}

// reasons is the table of what becomes of the data sets.
func (p *page) reasons(t decide.Totals) {
	if len(t.Reasons) == 0 {
		return
	}
	list := make([]decide.Reason, 0, len(t.Reasons))
	for r := range t.Reasons {
		list = append(list, r)
	}
	order := map[decide.Action]int{decide.Delete: 0, decide.Hold: 1, decide.Keep: 2}
	slices.SortFunc(list, func(a, b decide.Reason) int {
		return cmp.Or(order[a.Action()]-order[b.Action()], cmp.Compare(t.Reasons[b].Sets, t.Reasons[a].Sets), cmp.Compare(a, b))
	})
	rows := [][]string{{"decision", "reason", ">data sets", ">rows", ">nowhere else"}}
	for _, r := range list {
		of, only := t.Reasons[r], ""
		if r.Action() != decide.Keep {
			only = decide.Number(of.OnlyHere)
		}
		rows = append(rows, []string{string(r.Action()), string(r), decide.Number(of.Sets), decide.Number(of.Rows), only})
	}
	p.table("What becomes of the data sets", rows)
}

func (p *page) largest(list []decide.Deletion) {
	if len(list) == 0 {
		return
	}
	rows := [][]string{{"customer", "data set", "witness", ">rows", ">nowhere else"}}
	for _, d := range list {
		rows = append(rows, []string{d.Customer, d.Database, d.Witness, decide.Number(d.Rows), decide.Number(d.OnlyHere)})
	}
	p.table("The largest that may go", rows)
}

func (p *page) templates(t Templates) {
	p.line("")
	if t.GUIDs == 0 {
		p.line("Template rows: none found in %s looked at. %s", nouns(t.Customers, "customer"), t.How)
		return
	}
	p.line("Template rows: %s left out, found in %s looked at. %s", nouns(t.GUIDs, "GUID"), nouns(t.Customers, "customer"), t.How)
	shown := t.List[:min(len(t.List), MaxSummaryTemplates)]
	if len(shown) > 0 {
		p.line("  such as %s", strings.Join(shown, ", "))
	}
}

func (p *page) rules(r decide.Rules) {
	p.line("Rules: %s shared; %s of the one that goes; not synced within %s; at most %s of a customer and %s of all.",
		nouns(int64(r.Threshold), "GUID"), portion(r.Containment), length(r.Recency), portion(r.MaxShareCustomer), portion(r.MaxShare))
	if len(r.Exempt) > 0 {
		p.line("Exempt: %s.", some(r.Exempt, 20))
	}
}

func (p *page) compare(t decide.Totals, before *decide.Totals) {
	if before == nil {
		return
	}
	rows := [][]string{{"", ">before", ">now", ">difference"}}
	add := func(name string, was, is int64) {
		difference := decide.Number(is - was)
		if is > was {
			difference = "+" + difference
		}
		rows = append(rows, []string{name, decide.Number(was), decide.Number(is), difference})
	}
	add("data sets", before.All.Sets, t.All.Sets)
	add("rows", before.All.Rows, t.All.Rows)
	wentBefore, goes := before.Of(decide.Delete), t.Of(decide.Delete)
	add("data sets that may go", wentBefore.Sets, goes.Sets)
	add("rows that may go", wentBefore.Rows, goes.Rows)
	add("rows nowhere else", before.Lost, t.Lost)
	add("data sets held", before.Of(decide.Hold).Sets, t.Of(decide.Hold).Sets)
	p.table("Compared with the analysis before", rows)
}

func (p *page) notes(list []string) {
	if len(list) == 0 {
		return
	}
	p.line("")
	p.line("Notes")
	for _, n := range list {
		p.line("  %s", n)
	}
}

// DeletionSummary writes what a person reads of a deletion in a minute.
func DeletionSummary(dst io.Writer, h DeletionHeader, e DeletionEnd) error {
	p := &page{}
	t, gone := e.Totals, e.Totals.Outcomes[Deleted]
	p.line("Deletion %s of %s, %s to %s", h.Job, h.Store, moment(h.At), moment(e.At))
	p.line("By the analysis of job %s (%s); at most %s; not synced within %s", h.Analysis, short(h.Digest), nouns(int64(h.Limit), "data set"), length(time.Duration(h.RecencyDays*float64(24*time.Hour))))
	p.line("")
	if gone.Sets == 0 {
		p.line("No data set was deleted.")
	} else {
		p.line("%s deleted: %s, %s, which are reusable for the database.", nouns(gone.Sets, "data set"), nouns(gone.Rows, "row"), size(gone.Bytes))
	}
	if t.Parts > 0 {
		p.line("The archive has %s, %s in all.", nouns(t.Parts, "part"), size(t.Archived))
	}
	rows := [][]string{{"outcome", ">data sets", ">rows", ">nowhere else"}}
	for _, o := range Outcomes {
		if of, ok := t.Outcomes[o]; ok {
			rows = append(rows, []string{string(o), decide.Number(of.Sets), decide.Number(of.Rows), decide.Number(of.OnlyHere)})
		}
	}
	p.table("What became of the data sets", rows)
	if len(t.Tables) > 0 {
		rows = [][]string{{"table", ">rows deleted"}}
		for _, name := range slices.Sorted(maps.Keys(t.Tables)) {
			rows = append(rows, []string{name, decide.Number(t.Tables[name])})
		}
		p.table("Tables", rows)
	}
	if len(t.Told) > 0 {
		rows = [][]string{{"customer", "data set", "outcome", "why"}}
		for _, d := range t.Told {
			rows = append(rows, []string{d.Customer, d.Database, string(d.Outcome), d.Why})
		}
		p.table(fmt.Sprintf("Not deleted as the analysis said (the first %d)", len(t.Told)), rows)
	}
	p.notes(h.Notes)
	return p.write(dst)
}

// page is text that is laid out.
type page struct{ text bytes.Buffer }

func (p *page) line(format string, args ...any) {
	p.text.WriteString(strings.TrimRight(printable(fmt.Sprintf(format, args...)), " "))
	p.text.WriteByte('\n')
}

// table writes rows under a title; the first of them is the header, in which > marks columns that are set to the right.
func (p *page) table(title string, rows [][]string) {
	p.line("")
	p.line("%s", title)
	widths, right := make([]int, len(rows[0])), make([]bool, len(rows[0]))
	for i, name := range rows[0] {
		rows[0][i], right[i] = strings.CutPrefix(name, ">")
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			b.WriteString("  ")
			if right[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		p.line("%s", b.String())
	}
}

func (p *page) write(dst io.Writer) error {
	_, err := dst.Write(p.text.Bytes())
	return err
}
