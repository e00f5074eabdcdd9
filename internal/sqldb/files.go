package sqldb

import (
	"context"
	"fmt"

	"github.com/stint-run/stint/tasks"
)

// ArtifactStore is the location of a store of artifacts, where plans write files. name is the store's own, without secrets.
func ArtifactStore(name string) Location {
	return Location{Dialect: Records, scheme: "artifacts", redacted: name, identity: "artifacts\n" + name}
}

// Committed returns how many batches of a step the ledger has. One that starts at from is ErrTaken: whoever is about to write that
// one is late.
func Committed(ctx context.Context, db *DB, job, stage, step string, from RowKey) (n int, err error) {
	taken := false
	err = db.queryAll(ctx, "SELECT from_key FROM stint_ledger WHERE job = $1 AND stage = $2 AND step = $3", []any{job, stage, step}, func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		n++
		taken = taken || storedKey(db.Dialect, key) == storedKey(db.Dialect, from.String())
		return err
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("read the ledger: %w", Classify(err))
	case taken:
		return 0, ErrTaken
	}
	return n, nil
}

// SetAsideRows makes durable which rows of a batch are set aside, before what is left of it takes effect somewhere else: those that
// could not be made, and those that are refused.
func (b *Batch) SetAsideRows(ctx context.Context, db *DB, o *LoaderOptions, table string, refused []Refusal) error {
	if len(b.bad)+len(refused) == 0 {
		return nil
	}
	err := inTransaction(ctx, db, func(q querier) error {
		for _, bad := range b.bad {
			if err := setOneAside(ctx, q, db.Dialect, o, table, b.keyAt(bad.at, b.parts), bad); err != nil {
				return err
			}
		}
		for _, r := range refused {
			if err := setOneAside(ctx, q, db.Dialect, o, table, r.Key, badRow{column: r.Column, reason: r.Reason, code: r.Code, json: r.JSON}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set rows aside: %w", Classify(err))
	}
	return nil
}

// Written says what a batch has become in a file.
type Written struct {
	Rows, Bytes int64
	Done        bool // it ends its step
}

// CommitFile writes the ledger's row of a batch whose rows are in a file, besides those that are set aside. ErrTaken says that
// somebody else has written it.
func CommitFile(ctx context.Context, db *DB, b *Batch, o *LoaderOptions, w Written) (Loaded, error) {
	p := wholeBatch(b)
	p.done, p.bytes, p.checksum = w.Done, int(w.Bytes), checksumValues(b.values)
	p.quarantined += max(0, b.RowsEncoded-int(w.Rows))
	p.written = int(w.Rows)
	taken := false
	err := inTransaction(ctx, db, func(q querier) (err error) {
		taken, err = enterLedger(ctx, q, db.Dialect, o, &p)
		return err
	})
	switch {
	case err != nil:
		return Loaded{}, fmt.Errorf("write the ledger: %w", Classify(err))
	case taken:
		return Loaded{}, ErrTaken
	}
	return p.loaded(), nil
}

// enterLedger writes a row of the ledger, unless one that starts there has been written.
func enterLedger(ctx context.Context, q querier, d Dialect, o *LoaderOptions, p *part) (taken bool, err error) {
	var there int
	within, args, _ := keyPlaces(d, []any{o.Job, o.Stage, o.Step}, []string{p.from.String()})
	if err := q.queryAll(ctx, "SELECT 1 FROM stint_ledger WHERE job = $1 AND stage = $2 AND step = $3 AND from_key IN "+within, args,
		func(scan func(...any) error) error { return scan(&there) }); err != nil || there == 1 {
		return there == 1, err
	}
	return false, q.exec(ctx, ledgerInsert+"$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", o.Job, o.Stage, o.Step, storedKey(d, p.from.String()), p.to.String(), p.doneInt(),
		p.read, p.written, p.quarantined, p.skipped, p.bytes, p.checksumText(), o.Worker, o.Attempt)
}

// Settled returns the keys, as text, of the rows of a batch that are not set aside again: neither those that could not be made, nor
// those with one of these keys.
func (b *Batch) Settled(refused []Refusal) []string {
	again := map[string]bool{}
	for _, r := range refused {
		again[r.Key.String()] = true
	}
	var keys []string
	for _, key := range settledKeys(b, 0, b.RowsRead, b.bad) {
		if !again[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// CommitAgain takes rows that were tried again, and are in a file now, from those that are set aside, and writes the ledger's row at
// number seq of the step. The same may be committed any number of times.
func CommitAgain(ctx context.Context, db *DB, o *LoaderOptions, seq int, keys []string, c tasks.Counters) (first bool, err error) {
	at := RowKey{int64(seq)}
	p := part{from: at, to: at, read: int(c.Read), written: int(c.Written), skipped: int(c.Skipped), bytes: int(c.Bytes)}
	err = inTransaction(ctx, db, func(q querier) error {
		taken, err := enterLedger(ctx, q, db.Dialect, o, &p)
		if err != nil || taken {
			return err
		}
		first = true
		for _, key := range keys {
			if err := settleOne(ctx, q, db.Dialect, o.Again, key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("settle rows: %w", Classify(err))
	}
	return first, nil
}
