package flatfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Options say how files are read, where the URL does not. The zero value is right.
type Options struct {
	// RowBytes bounds one row, and one memo, in bytes, where the URL has no row_bytes; 0 means 16 MiB.
	RowBytes int
}

// defaultRowBytes is how long a row may be where nobody says otherwise.
const defaultRowBytes = 16 << 20

// form is what differs between the forms of files.
type form interface {
	// describe says which columns a table has whose parts these are, and how many rows, about. A table without columns is left out.
	describe(ctx context.Context, parts []*part) (described, error)
	// open starts reading a part. In a part that lacks a column, the column is NULL; one that no part has is an error.
	open(ctx context.Context, parts []*part, at int, t *sqldb.Table, columns []int, from int64) (partReader, error)
	// scan walks the rows of a part without looking at what is in them.
	scan(ctx context.Context, parts []*part, at int, from int64) (partScanner, error)
	// exact reports whether a row begins at every border; else a border may be the place of something that is gone over.
	exact() bool
}

// described is what is known of a table.
type described struct {
	columns []sqldb.Column
	rows    int64
	notes   []string
}

// partReader reads the rows of a part.
type partReader interface {
	// next fills in the cells and returns the position of the row, also where it cannot be read; io.EOF at the end.
	next(cells []sqldb.Cell) (int64, error)
	close() error
}

// partScanner walks the rows of a part.
type partScanner interface {
	// skip goes over at most so many rows and returns how many there were, with the position of the row behind them. Fewer than
	// asked for means the end.
	skip(rows int) (int, int64, error)
	close() error
}

// folder is a sqldb.Tabular.
type folder struct {
	at     sqldb.Location
	path   string
	single bool // the path is a file
	form   form

	mu      sync.Mutex
	layouts map[layoutKey]*layout
}

// layoutKey names a file as it is: when it is written again, what was known of it is forgotten.
type layoutKey struct {
	path     string
	size     int64
	modified time.Time
}

// Open makes a source of tables of the folder, or of the one file, at a location such as csv:export?encoding=cp1252. It reads no
// file yet. Its errors say what is wrong with the URL, and have hints.
func Open(at sqldb.Location, opts Options) (sqldb.Tabular, error) {
	if at.Dialect != sqldb.Files {
		return nil, tasks.WithHint(nil, "write csv:DIR, tsv:DIR, ndjson:DIR or dbf:DIR", "%s is no folder of files", at.Redacted())
	}
	info, err := os.Stat(at.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, tasks.WithHint(err, "relative paths start where stint was started", "there is no %s", at.Path())
	case err != nil:
		return nil, tasks.WithHint(err, "stint needs the right to read it", "%s cannot be opened", at.Path())
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, tasks.WithHint(nil, "name a folder or a file", "%s is neither a folder nor a file", at.Path())
	}
	set, err := parseSettings(at, opts)
	if err != nil {
		return nil, err
	}
	f := &folder{at: at, path: at.Path(), single: !info.IsDir(), layouts: map[layoutKey]*layout{}}
	switch at.Scheme() {
	case "dbf":
		f.form = &dbfForm{set: set, folder: f}
	case "ndjson":
		f.form = &jsonForm{set: set, folder: f}
	default:
		f.form = &csvForm{set: set, folder: f}
	}
	return f, nil
}

// Check says what is wrong with the parameters of a location, whether or not its files are there.
func Check(at sqldb.Location) error {
	_, err := parseSettings(at, Options{})
	return err
}

// Close does nothing: files are open only while they are read.
func (f *folder) Close() error { return nil }
