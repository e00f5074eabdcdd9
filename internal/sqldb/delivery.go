package sqldb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Delivery says whose records go to an API. What became of each is kept in stint_ids, whose target_id is "" as long as a record may
// have been sent and was not answered.
type Delivery struct {
	Scope, Entity string
	Job           string
	// Elsewhere says that another map keeps the ids, and has them before this database is told. Then stint_ids has a record only
	// from when it may be sent until the ledger has its batch.
	Elsewhere bool
}

// Sent is what is known of a record.
type Sent struct {
	Sent     bool   // somebody was about to send it, before this was asked
	Answered bool   // the API has it
	Job      string // of whom; "" is another one, whose batch is done
	ID       string // as stint_ids has it; "" when it was not answered, or its id is elsewhere
}

// Delivered is a record that the API has; ID is its own there, as JSON, "" when it gave none.
type Delivered struct{ Key, ID string }

// NoID is what is kept of a record that the API has and gave no id for.
const NoID = "null"

// Grouped returns the records that are sent together with some keys, in their order: those that an earlier attempt at the batch of
// this name has grouped, whatever has become of their rows since, and then the keys that are new, as a group of their own. The groups
// are durable when it returns, until CommitDelivery. A request of many records can only be repeated with the same ones.
func Grouped(ctx context.Context, db *DB, d Delivery, name string, keys []string) ([][]string, error) {
	var groups [][]string
	err := inTransaction(ctx, db, func(q querier) error {
		groups = nil
		where, args := groupOf(db.Dialect, d, name)
		err := q.queryAll(ctx, "SELECT target_id FROM stint_ids WHERE "+where, args, func(scan func(...any) error) error {
			var body string
			if err := scan(&body); err != nil {
				return err
			}
			return json.Unmarshal([]byte(body), &groups)
		})
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, g := range groups {
			for _, key := range g {
				known[key] = true
			}
		}
		fresh := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return known[key] })
		if len(fresh) == 0 {
			return nil
		}
		groups = append(groups, fresh)
		body, err := json.Marshal(groups)
		if err != nil {
			return err
		}
		if err := q.exec(ctx, "DELETE FROM stint_ids WHERE "+where, args...); err != nil {
			return err
		}
		return q.exec(ctx, "INSERT INTO stint_ids (scope, entity, source_key, target_id, job) VALUES ($1, $2, $3, $4, $5)", append(args, string(body), d.Job)...)
	})
	if err != nil {
		return nil, fmt.Errorf("keep what is sent together: %w", Classify(err))
	}
	return groups, nil
}

// groupOf is where the map of ids keeps a group. No stage has a slash in its name.
func groupOf(dialect Dialect, d Delivery, name string) (where string, args []any) {
	return "scope = $1 AND entity = $2 AND source_key = $3", []any{d.Scope, d.Entity + "/batch", storedKey(dialect, d.Job+" "+name)}
}

// GroupName names the groups of the batch that begins at a key.
func GroupName(o *LoaderOptions, from RowKey) string {
	return o.Stage + " " + o.Step + " " + from.String()
}

// Ungroup forgets the groups of a batch that somebody else has committed meanwhile, as CommitDelivery does of its own.
func Ungroup(ctx context.Context, db *DB, d Delivery, name string) error {
	where, args := groupOf(db.Dialect, d, name)
	if err := db.exec(ctx, "DELETE FROM stint_ids WHERE "+where, args...); err != nil {
		return fmt.Errorf("forget what was sent together: %w", Classify(err))
	}
	return nil
}

// Refusal is a record that an API or a file refuses.
type Refusal struct {
	Key          RowKey
	ID           string // what the map of ids knows it by; "" for a file
	Column       string // "" when it is the row as a whole
	Reason, Code string
	JSON         string // as it was sent
	Uncertain    bool   // it may be there all the same
}

