package sqldb

import "encoding/json"

// Preview is a row of a batch for people: as it would be written, or why it would be set aside.
type Preview struct {
	Key    RowKey          `json:"key"`
	Row    json.RawMessage `json:"row"`              // as it would be written; as it was read when it would be set aside
	Column string          `json:"column,omitempty"` // which made it fail
	Reason string          `json:"reason,omitempty"`
	Code   string          `json:"code,omitempty"`
}

// Previews returns the rows of a batch that would be written, at most limit of them, and those that would be set aside.
func (b *Batch) Previews(limit int) (rows, bad []Preview) {
	for i := range min(limit, b.RowsEncoded) {
		rows = append(rows, Preview{Key: b.keyAt(b.readIndex(i), b.parts), Row: json.RawMessage(b.encodedJSON(i))})
	}
	for i := range b.bad {
		q := &b.bad[i]
		bad = append(bad, Preview{Key: b.keyAt(q.at, b.parts), Row: json.RawMessage(q.json), Column: q.column, Reason: q.reason, Code: q.code})
	}
	return rows, bad
}

// Skipped returns how many rows nothing was made of.
func (b *Batch) Skipped() int { return len(b.skipped) }
