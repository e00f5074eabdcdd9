package record

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/report"
)

// csvColumns are the columns of the CSV of an analysis, in their order.
var csvColumns = []string{"customer", "database", "decision", "reason", "why", "witness", "shared", "containment_victim", "containment_witness",
	"only_here", "last_sync", "complete", "rows", "guids", "templates", "nulls", "fingerprint", "rank", "samples"}

// WriteCSV reads an analysis to its end and writes a line for each data set, in its order, behind a line with the names of the columns:
// CSV by RFC 4180, in cells that no program takes for formulas. What is unknown is empty; samples are separated by blanks. After an error what was written is not all of it.
func WriteCSV(dst io.Writer, r *Reader) error {
	w := csv.NewWriter(dst)
	w.UseCRLF = true
	if err := w.Write(csvColumns); err != nil {
		return err
	}
	for {
		line, err := r.Next()
		if err == io.EOF {
			w.Flush()
			return w.Error()
		}
		if err != nil {
			return err
		}
		if line.Set == nil {
			continue
		}
		if err := w.Write(csvRow(line.Set)); err != nil {
			return err
		}
	}
}

func csvRow(l *Set) []string {
	s, d := &l.Set, &l.Decision
	shared, victim, witness := "", "", ""
	if d.Witness != "" && d.Shared > 0 {
		shared, victim, witness = strconv.FormatInt(d.Shared, 10), fraction(d.ContainmentVictim), fraction(d.ContainmentWitness)
	}
	sync := ""
	if s.LastSync != nil {
		sync = s.LastSync.UTC().Format(time.RFC3339Nano)
	}
	n := func(n int64) string { return strconv.FormatInt(n, 10) }
	return report.Cells(l.Customer, d.Database, string(d.Decision), string(d.Reason), d.Why, d.Witness, shared, victim, witness,
		n(d.OnlyHere), sync, strconv.FormatBool(s.Complete), n(s.Rows), n(s.GUIDs), n(s.Templates), n(s.Nulls), s.Fingerprint, strconv.Itoa(d.Rank), strings.Join(d.Samples, " "))
}

func fraction(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