// Announce makes it durable that records may be sent from now on, and returns what was known of them before. elsewhere are the ids
// that another map has: those records have been answered, and will not be sent. It is nil without one.
func Announce(ctx context.Context, db *DB, d Delivery, keys []string, elsewhere map[string]string) (map[string]Sent, error) {
	var known map[string]Sent
	err := inTransaction(ctx, db, func(q querier) error {
		known = map[string]Sent{}
		for _, part := range batchesOf(keys, 400) {
			if len(part) == 0 {
				continue
			}
			within, args, named := keyPlaces(db.Dialect, []any{d.Scope, d.Entity}, part)
			err := q.queryAll(ctx, "SELECT source_key, target_id, job FROM stint_ids WHERE scope = $1 AND entity = $2 AND source_key IN "+within,
				args, func(scan func(...any) error) error {
					var key, id string
					s := Sent{Sent: true}
					err := scan(&key, &id, &s.Job)
					s.Answered, s.ID = id != "", id
					known[named(key)] = s
					return err
				})
			if err != nil {
				return err
			}
			for _, key := range part {
				if _, there := elsewhere[key]; there {
					known[key] = Sent{Sent: true, Answered: true, Job: known[key].Job}
				}
			}
			if err := insertAnnounced(ctx, q, db.Dialect, d, part, known); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("announce records: %w", Classify(err))
	}
	return known, nil
}

func insertAnnounced(ctx context.Context, q querier, d Dialect, of Delivery, keys []string, known map[string]Sent) error {
	var rows []string
	for _, key := range keys {
		if !known[key].Sent {
			rows = append(rows, "("+d.Literal(of.Scope)+","+d.Literal(of.Entity)+","+d.Literal(storedKey(d, key))+",'',"+d.Literal(of.Job)+")")
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return q.exec(ctx, d.words().insertNew("INSERT INTO stint_ids (scope, entity, source_key, target_id, job) VALUES "+strings.Join(rows, ","), "scope, entity, source_key"))
}

// Answered keeps what an API has answered: the ids of the records that it has, unless they are elsewhere, and those that it refuses, in
// one transaction.
func Answered(ctx context.Context, db *DB, d Delivery, o *LoaderOptions, table string, have []Delivered, refused []Refusal) error {
	err := inTransaction(ctx, db, func(q querier) error {
		for _, r := range have {
			if d.Elsewhere {
				break
			}
			id := r.ID
			if id == "" {
				id = NoID
			}
			within, args, _ := keyPlaces(db.Dialect, []any{id, d.Job, d.Scope, d.Entity}, []string{r.Key})
			if err := q.exec(ctx, "UPDATE stint_ids SET target_id = $1, job = $2 WHERE scope = $3 AND entity = $4 AND source_key IN "+within, args...); err != nil {
				return err
			}
		}
		for _, r := range refused {
			// It was answered, and nothing is left there: the next try need not ask first. Unless it may be there: then the next try
			// has to know that it was sent.
			if r.Uncertain {
				if err := setOneAside(ctx, q, db.Dialect, o, table, r.Key, badRow{reason: r.Reason, code: r.Code, json: r.JSON}); err != nil {
					return err
				}
				continue
			}
			within, args, _ := keyPlaces(db.Dialect, []any{d.Scope, d.Entity}, []string{r.ID})
			if err := q.exec(ctx, "DELETE FROM stint_ids WHERE scope = $1 AND entity = $2 AND target_id = '' AND source_key IN "+within, args...); err != nil {
				return err
			}
			if err := setOneAside(ctx, q, db.Dialect, o, table, r.Key, badRow{reason: r.Reason, code: r.Code, json: r.JSON}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep answers: %w", Classify(err))
	}
	return nil
}

// setOneAside writes a row into quarantine, or says anew why it is there.
func setOneAside(ctx context.Context, q querier, d Dialect, o *LoaderOptions, table string, key RowKey, bad badRow) error {
	clean := func(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD") }
	job, stage, step := o.Job, o.Stage, o.Step
	if o.Again != nil {
		within, args, _ := keyPlaces(d, []any{bad.column, clean(bad.reason), clean(bad.code), clean(bad.json), o.Again.Job, o.Again.Stage}, []string{key.String()})
		return q.exec(ctx, "UPDATE stint_quarantine SET column_name = $1, reason = $2, code = $3, row_json = $4 WHERE job = $5 AND stage = $6 AND row_key IN "+within, args...)
	}
	within, args, _ := keyPlaces(d, []any{job, stage, step}, []string{key.String()})
	if err := q.exec(ctx, "DELETE FROM stint_quarantine WHERE job = $1 AND stage = $2 AND step = $3 AND row_key IN "+within, args...); err != nil {
		return err
	}
	if whole := keepWhole(d, []string{key.String()}); whole != "" {
		if err := q.exec(ctx, whole); err != nil {
			return err
		}
	}
	return q.exec(ctx, quarantineInsert+"($1, $2, $3, $4, $5, $6, $7, $8, $9)", job, stage, step, table, storedKey(d, key.String()), bad.column, clean(bad.reason), clean(bad.code), clean(bad.json))
}

// settleOne takes a row from those that are set aside.
func settleOne(ctx context.Context, q querier, d Dialect, a *Again, key string) error {
	within, args, _ := keyPlaces(d, []any{a.Job, a.Stage}, []string{key})
	return q.exec(ctx, "DELETE FROM stint_quarantine WHERE job = $1 AND stage = $2 AND row_key IN "+within, args...)
}

// Settled is what has become of the records of a batch.
type Settled struct {
	Refused   []int    // by their numbers (Record.At)
	Skipped   int      // were there from another job
	Elsewhere []string // the keys of those whose ids another map keeps by now
}

// CommitDelivery writes the ledger's row of a batch whose records are all answered.
func CommitDelivery(ctx context.Context, db *DB, b *Batch, o *LoaderOptions, table string, s Settled) (Loaded, error) {
	rejected, skipped := len(s.Refused), s.Skipped
	p := wholeBatch(b)
	p.bytes, p.checksum = b.Bytes, checksumValues(b.values)
	p.written, p.quarantined, p.skipped = b.RowsEncoded-rejected-skipped, p.quarantined+rejected, p.skipped+skipped
	taken := false
	err := inTransaction(ctx, db, func(q querier) error {
		var err error
		if taken, err = enterLedger(ctx, q, db.Dialect, o, &p); err != nil || taken {
			return err
		}
		for _, bad := range b.bad {
			if err := setOneAside(ctx, q, db.Dialect, o, table, b.keyAt(bad.at, b.parts), bad); err != nil {
				return err
			}
		}
		if err := forgetSent(ctx, q, db.Dialect, Delivery{Scope: o.IDs.Scope, Entity: o.IDs.Entity}, s.Elsewhere); err != nil {
			return err
		}
		if o.Again == nil {
			where, args := groupOf(db.Dialect, Delivery{Scope: o.IDs.Scope, Entity: o.IDs.Entity, Job: o.Job}, GroupName(o, p.from))
			return q.exec(ctx, "DELETE FROM stint_ids WHERE "+where, args...)
		}
		still := slices.Clone(b.bad)
		for _, at := range s.Refused {
			still = append(still, badRow{at: at})
		}
		for _, key := range settledKeys(b, 0, b.RowsRead, still) {
			if err := settleOne(ctx, q, db.Dialect, o.Again, key); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return Loaded{}, fmt.Errorf("write the ledger: %w", Classify(err))
	case taken:
		return Loaded{}, ErrTaken
	}
	return p.loaded(), nil
}

// forgetSent takes records from stint_ids whose ids another map has.
func forgetSent(ctx context.Context, q querier, d Dialect, of Delivery, keys []string) error {
	return deleteKeys(ctx, q, d, "DELETE FROM stint_ids WHERE scope = "+d.Literal(of.Scope)+" AND entity = "+d.Literal(of.Entity)+" AND source_key IN ", keys)
}

// ForgetSent does what CommitDelivery does of the records whose ids are elsewhere, for who finds that somebody else has committed the
// batch: they may have been announced once more since.
func ForgetSent(ctx context.Context, db *DB, d Delivery, keys []string) error {
	if err := inTransaction(ctx, db, func(q querier) error { return forgetSent(ctx, q, db.Dialect, d, keys) }); err != nil {
		return fmt.Errorf("forget what was sent: %w", Classify(err))
	}
	return nil
}

// mapEntity is what stint_ids keeps the token of a map under that is elsewhere. No stage has a slash in its name.
const mapEntity = "/map"

// KeepToken notes the token of the map that keeps the ids of a scope, unless there is one already, and returns the one that is noted.
// at names the place of the map.
func KeepToken(ctx context.Context, db *DB, scope, at, token, job string) (string, error) {
	d := db.Dialect
	err := db.exec(ctx, d.words().insertNew("INSERT INTO stint_ids (scope, entity, source_key, target_id, job) VALUES ("+d.Literal(scope)+","+
		d.Literal(mapEntity)+","+d.Literal(at)+","+d.Literal(token)+","+d.Literal(job)+")", "scope, entity, source_key"))
	if err != nil {
		return "", fmt.Errorf("note where ids are kept: %w", Classify(err))
	}
	return KeptToken(ctx, db, scope, at)
}

// KeptToken returns the token of the map at a place that keeps the ids of a scope; "" when none was noted.
func KeptToken(ctx context.Context, db *DB, scope, at string) (string, error) {
	found, err := LookUpIDs(ctx, db, scope, mapEntity, []string{at})
	return found[at], err
}

// Refused is an error when a batch has a row that cannot even be encoded, for who stops at the first.
func (b *Batch) Refused() error {
	for i := range b.bad {
		if q := &b.bad[i]; q.code != CodeDeferred {
			return (&LoaderOptions{}).stopped(b, q)
		}
	}
	return nil
}
