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
//
// Where another map keeps the ids they are there before the state database has anything of the answer, and what was announced stays
// until the ledger has the batch. A crash in between sends what the map lacks once more, under the same key, and keeps the same id again.
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
	d := &sent{requests: r, of: sqldb.Delivery{Scope: r.l.scope, Entity: r.l.stage.Name, Job: r.o.Job, Elsewhere: r.l.ids != nil}, rows: b.Records(), at: map[string]int{}}
	keys := make([]string, len(d.rows))
	for i := range d.rows {
		key := d.rows[i].ID
		if _, twice := d.at[key]; twice {
			return sqldb.Loaded{}, tasks.Permanent(tasks.WithHint(nil, "name columns that are unique with from.key", "two rows of %s have the key %s", r.l.source.FullName(), key))
		}
		keys[i], d.at[key] = key, i
	}
	elsewhere, err := r.elsewhere(ctx, keys)
	if err != nil {
		return sqldb.Loaded{}, err
	}
	name := sqldb.GroupName(&r.o, b.From)
	groups, err := r.groups(ctx, d.of, name, keys)
	if err != nil {
		return sqldb.Loaded{}, err
	}
	if d.before, err = sqldb.Announce(ctx, r.l.dst, d.of, keys, elsewhere); err != nil {
		return sqldb.Loaded{}, err
	}
	if err := d.moveIDs(ctx); err != nil {
		return sqldb.Loaded{}, err
	}
	for _, group := range groups {
		records, err := d.records(group)
		if err == nil {
			err = r.deliver(ctx, records, func(answers []httpsink.Answer) error { return d.answered(ctx, answers) })
		}
		if err != nil {
			return sqldb.Loaded{}, err
		}
	}
	if d.failed != nil { // no verdict: it is delivered again
		return sqldb.Loaded{}, fmt.Errorf("the API did not take %d of %d records: %s: %s", d.failures, len(d.rows), d.failed.Code, d.failed.Reason)
	}
	done, err := sqldb.CommitDelivery(ctx, r.l.dst, b, &r.o, r.l.source.FullName(), sqldb.Settled{Refused: d.rejects, Skipped: d.skipped, Elsewhere: d.kept})
	if errors.Is(err, sqldb.ErrTaken) { // by somebody who had all answers
		err = errors.Join(err, sqldb.ForgetSent(ctx, r.l.dst, d.of, d.kept))
		if r.grouped() {
			err = errors.Join(err, sqldb.Ungroup(ctx, r.l.dst, d.of, name))
		}
	}
	return done, err
}

// grouped reports whether requests carry several records, which the API knows together.
func (r *requests) grouped() bool { return r.l.stage.To.HTTP.Batch > 1 && r.o.Again == nil }

// groups returns which keys are delivered together. What is tried again goes record by record: which others would be there depends on
// what has been loaded meanwhile.
func (r *requests) groups(ctx context.Context, d sqldb.Delivery, name string, keys []string) ([][]string, error) {
	switch {
	case r.grouped():
		return sqldb.Grouped(ctx, r.l.dst, d, name, keys)
	case r.l.stage.To.HTTP.Batch > 1:
		var alone [][]string
		for _, key := range keys {
			alone = append(alone, []string{key})
		}
		return alone, nil
	}
	return [][]string{keys}, nil
}

// sent is a batch on its way, and what has become of its records.
type sent struct {
	*requests
	of       sqldb.Delivery
	rows     []sqldb.Record
	at       map[string]int // of a key in rows
	before   map[string]sqldb.Sent
	rejects  []int // as the batch numbers them
	skipped  int   // the API had them from another job
	failures int
	failed   *httpsink.Answer // the last
	kept     []string         // whose ids a map outside of the state database has
}

// records makes what is delivered of a group. What was sent together with the others and is no more keeps its place.
func (s *sent) records(group []string) ([]httpsink.Record, error) {
	out := make([]httpsink.Record, len(group))
	for i, key := range group {
		at, there := s.at[key]
		if !there {
			out[i] = httpsink.Record{Key: key, IdempotencyKey: s.idempotencyKey(key), Gone: true}
			continue
		}
		rec, err := s.record(&s.rows[at])
		if err != nil {
			return nil, err
		}
		known := s.before[key]
		rec.Answered, rec.Maybe = known.Answered, known.Sent && !known.Answered
		if known.Answered && known.Job != s.o.Job {
			s.skipped++
		}
		out[i] = rec
	}
	return out, nil
}

// answered makes answers durable: ids that are kept elsewhere first.
func (s *sent) answered(ctx context.Context, answers []httpsink.Answer) error {
	var ids []sqldb.Delivered
	var refused []sqldb.Refusal
	for i := range answers {
		ans := &answers[i]
		at, ok := s.at[ans.Key]
		if !ok {
			continue
		}
		switch ans.Outcome {
		case httpsink.Created, httpsink.Existed:
			ids = append(ids, sqldb.Delivered{Key: ans.Key, ID: string(ans.ID)})
		case httpsink.Rejected:
			rec, err := s.record(&s.rows[at])
			if err != nil {
				return err
			}
			s.rejects = append(s.rejects, s.rows[at].At)
			refused = append(refused, refusal(&s.rows[at], rec, *ans))
		default:
			s.failures++
			s.failed = ans
		}
	}
	if s.o.Stop && len(refused) > 0 {
		return tasks.Permanent(tasks.WithHint(nil, "mend the row or the plan, then retry; or let rows be set aside with policy.on_reject: quarantine",
			"the API refuses row %s: %s", refused[0].Key, refused[0].Reason))
	}
	if err := s.keepIDs(ctx, ids); err != nil {
		return err
	}
	return sqldb.Answered(ctx, s.l.dst, s.of, &s.o, s.l.source.FullName(), ids, refused)
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
	return sqldb.Refusal{Key: row.Key, Reason: reason, Code: ans.Code, JSON: string(rec.JSON), ID: rec.Key, Uncertain: ans.Uncertain}
}
