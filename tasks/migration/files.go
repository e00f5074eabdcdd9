package migration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"sync"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/filesink"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// OpenStore opens the store of artifacts, by the configuration of this process.
type OpenStore func() (artifact.Store, error)

// shelf is the store of a process' files, opened when it is needed.
type shelf struct {
	open  OpenStore
	mu    sync.Mutex
	store artifact.Store // nil until then
}

// WriteFilesTo says where plans write files, before anybody uses it.
func (d *Databases) WriteFilesTo(open OpenStore) { d.shelf.open = open }

func (s *shelf) get() (artifact.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	if s.open == nil {
		return nil, tasks.Permanent(errors.New("this process has no store of artifacts"))
	}
	var err error
	s.store, err = s.open()
	return s.store, err
}

func (s *shelf) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

// maxFileBytes is how many encoded bytes make a part: it is held in memory, twice.
const maxFileBytes = 16 << 20

// fileSink opens where a stage's files go. stage is one of the plan's; the rows that it tries again stand beside the others.
func (f *Family) fileSink(job string, l *load) (*filesink.Sink, error) {
	store, err := f.dbs.shelf.get()
	if err != nil {
		return nil, err
	}
	to := l.stage.To.File
	name := to.Name
	if name == "" {
		name = l.stage.Name
	}
	sink, err := filesink.New(store, to.FolderOf(job, l.stage.Name), name, to.FormatOf(l.stage.Map.Columns()))
	return sink, tasks.Permanent(err)
}

// files writes the rows of batches into files: each batch is a part. Three writes follow each other, the rows that are set aside, the
// part, and the row of the ledger, and each of them may be the last. So whoever comes next finds either nothing, or the part, which
// counts as it is; the ledger is brought up to it.
type files struct {
	sink *filesink.Sink
	l    *load
	o    sqldb.LoaderOptions
	end  sqldb.RowKey // of the step
	seq  int          // of the next part
	hex  []bool       // the columns whose bytes are not written in base64
}

// files opens the store as a writer of a step whose ledger stands at from.
func (f *Family) files(ctx context.Context, a *tasks.Attempt, l *load, o sqldb.LoaderOptions, from sqldb.RowKey) (writer, error) {
	sink, err := f.fileSink(a.Job.ID, l)
	if err != nil {
		return nil, err
	}
	w := &files{sink: sink, l: l, o: o, hex: make([]bool, len(l.m.Columns))}
	for i, c := range l.m.Columns {
		w.hex[i] = l.stage.To.File.Bytes == "hex" && l.m.Target.Column(c.Target).Kind == sqldb.KindBytes
	}
	if o.Again != nil {
		return &filesAgain{w, l.settled}, nil
	}
	var chunk sqldb.Chunk
	if err := json.Unmarshal(a.Step.Body, &chunk); err != nil {
		return nil, tasks.Permanent(fmt.Errorf("read chunk: %w", err))
	}
	w.end = chunk.To
	w.seq, err = sqldb.Committed(ctx, l.dst, o.Job, o.Stage, o.Step, from)
	return w, err
}

// Close does nothing: the store is shared.
func (w *files) Close() {}

// Load writes a batch.
func (w *files) Load(ctx context.Context, b *sqldb.Batch) (sqldb.Loaded, error) {
	if w.o.Stop {
		if err := b.Refused(); err != nil {
			return sqldb.Loaded{}, err
		}
	}
	rows := b.Records()
	var refused []sqldb.Refusal
	part, err := w.sink.PutPart(ctx, filesink.Batch{Step: w.o.Step, Seq: w.seq, From: []byte(b.From.String()), To: []byte(b.To.String())},
		w.rows(rows, func() error { return b.SetAsideRows(ctx, w.l.dst, &w.o, w.l.source.FullName(), refused) }),
		func(n int64, bad *filesink.CellError) (err error) {
			refused, err = w.refuse(refused, &rows[n], bad)
			return err
		})
	if err != nil {
		return sqldb.Loaded{}, err
	}
	if string(part.To) != b.To.String() {
		if err := w.follow(ctx, b.From, &part); err != nil {
			return sqldb.Loaded{}, err
		}
		return sqldb.Loaded{}, sqldb.ErrTaken
	}
	done, err := sqldb.CommitFile(ctx, w.l.dst, b, &w.o, sqldb.Written{Rows: part.Rows, Bytes: part.Bytes, Done: b.Last})
	w.seq++
	return done, err
}

