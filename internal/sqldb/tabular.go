package sqldb

import (
	"context"
	"fmt"
)

// Cell is one value on its way, without an allocation of its own: NULL (the zero value), an integer, a float, text or bytes.
type Cell = cell

// IntCell makes a Cell of an integer.
func IntCell(i int64) Cell { return intCell(i) }

// FloatCell makes a Cell of a float.
func FloatCell(f float64) Cell { return floatCell(f) }

// TextCell makes a Cell of text, which is not copied: it must stay as it is until the next row is read. It need not be valid UTF-8.
func TextCell(s string) Cell { return textCell(s) }

// WrittenCell makes a Cell of the bytes of a text, which are not copied: they must stay as they are until the next row is read.
func WrittenCell(b []byte) Cell { return textCell(viewString(b)) }

// BytesCell makes a Cell of bytes, which are not copied: they must stay as they are until the next row is read.
func BytesCell(b []byte) Cell { return cell{kind: cellBytes, s: viewString(b)} }

// Value returns what the cell holds as int64, float64, string, []byte or nil: a copy.
func (c *cell) Value() any { return c.value() }

// Tabular is a source of tables that is no SQL database, such as a folder of files. Its rows are named by where they stand: a
// RowKey of two parts, the name of the file and a position in it (WalkPlace), in the order in which the files and their rows are
// read. The same files give the same positions each time. It may be used by many goroutines.
type Tabular interface {
	// Schema says which tables there are, in the order of their names, with their columns. Notes say what was left out.
	Schema(ctx context.Context) (*Schema, error)
	// Boundaries returns the starts of the next chunks of about so many rows behind the one that starts at after (nil: the first
	// chunk), at most limit of them. Fewer than limit means that the last chunk starts at the last one returned, or at after.
	Boundaries(ctx context.Context, t *Table, after RowKey, rows, limit int) ([]RowKey, error)
	// Read streams the rows of [from, to): of each the columns asked for, by their index in t.Columns, and then the two parts of
	// its key. A row that cannot be read as a row (a wrong number of fields, bytes that are no text of the file's encoding, a value of
	// another kind than its column was guessed to have) is an
	// UnreadableRow: reading goes on behind it.
	Read(ctx context.Context, t *Table, columns []int, from, to RowKey) (RowReader, error)
	// Close gives back what is held.
	Close() error
}

// RowReader streams rows. It is for one goroutine.
type RowReader interface {
	// Next fills in the cells of the next row; false at the end. Text and bytes are valid until the next call.
	Next(cells []Cell) (bool, error)
	// Close ends the reading.
	Close() error
}

// UnreadableRow is the error of a row of a file that is not what a row has to be. The row is set aside with it; the two parts of
// its key are in the cells all the same, and reading goes on with the next row.
type UnreadableRow struct {
	Column string // whose value it is about; "" for the row as such
	Reason string // for people
	Code   string // an SQLSTATE, such as 22021
	Raw    string // the beginning of the row as it stands in the file
}

// Error returns the reason.
func (e *UnreadableRow) Error() string { return e.Reason }

// OpenTabular makes a DB of a source of tables. Only reading is possible; Close closes the source too.
func OpenTabular(at Location, files Tabular) *DB {
	return &DB{Dialect: Files, Location: at, Files: files}
}

// openTabular starts reading a range; the parts of the key come behind the columns.
func (db *DB) openTabular(ctx context.Context, t *Table, cols []selected, from, to RowKey) (rowSource, error) {
	var columns []int
	for _, s := range cols {
		if s.column == nil {
			continue
		}
		at := -1
		for i := range t.Columns {
			if t.Columns[i].Name == s.column.Name {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("no column %s", s.column.Name)
		}
		columns = append(columns, at)
	}
	r, err := db.Files.Read(ctx, t, columns, from, to)
	if err != nil {
		return nil, err
	}
	return tabularRows{r}, nil
}

// tabularRows is a RowReader as Rows wants it.
type tabularRows struct{ r RowReader }

func (t tabularRows) next(cells []cell) (bool, error) { return t.r.Next(cells) }
func (t tabularRows) close() error                    { return t.r.Close() }

// Nearest returns the known words that one may have meant, best first; none where nothing is near.
func Nearest(word string, known []string) []string { return nearest(word, known) }
