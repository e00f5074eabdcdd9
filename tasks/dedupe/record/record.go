// Package record writes and reads the files by which people, and later steps, know what a run found and what it did.
//
//	analysis    what is a copy of what, what may go, and why: written whole before anything is deleted
//	deletions   what became of each data set that an analysis gave up: rows, bytes, time, and where the archive is
//
// Both are JSON lines: a header, a line for each thing, and a last line with totals and the SHA-256 of all bytes before it. So a file
// that was cut off or changed is told from a whole one, and both are written and read in the memory of a line, however long they are.
// What a reader gives is not known to be whole before it has given the last line: nothing may be done by it until then.
package record

import (
	"errors"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// Version is that of the form of both files. A reader refuses others.
const Version = 1

// MaxLine is how long a line may be, in bytes; a longer one is no line of these files.
const MaxLine = 16 << 20

// MaxTemplates is how many GUIDs of template rows a header lists at most.
const MaxTemplates = 1000

// What callers decide by. The errors that wrap them name the line, and have a hint.
var (
	// ErrCutOff: the file ends before its last line.
	ErrCutOff = errors.New("the file is cut off")
	// ErrChanged: the file is not as it was written.
	ErrChanged = errors.New("the file has been changed")
	// ErrVersion: the file has another version than this program reads.
	ErrVersion = errors.New("another version of the file")
	// ErrForm: this is no such file, or a line of it is none.
	ErrForm = errors.New("not what stands in such a file")
	// ErrStopped: the analysis says that nothing of it may be carried out.
	ErrStopped = errors.New("nothing of the analysis may be carried out")
	// ErrStale: the analysis is too old to act by.
	ErrStale = errors.New("the analysis is too old")
)

// Header begins an analysis. NewWriter sets its type and version.
type Header struct {
	Type      string          `json:"type"` // "analysis"
	Version   int             `json:"version"`
	Job       string          `json:"job"`
	At        time.Time       `json:"at"`    // when the analysis was begun, by the store's clock, UTC
	Store     string          `json:"store"` // its address, without a password
	Layout    datasets.Layout `json:"layout"`
	Entity    string          `json:"entity"` // whose GUIDs were compared: table, or table/value
	Tables    []string        `json:"tables"` // whose rows belong to a data set, in the order in which they can go
	Rules     decide.Rules    `json:"rules"`
	Stint     string          `json:"stint"` // the version of the program
	Templates Templates       `json:"templates"`
	Notes     []string        `json:"notes,omitempty"` // what a person should know of how it was made
}

// Templates are the rows that the product ships in every database: they were left out of all comparisons.
type Templates struct {
	Customers int64    `json:"customers_looked_at"`
	GUIDs     int64    `json:"guids"`          // found, all of them
	List      []string `json:"list,omitempty"` // the first of them, at most MaxTemplates
	How       string   `json:"how"`            // how they were found, in a sentence
}

// Fresh returns ErrStale, with a hint, when the analysis was begun longer than maxAge before now, or lies in the future.
func (h Header) Fresh(now time.Time, maxAge time.Duration) error {
	switch age := now.Sub(h.At); {
	case age > maxAge:
		return tasks.WithHint(ErrStale, "make a new analysis, and apply that", "the analysis of job %s was made %s ago, and may be %s old", h.Job, age.Round(time.Minute), maxAge)
	case age < -decide.Skew:
		return tasks.WithHint(ErrStale, "check the clock of the store, and make a new analysis", "the analysis of job %s is of %s, which lies in the future", h.Job, h.At.UTC().Format(time.RFC3339))
	}
	return nil
}

// Set is a data set in an analysis: what was counted of it, and what was decided.
type Set struct {
	Customer string
	Set      decide.Set
	Decision decide.Decision
}

// Pair is two data sets of a customer that share GUIDs.
type Pair struct {
	Customer string `json:"customer"`
	decide.Pair
}

// End is the last line of an analysis.
type End struct {
	Type   string        `json:"type"`  // "end"
	Lines  int64         `json:"lines"` // before this one
	Totals decide.Totals `json:"totals"`
	Stop   string        `json:"stop"`   // why nothing of it may be carried out; "" is that it may
	SHA256 string        `json:"sha256"` // of all bytes before this line, hex
}

// Line is one line of an analysis behind its header. One of Set, Pair and End is there.
type Line struct {
	Number int64 // from 1, which is the header's
	Set    *Set
	Pair   *Pair
	End    *End
}