// follow writes the ledger's row of a part that an attempt has put which cut its batches elsewhere.
func (w *files) follow(ctx context.Context, from sqldb.RowKey, part *filesink.Part) error {
	to, err := sqldb.ParseRowKey(string(part.To))
	if err != nil {
		return tasks.Permanent(err)
	}
	batches, err := sqldb.NewBatcher(ctx, w.l.src, w.l.m, w.l.walk, w.l.to, from, to, sqldb.Limits{Rows: math.MaxInt, Bytes: math.MaxInt})
	if err != nil {
		return err
	}
	defer batches.Close()
	b, err := batches.Next()
	if err != nil {
		return err
	}
	defer b.Release()
	_, err = sqldb.CommitFile(ctx, w.l.dst, b, &w.o, sqldb.Written{Rows: part.Rows, Bytes: part.Bytes, Done: to.Equal(w.end)})
	return err
}

// rows gives records to an encoder, and in the end calls last, before a part is made of them.
func (w *files) rows(records []sqldb.Record, last func() error) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for i := range records {
			values, err := w.values(records[i].Values)
			if !yield(values, err) {
				return
			}
		}
		if err := last(); err != nil {
			yield(nil, err)
		}
	}
}

// values are those of a record, with bytes where they are not to be written in base64.
func (w *files) values(in []any) ([]any, error) {
	for i, hex := range w.hex {
		text, ok := in[i].(string)
		if !hex || !ok {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, tasks.Permanent(fmt.Errorf("decode %s: %w", w.l.m.Columns[i].Target, err))
		}
		in[i] = b
	}
	return in, nil
}

// refuse notes that a row cannot be written, or is an error where the plan stops at the first.
func (w *files) refuse(all []sqldb.Refusal, row *sqldb.Record, bad *filesink.CellError) ([]sqldb.Refusal, error) {
	if w.o.Stop {
		return all, tasks.Permanent(tasks.WithHint(bad, "mend the row or the plan, then retry; or let rows be set aside with policy.on_reject: quarantine",
			"row %s cannot be written", row.Key))
	}
	body, err := encodeRecord(w.l.m.Columns, row.Values)
	return append(all, sqldb.Refusal{Key: row.Key, Column: bad.Column, Reason: bad.Err.Error(), Code: "22P05", JSON: string(body)}), err
}

// settled is where the rows of a stage that are tried again stand in the files.
type settled struct {
	seq int    // of the next part
	end []byte // of the part before
}

// settlement is what the cursor of such a part says: which rows it settles. It makes the part known to whoever comes after its writer.
type settlement struct {
	Seq     int      `json:"seq"`
	Keys    []string `json:"keys"`
	Read    int64    `json:"read"`
	Skipped int64    `json:"skipped"`
}

// filesAgain writes rows that are tried again. What keeps a row from being written twice is that the last part is settled before the
// rows are looked up that are still set aside (settle), and that only one part has the number that comes then.
type filesAgain struct {
	*files
	at settled
}

// settle brings the rows that are set aside up to the last part that was written.
func (f *Family) settle(ctx context.Context, a *tasks.Attempt, l *load) error {
	if l.stage == nil || l.stage.To.File == nil {
		return nil
	}
	sink, err := f.fileSink(a.Job.ID, l)
	if err != nil {
		return err
	}
	o := l.optionsOf(a)
	last, some, err := sink.Resume(ctx, againStep)
	l.settled = settled{}
	if err != nil || !some {
		return err
	}
	l.settled = settled{last.Seq + 1, last.To}
	_, err = settlePart(ctx, l, &o, &last)
	return err
}

// againStep is the step of the parts with rows that were tried again. It stands behind the numbers of the others.
const againStep = "again"

func settlePart(ctx context.Context, l *load, o *sqldb.LoaderOptions, p *filesink.Part) (tasks.Counters, error) {
	var s settlement
	if err := json.Unmarshal(p.To, &s); err != nil {
		return tasks.Counters{}, tasks.Permanent(fmt.Errorf("read the record of part %s: %w", p.Key, err))
	}
	c := tasks.Counters{Read: s.Read, Written: p.Rows, Skipped: s.Skipped, Bytes: p.Bytes}
	first, err := sqldb.CommitAgain(ctx, l.dst, o, p.Seq, s.Keys, c)
	if !first {
		c = tasks.Counters{}
	}
	return c, err
}

