package datasetstest

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/sqldb"
)

// schema makes the tables: registry, entity and a child of it with ids of its own. @ is what differs.
const schema = `
CREATE TABLE data_set (customer_id bigint NOT NULL, database_id bigint NOT NULL, last_synced_at @TIME NULL, complete @BOOL NOT NULL, deleting @BOOL NOT NULL,
	name @TEXT, PRIMARY KEY (customer_id, database_id));
CREATE TABLE entity_row (customer_id bigint NOT NULL, database_id bigint NOT NULL, guid @UUID NOT NULL, payload @TEXT, changed_at @TIME NOT NULL@ROWKEY);
CREATE TABLE entity_note (id bigint NOT NULL, customer_id bigint NOT NULL, database_id bigint NOT NULL, entity_guid @UUID NOT NULL, note @TEXT@NOTEKEY)`

const (
	rowKey  = ", PRIMARY KEY (customer_id, database_id, guid)"
	noteKey = ", PRIMARY KEY (id), FOREIGN KEY (customer_id, database_id, entity_guid) REFERENCES entity_row (customer_id, database_id, guid)"
)

// words are what differs. PostgreSQL has its keys made at the end, which is faster.
var words = map[sqldb.Dialect]*strings.Replacer{
	sqldb.Postgres: strings.NewReplacer("@TIME", "timestamptz", "@BOOL", "boolean", "@TEXT", "text", "@UUID", "uuid", "@ROWKEY", "", "@NOTEKEY", ""),
	sqldb.MySQL:    strings.NewReplacer("@TIME", "datetime(3)", "@BOOL", "boolean", "@TEXT", "text", "@UUID", "char(36) CHARACTER SET ascii", "@ROWKEY", rowKey, "@NOTEKEY", noteKey),
	sqldb.SQLite:   strings.NewReplacer("@TIME", "text", "@BOOL", "boolean", "@TEXT", "text", "@UUID", "text", "@ROWKEY", rowKey, "@NOTEKEY", noteKey),
}

// Generate makes a store in an empty database, in the tables data_set, entity_row and entity_note, and returns what is in it. The
// registry has the columns complete and deleting, which a layout may name.
func Generate(ctx context.Context, db *sqldb.DB, spec Spec) (*Truth, error) {
	spec = spec.withDefaults()
	truth := Plan(spec)
	for statement := range strings.SplitSeq(words[db.Dialect].Replace(schema), ";") {
		if err := exec(ctx, db, statement); err != nil {
			return nil, err
		}
	}
	if db.Pool != nil {
		return truth, loadPostgres(ctx, db, spec, truth)
	}
	return truth, loadSQL(ctx, db, spec, truth)
}

func exec(ctx context.Context, db *sqldb.DB, statement string) error {
	var err error
	if db.Pool != nil {
		_, err = db.Pool.Exec(ctx, statement)
	} else {
		_, err = db.SQL.ExecContext(ctx, statement)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSpace(statement), err)
	}
	return nil
}

// row is a row of the entity.
type row struct {
	set     *DataSet
	guid    datasets.GUID
	payload []byte // good until the next row
	changed time.Time
	child   int64 // the id of its row in the child table; 0 is none
}

