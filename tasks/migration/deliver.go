package migration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// API says how the API behind a connection's name is reached, by the configuration of this process.
type API func(name string) (httpsink.Connection, error)

// Limit returns what keeps the requests to an endpoint to a rate, over all processes that send to it. endpoint is a name.
type Limit func(endpoint string, perSecond float64) httpsink.Limiter

// LimitRequests says what keeps requests to the rates of plans, before anybody uses it; without, each process keeps to them by itself.
func (d *Databases) LimitRequests(limit Limit) { d.limit = limit }

// limiter returns what keeps a stage's requests to its rate; nil leaves that to the sink.
func (s *sinks) limiter(target string, e *httpsink.Endpoint) httpsink.Limiter {
	perSecond := e.PerSecond()
	if s.dbs.limit == nil || perSecond == 0 {
		return nil
	}
	method := e.Method
	if method == "" {
		method = http.MethodPost
	}
	return s.dbs.limit(strings.Join([]string{target, method, e.Path}, " "), perSecond)
}

// sinks are what the attempts of a process share that send to APIs.
type sinks struct {
	dbs    *Databases
	shared *httpsink.Shared
}

func newSinks(dbs *Databases) *sinks { return &sinks{dbs, httpsink.NewShared()} }

// requests opens an API as a writer.
func (s *sinks) requests(ctx context.Context, a *tasks.Attempt, l *load, o sqldb.LoaderOptions) (writer, error) {
	if s.dbs.api == nil {
		return nil, tasks.Permanent(errors.New("this process knows no APIs"))
	}
	conn, err := s.dbs.api(l.spec.Target)
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	sink, err := httpsink.New(conn, *l.stage.To.HTTP, httpsink.Options{Shared: s.shared, Limiter: s.limiter(l.spec.Target, l.stage.To.HTTP)})
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	return &requests{sink: sink, l: l, o: o, a: a}, nil
}

// requests delivers the rows of batches to an API. Before a record is sent the state database knows that it may be, and afterwards
// what became of it; the batch's row of the ledger comes last. So whatever dies, the next attempt knows of each record that it was
// answered, or that it may have been sent.
type requests struct {
	sink *httpsink.Sink
	l    *load
	o    sqldb.LoaderOptions
	a    *tasks.Attempt
}

// Close gives the connections back.
func (r *requests) Close() { r.sink.Close() }

// Load delivers a batch.
func (r *requests) Load(ctx context.Context, b *sqldb.Batch) (sqldb.Loaded, error) {
	if r.o.Stop {
		if err := b.Refused(); err != nil {
			return sqldb.Loaded{}, err
		}
	}
	rows := b.Records()
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = rows[i].ID
	}
	d := sqldb.Delivery{Scope: r.l.scope, Entity: r.l.stage.Name, Job: r.o.Job}
	before, err := sqldb.Announce(ctx, r.l.dst, d, keys)
	if err != nil {
		return sqldb.Loaded{}, err
	}
	records := make([]httpsink.Record, len(rows))
	at := make(map[string]int, len(rows))
	var skipped int
	for i := range rows {
		rec, err := r.record(&rows[i])
		if err != nil {
			return sqldb.Loaded{}, err
		}
		if _, twice := at[rec.Key]; twice {
			return sqldb.Loaded{}, tasks.Permanent(tasks.WithHint(nil, "name columns that are unique with from.key", "two rows of %s have the key %s", r.l.source.FullName(), rec.Key))
		}
		at[rec.Key] = i
		known := before[rec.Key]
		rec.Answered, rec.Maybe = known.Answered, known.Sent && !known.Answered
		if known.Answered && known.Job != r.o.Job {
			skipped++
		}
		records[i] = rec
	}
	var rejects []int
	failed := 0
	err = r.deliver(ctx, records, func(answers []httpsink.Answer) error {
		var ids []sqldb.Delivered
		var refused []sqldb.Refusal
		for _, ans := range answers {
			i, ok := at[ans.Key]
			if !ok {
				continue
			}
			switch ans.Outcome {
			case httpsink.Created, httpsink.Existed:
				ids = append(ids, sqldb.Delivered{Key: ans.Key, ID: string(ans.ID)})
			case httpsink.Rejected:
				rejects = append(rejects, rows[i].At)
				refused = append(refused, refusal(&rows[i], records[i], ans))
			default:
				failed++
			}
		}
		if r.o.Stop && len(refused) > 0 {
			return tasks.Permanent(tasks.WithHint(nil, "mend the row or the plan, then retry; or let rows be set aside with policy.on_reject: quarantine",
				"the API refuses row %s: %s", refused[0].Key, refused[0].Reason))
		}
		return sqldb.Answered(ctx, r.l.dst, d, &r.o, r.l.source.FullName(), ids, refused)
	})
	if err != nil {
		return sqldb.Loaded{}, err
	}
	if failed > 0 {
		return sqldb.Loaded{}, fmt.Errorf("the API did not answer for %d of %d records", failed, len(records))
	}
	return sqldb.CommitDelivery(ctx, r.l.dst, b, &r.o, r.l.source.FullName(), rejects, skipped)
}

// deliver sends what is left to send. A drain ends the waiting; what is under way is waited for.
func (r *requests) deliver(ctx context.Context, records []httpsink.Record, done func([]httpsink.Answer) error) error {
	waiting, cancel := r.a.UntilDraining(ctx)
	defer cancel()
	err := r.sink.Deliver(waiting, records, done)
	return unlessDraining(r.a, err)
}

// record makes what is sent of a row.
func (r *requests) record(row *sqldb.Record) (httpsink.Record, error) {
	body, err := encodeRecord(r.l.m.Columns, row.Values)
	return httpsink.Record{Key: row.ID, IdempotencyKey: r.idempotencyKey(row.ID), JSON: body}, err
}

// encodeRecord writes a row as a JSON object whose members are in the order of the columns.
func encodeRecord(columns []sqldb.ColumnPair, values []any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(c.Target)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", c.Target, err)
		}
		value, err := json.Marshal(values[i])
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", c.Target, err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// idempotencyKey is what the API knows a record by: a function of whose it is, its stage and its key, and not of the job, so that
// a migration that is begun anew does nothing twice. A record that was refused and is tried again, mended, has another.
func (r *requests) idempotencyKey(key string) string {
	parts := []string{"stint", r.l.scope, r.l.stage.Name, key}
	if r.l.spec.Again != "" {
		parts = append(parts, r.o.Job)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:20])
}

func refusal(row *sqldb.Record, rec httpsink.Record, ans httpsink.Answer) sqldb.Refusal {
	reason := ans.Reason
	if reason == "" {
		reason = fmt.Sprintf("status %d", ans.Status)
	}
	return sqldb.Refusal{Key: row.Key, Reason: reason, Code: ans.Code, JSON: string(rec.JSON), ID: rec.Key}
}
