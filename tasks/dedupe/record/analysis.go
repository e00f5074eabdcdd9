package record

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// setLine is a data set as it is written: what was decided, then what was counted.
type setLine struct {
	Type               string        `json:"type"`
	Customer           string        `json:"customer"`
	Database           string        `json:"database"`
	Decision           decide.Action `json:"decision"`
	Reason             decide.Reason `json:"reason"`
	Why                string        `json:"why"`
	Witness            string        `json:"witness,omitempty"`
	Shared             int64         `json:"shared,omitempty"`
	ContainmentVictim  float64       `json:"containment_victim,omitempty"`
	ContainmentWitness float64       `json:"containment_witness,omitempty"`
	OnlyHere           int64         `json:"only_here"`
	Rank               int           `json:"rank"`
	LastSync           *time.Time    `json:"last_sync,omitempty"`
	Complete           bool          `json:"complete"`
	Rows               int64         `json:"rows"`
	GUIDs              int64         `json:"guids"`
	Templates          int64         `json:"templates"`
	Nulls              int64         `json:"nulls"`
	Fingerprint        string        `json:"fingerprint"`
	Samples            []string      `json:"samples,omitempty"`
}

func lineOf(customer string, s *decide.Set, d *decide.Decision) setLine {
	return setLine{
		Type: "set", Customer: customer, Database: d.Database, Decision: d.Decision, Reason: d.Reason, Why: d.Why, Witness: d.Witness,
		Shared: d.Shared, ContainmentVictim: d.ContainmentVictim, ContainmentWitness: d.ContainmentWitness, OnlyHere: d.OnlyHere, Rank: d.Rank,
		LastSync: s.LastSync, Complete: s.Complete, Rows: s.Rows, GUIDs: s.GUIDs, Templates: s.Templates, Nulls: s.Nulls,
		Fingerprint: s.Fingerprint, Samples: d.Samples,
	}
}

func (l *setLine) set() *Set {
	return &Set{
		Customer: l.Customer,
		Set: decide.Set{Database: l.Database, LastSync: l.LastSync, Complete: l.Complete, Rows: l.Rows, GUIDs: l.GUIDs,
			Templates: l.Templates, Nulls: l.Nulls, Fingerprint: l.Fingerprint},
		Decision: decide.Decision{Database: l.Database, Decision: l.Decision, Reason: l.Reason, Why: l.Why, Witness: l.Witness, Shared: l.Shared,
			ContainmentVictim: l.ContainmentVictim, ContainmentWitness: l.ContainmentWitness, OnlyHere: l.OnlyHere, Samples: l.Samples, Rank: l.Rank},
	}
}

type pairLine struct {
	Type string `json:"type"`
	Pair
}

// Writer writes an analysis. It is for one goroutine.
type Writer struct {
	lines  *lineWriter
	header Header
	totals decide.Totals
	digest string
}

// NewWriter begins an analysis. An error of dst is returned by the calls that follow.
func NewWriter(dst io.Writer, h Header) *Writer {
	h.Type, h.Version = "analysis", Version
	h.Templates.List = h.Templates.List[:min(len(h.Templates.List), MaxTemplates)]
	w := &Writer{lines: newLineWriter(dst), header: h}
	_ = w.lines.write(h) // it is kept, and comes back from all that follows
	return w
}

// Add writes a customer and what was decided of it: its data sets by rank, then its pairs. After an error the file is of no use.
func (w *Writer) Add(c decide.Customer, v decide.Verdict) error {
	byID := make(map[string]*decide.Set, len(c.Sets))
	for i := range c.Sets {
		byID[c.Sets[i].Database] = &c.Sets[i]
	}
	if len(byID) != len(c.Sets) || len(v.Sets) != len(c.Sets) {
		return w.lines.fail(fmt.Errorf("write analysis: customer %s has %d data sets of %d names, and %d decisions", c.ID, len(c.Sets), len(byID), len(v.Sets)))
	}
	for i := range v.Sets {
		d := &v.Sets[i]
		s := byID[d.Database]
		if s == nil {
			return w.lines.fail(fmt.Errorf("write analysis: customer %s has no data set %s", c.ID, d.Database))
		}
		// JSON would write another name for one that is no text, and so for another data set.
		if !utf8.ValidString(c.ID) || !utf8.ValidString(d.Database) {
			return w.lines.fail(fmt.Errorf("write analysis: the name of data set %q of customer %q is no text", d.Database, c.ID))
		}
		if err := w.lines.write(lineOf(c.ID, s, d)); err != nil {
			return err
		}
	}
	for _, p := range v.Pairs {
		if err := w.lines.write(pairLine{Type: "pair", Pair: Pair{Customer: c.ID, Pair: p}}); err != nil {
			return err
		}
	}
	w.totals.Add(c, v)
	return nil
}