// each calls f for all rows of the entity.
func (t *Truth) each(spec Spec, f func(row) error) error {
	var payload []byte
	n, child := 0, int64(0)
	for i := range t.Sets {
		r := row{set: &t.Sets[i]}
		for _, s := range r.set.Segments {
			for j := s.From; j < s.To; j++ {
				n++
				r.guid = PoolGUID(s.Pool, j)
				r.changed = t.Now.Add(-time.Duration(binary.BigEndian.Uint32(r.guid[:4])%(1000*86400)) * time.Second)
				payload = hex.AppendEncode(append(payload[:0], "row "...), r.guid[:])
				for len(payload) < spec.Payload {
					payload = append(payload, " of a product, as its users typed it in"...)
				}
				if len(payload) > spec.Payload {
					payload = payload[:spec.Payload]
				}
				r.payload, r.child = payload, 0
				if spec.Children > 0 && n%spec.Children == 0 {
					child++
					r.child = child
				}
				if err := f(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// loadPostgres copies all tables in, each by one COPY.
func loadPostgres(ctx context.Context, db *sqldb.DB, spec Spec, truth *Truth) error {
	err := copyIn(ctx, db, "data_set (customer_id, database_id, last_synced_at, complete, deleting, name)", func(w *copyWriter) error {
		for i := range truth.Sets {
			d := &truth.Sets[i]
			w.begin(6).int8(d.Customer).int8(d.Database)
			if d.LastSync == nil {
				w.null()
			} else {
				w.time(*d.LastSync)
			}
			w.bool(d.Complete).bool(false).bytes([]byte(d.What))
		}
		return w.flush(0)
	})
	if err != nil {
		return err
	}
	err = copyIn(ctx, db, "entity_row (customer_id, database_id, guid, payload, changed_at)", func(w *copyWriter) error {
		return truth.each(spec, func(r row) error {
			w.begin(5).int8(r.set.Customer).int8(r.set.Database).bytes(r.guid[:]).bytes(r.payload).time(r.changed)
			return w.flush(1 << 16)
		})
	})
	if err != nil {
		return err
	}
	err = copyIn(ctx, db, "entity_note (id, customer_id, database_id, entity_guid, note)", func(w *copyWriter) error {
		return truth.each(spec, func(r row) error {
			if r.child == 0 {
				return nil
			}
			w.begin(5).int8(r.child).int8(r.set.Customer).int8(r.set.Database).bytes(r.guid[:]).bytes([]byte("note"))
			return w.flush(1 << 16)
		})
	})
	for _, statement := range []string{
		"ALTER TABLE entity_row ADD " + strings.TrimPrefix(rowKey, ", "),
		"ALTER TABLE entity_note ADD " + strings.ReplaceAll(strings.TrimPrefix(noteKey, ", "), ", FOREIGN", ", ADD FOREIGN"),
		"CREATE INDEX ON entity_note (customer_id, database_id, entity_guid)",
		"VACUUM data_set, entity_row, entity_note",
		// Once more: the first does not know rows to be visible to all whose commit was not on disk, and each would be looked up.
		"VACUUM (ANALYZE) data_set, entity_row, entity_note",
	} {
		if err == nil {
			err = exec(ctx, db, statement)
		}
	}
	return err
}

// copyIn writes rows into a table by a binary COPY.
func copyIn(ctx context.Context, db *sqldb.DB, into string, write func(w *copyWriter) error) error {
	conn, err := db.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	reader, writer := io.Pipe()
	go func() {
		w := &copyWriter{to: writer, b: []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")}
		err := write(w)
		if err == nil {
			w.b = append(w.b, 0xff, 0xff)
			err = w.flush(0)
		}
		_ = writer.CloseWithError(err) // nil is the end of the file
	}()
	_, err = conn.Conn().PgConn().CopyFrom(ctx, reader, "COPY "+into+" FROM STDIN (FORMAT binary)")
	_ = reader.Close() // which ends the goroutine, should the server have refused
	return err
}

// copyWriter writes rows in PostgreSQL's binary form.
type copyWriter struct {
	to io.Writer
	b  []byte
}

func (w *copyWriter) flush(atLeast int) error {
	if len(w.b) < atLeast {
		return nil
	}
	_, err := w.to.Write(w.b)
	w.b = w.b[:0]
	return err
}

func (w *copyWriter) begin(columns uint16) *copyWriter {
	w.b = binary.BigEndian.AppendUint16(w.b, columns)
	return w
}

func (w *copyWriter) null() { w.b = append(w.b, 0xff, 0xff, 0xff, 0xff) }

func (w *copyWriter) int8(v int64) *copyWriter {
	w.b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(w.b, 8), uint64(v))
	return w
}

func (w *copyWriter) bytes(v []byte) *copyWriter {
	w.b = append(binary.BigEndian.AppendUint32(w.b, uint32(len(v))), v...)
	return w
}

func (w *copyWriter) bool(v bool) *copyWriter {
	w.b = append(binary.BigEndian.AppendUint32(w.b, 1), 0)
	if v {
		w.b[len(w.b)-1] = 1
	}
	return w
}

// time writes a time as PostgreSQL counts it: microseconds since 2000.
func (w *copyWriter) time(v time.Time) { w.int8(v.UnixMicro() - 946_684_800_000_000) }

// loadSQL inserts rows, many at a time, in one transaction.
func loadSQL(ctx context.Context, db *sqldb.DB, spec Spec, truth *Truth) error {
	tx, err := db.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	form := "2006-01-02 15:04:05.000"
	if db.Dialect == sqldb.SQLite {
		form = "2006-01-02T15:04:05.000Z"
	}
	moment := func(t time.Time) string { return t.UTC().Format(form) }
	insert := func(into string, columns int) *inserter {
		return &inserter{ctx: ctx, tx: tx, into: into, columns: columns}
	}
	registry := insert("data_set (customer_id, database_id, last_synced_at, complete, deleting, name)", 6)
	for i := range truth.Sets {
		d := &truth.Sets[i]
		var sync any
		if d.LastSync != nil {
			sync = moment(*d.LastSync)
		}
		if err := registry.add(d.Customer, d.Database, sync, d.Complete, false, d.What); err != nil {
			return err
		}
	}
	rows, notes := insert("entity_row (customer_id, database_id, guid, payload, changed_at)", 5), insert("entity_note (id, customer_id, database_id, entity_guid, note)", 5)
	err = truth.each(spec, func(r row) error {
		return rows.add(r.set.Customer, r.set.Database, r.guid.String(), string(r.payload), moment(r.changed))
	})
	if err == nil {
		err = rows.flush()
	}
	if err == nil {
		err = truth.each(spec, func(r row) error {
			if r.child == 0 {
				return nil
			}
			return notes.add(r.child, r.set.Customer, r.set.Database, r.guid.String(), "note")
		})
	}
	for _, end := range []func() error{registry.flush, notes.flush, tx.Commit} {
		if err == nil {
			err = end()
		}
	}
	if err == nil && db.Dialect == sqldb.MySQL {
		err = exec(ctx, db, "ANALYZE TABLE data_set, entity_row, entity_note")
	}
	return err
}
