package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/stint-run/stint/internal/datasets"
)

// DeletionHeader begins a deletions file. NewDeletionWriter sets its type and version.
type DeletionHeader struct {
	Type        string    `json:"type"` // "deletions"
	Version     int       `json:"version"`
	Job         string    `json:"job"`
	Analysis    string    `json:"analysis"` // the job that made the analysis
	Digest      string    `json:"digest"`   // of the analysis: Reader.Digest
	At          time.Time `json:"at"`       // when the deletion was begun, UTC
	Store       string    `json:"store"`    // its address, without a password
	Stint       string    `json:"stint"`    // the version of the program
	Limit       int       `json:"limit"`    // the most data sets that were allowed to go
	RecencyDays float64   `json:"recency_days"`
	Notes       []string  `json:"notes,omitempty"`
}

// Outcome is what became of a data set that an analysis gave up.
type Outcome string

// The outcomes. Of a data set that was stopped the rows that were gone have been put back, or are being.
const (
	Deleted    Outcome = "deleted"     // all of it is gone, and archived
	Spared     Outcome = "spared"      // the check just before found that it must stay; nothing was touched
	Stopped    Outcome = "stopped"     // somebody wrote to it, or its witness went, in the middle
	OverLimit  Outcome = "over_limit"  // the limit had been reached; nothing was touched
	NotReached Outcome = "not_reached" // the job ended before its turn; nothing was touched
	Unfinished Outcome = "unfinished"  // the job ended in the middle; its archive says what is gone
	Failed     Outcome = "failed"      // an error that no retry could help; its archive says what is gone
)

// Outcomes are all of them, in the order in which people are told.
var Outcomes = []Outcome{Deleted, Spared, Stopped, Failed, Unfinished, NotReached, OverLimit}

// Archive says where the rows of a data set that were deleted lie. The zero value is that there are none.
type Archive struct {
	Prefix string `json:"prefix,omitempty"` // of the keys in the artifact store
	Parts  int    `json:"parts,omitempty"`
	Size   int64  `json:"size,omitempty"` // of the artifacts, bytes
	// Digest is the SHA-256, as hex, of the digests of the parts in their order, each as text with a line feed behind it.
	Digest string `json:"digest,omitempty"`
}

// ArchiveOf describes an archive by its parts, in their order.
func ArchiveOf(prefix string, parts []datasets.Part) Archive {
	if len(parts) == 0 {
		return Archive{}
	}
	a := Archive{Prefix: prefix, Parts: len(parts)}
	sum := sha256.New()
	for i := range parts {
		a.Size += parts[i].Size
		_, _ = io.WriteString(sum, parts[i].Digest+"\n") // a hash takes all
	}
	a.Digest = hex.EncodeToString(sum.Sum(nil))
	return a
}

// Deletion is what became of one data set.
type Deletion struct {
	Customer string           `json:"customer"`
	Database string           `json:"database"`
	Outcome  Outcome          `json:"outcome"`
	Why      string           `json:"why,omitempty"` // of all outcomes but Deleted and OverLimit, in a sentence
	Witness  string           `json:"witness"`
	Rows     int64            `json:"rows"`             // gone, of all tables
	Bytes    int64            `json:"bytes"`            // of these rows as text
	Tables   map[string]int64 `json:"tables,omitempty"` // rows gone, by table
	OnlyHere int64            `json:"only_here"`        // of the analysis: GUIDs and rows that no data set has that stays
	Started  *time.Time       `json:"started_at,omitempty"`
	Ended    *time.Time       `json:"ended_at,omitempty"`
	Archive  Archive          `json:"archive,omitzero"`
}

type deletionLine struct {
	Type string `json:"type"`
	Deletion
}

// Gone adds up data sets of one outcome.
type Gone struct {
	Sets     int64 `json:"sets"`
	Rows     int64 `json:"rows"`
	Bytes    int64 `json:"bytes"`
	OnlyHere int64 `json:"only_here"`
}

// MaxTold is how many data sets that did not go as they should DeletionTotals tells of by name.
const MaxTold = 20

// DeletionTotals adds up a deletion. Its size does not depend on the number of data sets. The zero value is ready.
type DeletionTotals struct {
	Outcomes map[Outcome]Gone `json:"outcomes,omitempty"`
	Tables   map[string]int64 `json:"tables,omitempty"` // rows gone, by table
	Parts    int64            `json:"parts"`            // of all archives
	Archived int64            `json:"archived"`         // their size, bytes
	// Told are the first that were spared, were stopped, failed or are unfinished, without their tables and archives.
	Told []Deletion `json:"told,omitempty"`
}

// Add counts a data set.
func (t *DeletionTotals) Add(d Deletion) {
	if t.Outcomes == nil {
		t.Outcomes, t.Tables = map[Outcome]Gone{}, map[string]int64{}
	}
	of := t.Outcomes[d.Outcome]
	of.Sets++
	of.Rows += d.Rows
	of.Bytes += d.Bytes
	of.OnlyHere += d.OnlyHere
	t.Outcomes[d.Outcome] = of
	for table, rows := range d.Tables {
		t.Tables[table] += rows
	}
	t.Parts += int64(d.Archive.Parts)
	t.Archived += d.Archive.Size
	switch d.Outcome {
	case Spared, Stopped, Failed, Unfinished:
		if len(t.Told) >= MaxTold {
			return
		}
		d.Tables, d.Archive = nil, Archive{}
		t.Told = append(t.Told, d)
	}
}

