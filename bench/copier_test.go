package bench

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"
)

// The fastest program that cannot resume: the same SQLite driver read below database/sql, an encoder of binary COPY written for
// these three tables alone, two key ranges of each table at the same time, one COPY for each, no ledger, no checks.

// roles are what this binary is instead of a test when a bench starts it again with one of these variables: a process of its own, like
// the others.
var roles = map[string]func(value string) error{
	"STINT_BENCH_SEARCH": func(string) error { return serveSearch(os.Stdin, os.Stdout) },
	"STINT_BENCH_WORKER": serveWorker,
	"STINT_BENCH_ASYNQ":  serveAsynq,
	"STINT_BENCH_HOLD":   holdAsynq,
	"STINT_BENCH_COPY_FROM": func(from string) error {
		to, _ := os.LookupEnv("STINT_BENCH_COPY_TO")
		return copyAll(context.Background(), from, to)
	},
}

func TestMain(m *testing.M) {
	for name, role := range roles {
		value, ok := os.LookupEnv(name)
		if !ok {
			continue
		}
		if err := role(value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type encode func(buf []byte, v driver.Value) []byte

var copied = []struct {
	table   string
	columns string
	encode  []encode
}{
	{"customers", `+"id", +"name", +"country", +"created", +"balance"`, []encode{int8Field, textField, textField, momentField, moneyField}},
	{"properties", `+"id", +"customer_id", +"street", +"memo", +"rent", +"active"`, []encode{int8Field, int8Field, textField, textField, moneyField, boolField}},
	{"entries", `+"id", +"property_id", +"guid", +"amount", +"booked", +"memo", +"void"`, []encode{int8Field, int8Field, uuidField, moneyField, momentField, textField, boolField}},
}

func copyAll(ctx context.Context, from, to string) error {
	db, err := sql.Open("sqlite", from+"?mode=ro")
	if err != nil {
		return err
	}
	defer db.Close()
	for i, t := range copied {
		half := int64(benchRows / 100 * legacyFill[i].share / 2)
		errs := make(chan error, 2)
		for _, where := range []string{fmt.Sprintf("id <= %d", half), fmt.Sprintf("id > %d", half)} {
			go func() {
				errs <- copyRange(ctx, db, to, t.table, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY id", t.columns, t.table, where), t.encode)
			}()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			return err
		}
	}
	return nil
}

func copyRange(ctx context.Context, db *sql.DB, to, table, query string, enc []encode) error {
	pg, err := pgx.Connect(ctx, to)
	if err != nil {
		return err
	}
	defer pg.Close(ctx)
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(raw any) error {
		rows, err := raw.(driver.QueryerContext).QueryContext(ctx, query, nil)
		if err != nil {
			return err
		}
		defer rows.Close()
		f := &feeder{rows: rows, enc: enc, dest: make([]driver.Value, len(enc))}
		f.buf = append(f.buf, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
		_, err = pg.PgConn().CopyFrom(ctx, f, "COPY "+table+" FROM STDIN WITH (FORMAT binary)")
		return err
	})
}

// feeder encodes rows as COPY asks for bytes.
type feeder struct {
	rows driver.Rows
	enc  []encode
	dest []driver.Value
	buf  []byte
	at   int
	done bool
}

func (f *feeder) Read(out []byte) (int, error) {
	if f.at > 0 {
		f.buf, f.at = f.buf[:copy(f.buf, f.buf[f.at:])], 0
	}
	for len(f.buf)-f.at < len(out) && !f.done {
		err := f.rows.Next(f.dest)
		if errors.Is(err, io.EOF) {
			f.buf, f.done = append(f.buf, 0xff, 0xff), true
			break
		}
		if err != nil {
			return 0, err
		}
		f.buf = binary.BigEndian.AppendUint16(f.buf, uint16(len(f.enc)))
		for i, e := range f.enc {
			if f.dest[i] == nil {
				f.buf = append(f.buf, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			f.buf = e(f.buf, f.dest[i])
		}
	}
	n := copy(out, f.buf[f.at:])
	f.at += n
	if n == 0 && f.done {
		return 0, io.EOF
	}
	return n, nil
}

func int8Field(b []byte, v driver.Value) []byte {
	b = append(b, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(b, uint64(v.(int64)))
}

func boolField(b []byte, v driver.Value) []byte { return append(b, 0, 0, 0, 1, byte(v.(int64))) }

func textField(b []byte, v driver.Value) []byte {
	s := v.(string)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func uuidField(b []byte, v driver.Value) []byte {
	b = append(b, 0, 0, 0, 16)
	at := len(b)
	b = append(b, make([]byte, 16)...)
	_, _ = hex.Decode(b[at:], []byte(strings.ReplaceAll(v.(string), "-", "")))
	return b
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func momentField(b []byte, v driver.Value) []byte {
	s := v.(string) // 2006-01-02 15:04:05
	n := func(i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }
	t := time.Date(n(0)*100+n(2), time.Month(n(5)), n(8), n(11), n(14), n(17), 0, time.UTC).Unix()
	b = append(b, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(b, uint64((t-epoch)*1_000_000))
}

// moneyField writes a REAL or INTEGER of two decimals as numeric: digits of base 10,000.
func moneyField(b []byte, v driver.Value) []byte {
	var cents int64
	switch x := v.(type) {
	case int64:
		cents = x * 100
	case float64:
		cents = int64(math.Round(x * 100))
	}
	if cents == 0 {
		return append(b, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2)
	}
	whole, fraction := cents/100, uint16(cents%100*100)
	high, low := uint16(whole/10_000), uint16(whole%10_000)
	switch {
	case high > 0:
		b = append(b, 0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 2)
		b = binary.BigEndian.AppendUint16(b, high)
		b = binary.BigEndian.AppendUint16(b, low)
		return binary.BigEndian.AppendUint16(b, fraction)
	case low > 0:
		b = append(b, 0, 0, 0, 12, 0, 2, 0, 0, 0, 0, 0, 2)
		b = binary.BigEndian.AppendUint16(b, low)
		return binary.BigEndian.AppendUint16(b, fraction)
	}
	b = append(b, 0, 0, 0, 10, 0, 1, 0xff, 0xff, 0, 0, 0, 2)
	return binary.BigEndian.AppendUint16(b, fraction)
}
