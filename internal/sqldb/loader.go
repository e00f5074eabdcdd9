package sqldb

import (
	"context"
	"fmt"
	"time"

	"github.com/stint-run/stint/tasks"
)

// LoaderOptions say for which step, and by whom, a Loader loads.
type LoaderOptions struct {
	Job, Stage, Step string // what the ledger knows the batches by
	Worker, Attempt  string // who loads: written to the ledger, and shown by PostgreSQL as the session's name (AppName)
	// LockTimeout is how long to wait for a rival that holds the same range, and for other locks. 0 means 2 s.
	LockTimeout time.Duration
	// Draining, when it closes, makes Load end early while it is isolating bad rows, the only thing that can take it longer
	// than a moment. What is committed by then stays.
	Draining <-chan struct{}
	// Mode is how rows meet those that are there: "" inserts, ModeUpsert and ModeReplace change the row of the same Key.
	Mode string
	Key  []string // of the target, for Mode and for ids that the target gives
	// Rules says that foreign keys of the target are rules for rows: one that breaks them is set aside.
	Rules bool
	// Stop makes the first row that cannot be loaded an error, instead of setting it aside.
	Stop bool
	// IDs says where the ids of the rows are kept; it is used when the mapping has KeepIDs.
	IDs KeepIDs
	// Again, when set, says which rows are tried again: that they no longer are among those set aside commits with the batch.
	Again *Again
	// Rows, when set, keeps what becomes of the rows; the mapping must have the same key in Keep.
	Rows *KeepRows
}

// The modes of a Loader, besides inserting.
const (
	ModeUpsert  = "upsert"  // the columns of the mapping are overwritten
	ModeReplace = "replace" // the row is deleted and inserted
)

// stopped is the error of the first row that is rejected under Stop.
func (o *LoaderOptions) stopped(b *Batch, q *badRow) error {
	return tasks.Permanent(tasks.WithHint(nil, "mend the row or the plan, then retry; or let rows be set aside with policy.on_reject: quarantine",
		"row %s cannot be loaded: %s", b.keyAt(q.at, b.parts), q.reason))
}

// DefaultLockTimeout is how long a Loader waits for locks when it is not told.
const DefaultLockTimeout = 2 * time.Second

// Loaded says what a Load has committed.
type Loaded struct {
	To       RowKey         // where the next batch starts
	Done     bool           // the step is done
	Counters tasks.Counters // of this batch alone
}

// Loader writes batches into one table, each in one transaction together with its row of the ledger. It holds one connection.
// It is for one goroutine. Close it.
type Loader struct {
	sink    loadSink
	dialect Dialect
	target  *Table
	stop    bool
}

// loadSink is what a dialect's loader offers.
type loadSink interface {
	// load writes a batch, its quarantined rows and its row of the ledger in one transaction.
	load(ctx context.Context, b *Batch) (Loaded, error)
	close()
}

// NewLoader gets a Loader its connection. An attempt that loads holds one connection of the source (its Batcher) and one of the
// target, and asks for a second one of the target when it calls Progress meanwhile: give the target's pool twice as many
// connections as there are attempts at once, or call Progress before NewLoader, as attempts that hold one and wait for another
// would wait for each other.
func NewLoader(ctx context.Context, dst *DB, m *Mapping, opts LoaderOptions) (*Loader, error) {
	if opts.LockTimeout <= 0 {
		opts.LockTimeout = DefaultLockTimeout
	}
	l := &Loader{dialect: dst.Dialect, target: m.Target, stop: opts.Stop}
	var err error
	if l.sink, err = dst.Dialect.words().sink(ctx, dst, m, opts); err != nil {
		return nil, fmt.Errorf("open the target %s: %w", m.Target.FullName(), Classify(err))
	}
	return l, nil
}

// Load makes a batch take effect, exactly once: its rows, its quarantined rows and its row of the ledger commit together, or
// nothing does. The ledger's row goes first, so of two attempts with the same range one waits for the other.
//
// Rows that the target rejects are isolated and quarantined, the rest is loaded. That may take several transactions, each with
// its own row in the ledger; Loaded tells of all of them. It returns
//
//   - ErrTaken when the range was committed by somebody else: read Progress again;
//   - tasks.ErrDrained with the part that is committed, when Draining closed while it was isolating rows;
//   - an error that Classify has marked, when it is not the fault of the rows. A connection that broke in COMMIT leaves open
//     whether the batch has taken effect; the ledger knows, so the next attempt asks it.
//
// After an error the Loader must be closed.
func (l *Loader) Load(ctx context.Context, b *Batch) (Loaded, error) {
	if l.stop {
		if err := b.Refused(); err != nil {
			return Loaded{}, err
		}
	}
	ctx, span := traceLoad(ctx, l.dialect, l.target)
	got, err := l.sink.load(ctx, b)
	endLoad(span, got.Counters, err)
	if err != nil {
		return got, fmt.Errorf("load: %w", err)
	}
	return got, nil
}

// Close gives the connection back.
func (l *Loader) Close() { l.sink.close() }