// Close writes the last line, and returns the totals that stand in it. It does not close what is written to.
func (w *Writer) Close() (decide.Totals, error) {
	end := End{Type: "end", Lines: w.lines.lines, Totals: w.totals, Stop: w.totals.Stop(w.header.Rules), SHA256: w.lines.sum()}
	if err := w.lines.write(end); err != nil {
		return decide.Totals{}, err
	}
	if err := w.lines.flush(); err != nil {
		return decide.Totals{}, err
	}
	w.digest = w.lines.sum()
	return w.totals, nil
}

// Digest returns the SHA-256 of the whole file, its last line too, as hex; "" before Close. By it the file is named when it is approved.
func (w *Writer) Digest() string { return w.digest }

// Reader reads an analysis. It is for one goroutine.
type Reader struct {
	Header Header

	lines  *lineReader
	sets   int64
	goes   int64
	end    *End
	digest string
}

// NewReader reads the header of an analysis. Its errors, and those of Next, wrap ErrCutOff, ErrChanged, ErrVersion or ErrForm, or are
// those of r.
func NewReader(r io.Reader) (*Reader, error) {
	a := &Reader{lines: newLineReader("analysis", r)}
	if err := a.lines.header("analysis", &a.Header); err != nil {
		return nil, err
	}
	return a, nil
}

// Next returns the next line. When it returns the last one, the file has been found to be whole; after that it returns io.EOF.
func (r *Reader) Next() (Line, error) {
	if r.end != nil {
		return Line{}, io.EOF
	}
	if _, err := r.lines.next(); err != nil {
		return Line{}, err
	}
	kind, err := r.lines.kind()
	if err != nil {
		return Line{}, err
	}
	line := Line{Number: r.lines.number}
	switch kind {
	case "set":
		line.Set, err = r.set()
	case "pair":
		var p pairLine
		err = r.lines.parse(&p)
		line.Pair = &p.Pair
	case "end":
		line.End, err = r.last()
	default:
		err = r.lines.bad("its type is %q", kind)
	}
	if err != nil {
		return Line{}, err
	}
	return line, nil
}

func (r *Reader) set() (*Set, error) {
	var l setLine
	if err := r.lines.parse(&l); err != nil {
		return nil, err
	}
	if l.Database == "" || l.Decision != l.Reason.Action() {
		return nil, r.lines.bad("data set %q has the decision %q for the reason %q", l.Database, l.Decision, l.Reason)
	}
	r.sets++
	if l.Decision == decide.Delete {
		r.goes++
	}
	return l.set(), nil
}

// last checks the last line. Its own members are under no digest but that of the whole file; so what can be compared is.
func (r *Reader) last() (*End, error) {
	var e End
	if err := r.lines.parse(&e); err != nil {
		return nil, err
	}
	digest, err := r.lines.ends(e.Lines, e.SHA256)
	if err != nil {
		return nil, err
	}
	if goes := e.Totals.Of(decide.Delete).Sets; e.Totals.All.Sets != r.sets || goes != r.goes {
		return nil, r.lines.changed("%d data sets are before it of which %d go, and it says %d and %d", r.sets, r.goes, e.Totals.All.Sets, goes)
	}
	if (e.Totals.Stop(r.Header.Rules) == "") != (e.Stop == "") {
		return nil, r.lines.changed("whether anything of it may be carried out is not what follows from its totals and rules")
	}
	r.end, r.digest = &e, digest
	return &e, nil
}

// End returns the last line, nil before Next has returned it.
func (r *Reader) End() *End { return r.end }

// Digest returns the SHA-256 of the whole file as hex, "" before Next has returned the last line.
func (r *Reader) Digest() string { return r.digest }