// Sets returns how many data sets there are of all outcomes.
func (t DeletionTotals) Sets() (n int64) {
	for _, of := range t.Outcomes {
		n += of.Sets
	}
	return n
}

// DeletionEnd is the last line of a deletions file.
type DeletionEnd struct {
	Type   string         `json:"type"`  // "end"
	At     time.Time      `json:"at"`    // when the deletion ended, UTC
	Lines  int64          `json:"lines"` // before this one
	Totals DeletionTotals `json:"totals"`
	SHA256 string         `json:"sha256"` // of all bytes before this line, hex
}

// DeletionLine is one line of a deletions file behind its header. One of Set and End is there.
type DeletionLine struct {
	Number int64 // from 1, which is the header's
	Set    *Deletion
	End    *DeletionEnd
}

// DeletionWriter writes a deletions file. It is for one goroutine.
type DeletionWriter struct {
	lines  *lineWriter
	totals DeletionTotals
	digest string
}

// NewDeletionWriter begins a deletions file. An error of dst is returned by the calls that follow.
func NewDeletionWriter(dst io.Writer, h DeletionHeader) *DeletionWriter {
	h.Type, h.Version = "deletions", Version
	w := &DeletionWriter{lines: newLineWriter(dst)}
	_ = w.lines.write(h) // it is kept, and comes back from all that follows
	return w
}

// Add writes what became of a data set. After an error the file is of no use.
func (w *DeletionWriter) Add(d Deletion) error {
	if !known(d.Outcome) {
		return w.lines.fail(fmt.Errorf("write deletions: %s/%s has the outcome %q", d.Customer, d.Database, d.Outcome))
	}
	if err := w.lines.write(deletionLine{Type: "set", Deletion: d}); err != nil {
		return err
	}
	w.totals.Add(d)
	return nil
}

// Close writes the last line, with the time at which the deletion ended, and returns its totals. It does not close what is written to.
func (w *DeletionWriter) Close(at time.Time) (DeletionTotals, error) {
	end := DeletionEnd{Type: "end", At: at, Lines: w.lines.lines, Totals: w.totals, SHA256: w.lines.sum()}
	if err := w.lines.write(end); err != nil {
		return DeletionTotals{}, err
	}
	if err := w.lines.flush(); err != nil {
		return DeletionTotals{}, err
	}
	w.digest = w.lines.sum()
	return w.totals, nil
}

// Digest returns the SHA-256 of the whole file, its last line too, as hex; "" before Close.
func (w *DeletionWriter) Digest() string { return w.digest }

func known(o Outcome) bool {
	for _, k := range Outcomes {
		if k == o {
			return true
		}
	}
	return false
}

// DeletionReader reads a deletions file. It is for one goroutine.
type DeletionReader struct {
	Header DeletionHeader

	lines  *lineReader
	sets   int64
	end    *DeletionEnd
	digest string
}

// NewDeletionReader reads the header of a deletions file. Its errors, and those of Next, are like those of NewReader.
func NewDeletionReader(r io.Reader) (*DeletionReader, error) {
	d := &DeletionReader{lines: newLineReader("deletions file", r)}
	if err := d.lines.header("deletions", &d.Header); err != nil {
		return nil, err
	}
	return d, nil
}

// Next returns the next line. When it returns the last one, the file has been found to be whole; after that it returns io.EOF.
func (r *DeletionReader) Next() (DeletionLine, error) {
	if r.end != nil {
		return DeletionLine{}, io.EOF
	}
	if _, err := r.lines.next(); err != nil {
		return DeletionLine{}, err
	}
	kind, err := r.lines.kind()
	if err != nil {
		return DeletionLine{}, err
	}
	line := DeletionLine{Number: r.lines.number}
	switch kind {
	case "set":
		line.Set, err = r.set()
	case "end":
		line.End, err = r.last()
	default:
		err = r.lines.bad("its type is %q", kind)
	}
	if err != nil {
		return DeletionLine{}, err
	}
	return line, nil
}

func (r *DeletionReader) set() (*Deletion, error) {
	var l deletionLine
	if err := r.lines.parse(&l); err != nil {
		return nil, err
	}
	if !known(l.Outcome) {
		return nil, r.lines.bad("data set %s/%s has the outcome %q", l.Customer, l.Database, l.Outcome)
	}
	r.sets++
	return &l.Deletion, nil
}

func (r *DeletionReader) last() (*DeletionEnd, error) {
	var e DeletionEnd
	if err := r.lines.parse(&e); err != nil {
		return nil, err
	}
	digest, err := r.lines.ends(e.Lines, e.SHA256)
	if err != nil {
		return nil, err
	}
	if n := e.Totals.Sets(); n != r.sets {
		return nil, r.lines.changed("%d data sets are before it, and it says %d", r.sets, n)
	}
	r.end, r.digest = &e, digest
	return &e, nil
}

// End returns the last line, nil before Next has returned it.
func (r *DeletionReader) End() *DeletionEnd { return r.end }

// Digest returns the SHA-256 of the whole file as hex, "" before Next has returned the last line.
func (r *DeletionReader) Digest() string { return r.digest }
