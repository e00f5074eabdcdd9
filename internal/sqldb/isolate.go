package sqldb

import (
	"context"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stint-run/stint/tasks"
	"go.opentelemetry.io/otel/trace"
)

// isolationBudget is how long one transaction may go on isolating bad rows before it commits what it has: a drain, and whoever
// waits for our locks, must not wait for a batch of ten thousand bad rows.
const isolationBudget = 500 * time.Millisecond

// isolator is a sink that sends many rows by one statement, which the server takes or refuses as a whole.
type isolator interface {
	// beginPart begins a transaction with its row of the ledger, and holds those rows of a batch, from first on, that are tried again.
	// ErrTaken: somebody has committed the range.
	beginPart(ctx context.Context, b *Batch, p part, first int) error
	// reach returns the end of what one statement tries from an encoded row on: about width rows, and all that was made of each.
	reach(b *Batch, row, width int) int
	// try loads encoded rows [row, end) under a savepoint.
	try(ctx context.Context, b *Batch, row, end int) error
	// untry goes back to the savepoint.
	untry(ctx context.Context) error
	// stoppedAt returns the row of a statement, from 1, at which the server stopped; 0 where it does not say.
	stoppedAt(err error) int
	rowFault(err error) (code, reason, column string, ok bool)
	// sourceColumn returns the source's name of a column of the target; "" for none.
	sourceColumn(target string) string
	// endPart sets bad rows aside, says in the ledger's row what the part has become, and commits.
	endPart(ctx context.Context, b *Batch, p part, first, end int, bad []badRow) error
	// giveUp takes the transaction back after an error.
	giveUp(ctx context.Context)
}

// isolate loads a batch of which the server rejected something: it finds the rows, quarantines them and loads the rest, in
// transactions of a bounded time.
func isolate(ctx context.Context, s isolator, o *LoaderOptions, b *Batch) (Loaded, error) {
	trace.SpanFromContext(ctx).AddEvent("isolating rejected rows")
	sum := Loaded{To: b.From}
	from, row := b.From, 0
	for {
		p, next, err := isolatePart(ctx, s, o, b, from, row)
		if err != nil {
			s.giveUp(ctx)
			return sum, Classify(err)
		}
		sum = Loaded{To: p.to, Done: p.done, Counters: sum.Counters.Add(p.loaded().Counters)}
		if next == b.RowsEncoded {
			return sum, nil
		}
		from, row = p.to, next
		if isClosed(o.Draining) {
			return sum, tasks.ErrDrained
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// isolatePart commits one transaction of isolate, starting at an encoded row, and returns the row that the next one starts at.
func isolatePart(ctx context.Context, s isolator, o *LoaderOptions, b *Batch, from RowKey, row int) (part, int, error) {
	first := 0
	if row > 0 {
		first = b.readIndex(row)
	}
	p := part{from: from, to: b.To, done: b.Last}
	if err := s.beginPart(ctx, b, p, first); err != nil {
		return part{}, 0, err
	}
	found, next, err := isolateRows(ctx, s, o, b, row, &p)
	if err != nil {
		return part{}, 0, err
	}
	if o.Stop && len(found) > 0 {
		return part{}, 0, o.stopped(b, &found[0])
	}
	end := b.RowsRead
	if next < b.RowsEncoded {
		end = b.readIndex(next)
		p.to, p.done = b.keyAt(end, b.parts), false
	}
	bad := found
	for _, q := range b.bad {
		if q.at >= first && q.at < end {
			bad = append(bad, q)
		}
	}
	p.read, p.quarantined, p.skipped = end-first, setAside(bad), b.skippedWithin(first, end)
	p.written = next - row
	for _, q := range found {
		p.written -= q.rows
	}
	return p, next, s.endPart(ctx, b, p, first, end, bad)
}

// isolateRows loads encoded rows from row on until the end of the batch or of the budget, and adds their bytes and their checksum to the
// part. Where the server says in which row it stopped, what is before it is loaded, and the row itself is tried alone, so that only a
// row that fails by itself is blamed. All that was made of one row of the source stands and falls together.
func isolateRows(ctx context.Context, s isolator, o *LoaderOptions, b *Batch, row int, p *part) (found []badRow, next int, err error) {
	hash := xxhash.New()
	deadline := time.Now().Add(isolationBudget)
	start, width, suspect := row, b.RowsEncoded-row, false
	for row < b.RowsEncoded {
		over := time.Now().After(deadline) || isClosed(o.Draining)
		if over && row > start && b.canCutAt(b.readIndex(row)) { // never before it has moved: each part has a From of its own
			break
		}
		end := s.reach(b, row, width)
		err := s.try(ctx, b, row, end)
		if err == nil {
			_, _ = hash.Write(b.span(row, end)) // a hash never fails
			p.bytes += len(b.span(row, end))
			row = end
			width *= 8
			if suspect {
				width, suspect = 1, false
			}
			continue
		}
		code, reason, column, ok := s.rowFault(err)
		if !ok {
			return nil, 0, err
		}
		if err := s.untry(ctx); err != nil {
			return nil, 0, err
		}
		if b.readIndex(row) == b.readIndex(end-1) {
			found = append(found, badRow{at: b.readIndex(row), rows: end - row, column: s.sourceColumn(column), reason: reason, code: code, json: b.encodedJSON(row)})
			row = end
			width, suspect = 64, false
			continue
		}
		switch line := s.stoppedAt(err); {
		case line == 1 || end-row == 2:
			width, suspect = 1, false
		case line > 1 && line <= end-row:
			width, suspect = line-1, true
		default:
			width, suspect = (end-row)/2, false
		}
	}
	p.checksum = hash.Sum64()
	return found, row, nil
}