// Load writes those rows of a batch that can be written now.
func (w *filesAgain) Load(ctx context.Context, b *sqldb.Batch) (sqldb.Loaded, error) {
	rows := b.Records()
	var refused []sqldb.Refusal
	trial, err := filesink.Encode(io.Discard, w.l.stage.To.File.FormatOf(w.l.stage.Map.Columns()), false)
	if err != nil {
		return sqldb.Loaded{}, err
	}
	var good []sqldb.Record
	for i := range rows {
		values, err := w.values(rows[i].Values)
		if err == nil {
			err = trial.WriteRow(values)
		}
		if bad := (*filesink.CellError)(nil); errors.As(err, &bad) {
			refused, err = w.refuse(refused, &rows[i], bad)
		} else if err == nil {
			good = append(good, rows[i])
		}
		if err != nil {
			return sqldb.Loaded{}, err
		}
	}
	if err := b.SetAsideRows(ctx, w.l.dst, &w.o, w.l.source.FullName(), refused); err != nil {
		return sqldb.Loaded{}, err
	}
	s := settlement{Seq: w.at.seq, Keys: b.Settled(refused), Skipped: int64(b.Skipped())}
	if len(s.Keys) == 0 {
		return sqldb.Loaded{}, nil
	}
	s.Read = int64(len(s.Keys))
	to, err := json.Marshal(s)
	if err != nil {
		return sqldb.Loaded{}, fmt.Errorf("write the record of a part: %w", err)
	}
	part, err := w.sink.PutPart(ctx, filesink.Batch{Step: againStep, Seq: w.at.seq, From: w.at.end, To: to}, w.rows(good, func() error { return nil }), nil)
	if err != nil {
		return sqldb.Loaded{}, err
	}
	c, err := settlePart(ctx, w.l, &w.o, &part)
	if err == nil && string(part.To) != string(to) {
		err = sqldb.ErrTaken
	}
	return sqldb.Loaded{Counters: c}, err
}

// runFiles closes the files of a stage: it writes the manifest, and joins the parts where the plan wants one file.
func (f *Family) runFiles(ctx context.Context, a *tasks.Attempt) error {
	if a.IsDraining() {
		return tasks.ErrDrained
	}
	ctx, cancel := a.UntilDraining(ctx)
	defer cancel()
	l, err := f.loadOf(ctx, a.Job, a.Stage)
	if err != nil {
		return unlessDraining(a, err)
	}
	return unlessDraining(a, f.finish(ctx, a, l))
}

func (f *Family) finish(ctx context.Context, a *tasks.Attempt, l *load) error {
	sink, err := f.fileSink(a.Job.ID, l)
	if err != nil {
		return err
	}
	load, again := stageLoad+l.stage.Name, stageAgain+l.stage.Name
	if l.spec.Again == "" {
		missing, err := sqldb.Unfinished(ctx, l.dst, a.Job.ID, []string{load})
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return tasks.Permanent(tasks.WithHint(nil, "run the same command again: it writes what is missing", "the ledger has lost batches that it had confirmed, in %s", strings.Join(missing, ", ")))
		}
	}
	manifest, err := sink.Finish(ctx)
	if err != nil {
		return err
	}
	want := int64(0)
	for _, stage := range []string{load, again} {
		c, err := sqldb.StageTotals(ctx, l.dst, a.Job.ID, stage)
		if err != nil {
			return err
		}
		want += c.Written
	}
	if manifest.Rows != want {
		return tasks.Permanent(tasks.WithHint(nil, "have artifacts been deleted, or the ledger been changed? Move the files away and migrate into another folder",
			"the files of %s have %d rows, and the ledger says %d", l.stage.Name, manifest.Rows, want))
	}
	folder := l.stage.To.File.FolderOf(a.Job.ID, l.stage.Name)
	what := fmt.Sprintf("%d rows in %d parts, named by %s/manifest.json", manifest.Rows, len(manifest.Parts), folder)
	if manifest.File != nil {
		what = fmt.Sprintf("%d rows in %s/%s, %s", manifest.Rows, folder, manifest.File.Key, manifest.File.Digest)
	}
	a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: l.stage.Name, Message: what})
	return nil
}
