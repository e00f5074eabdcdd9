package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/firebirdtest"
	"github.com/stint-run/stint/tasks"
)

// firebirdDB makes a new Firebird database, runs a script in it as isql does, and returns it open for reading. params go
// behind the URL.
func firebirdDB(t *testing.T, script, params string, options ...string) *DB {
	t.Helper()
	url := firebirdtest.New(t, options...)
	firebirdtest.Script(t, url, script)
	return openAt(t, url+params, Options{ReadOnly: true})
}

// rowsOf reads a table as a whole and returns its rows as text.
func rowsOf(t *testing.T, db *DB, table string) []string {
	t.Helper()
	of := tableIn(t, db, table)
	r, err := Read(context.Background(), db, of, WalkOf(of), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []string
	for r.Next() {
		values, err := r.Values()
		if err != nil {
			t.Fatal(err)
		}
		var row []string
		for _, v := range values {
			switch x := v.(type) {
			case nil:
				row = append(row, "~")
			case []byte:
				row = append(row, fmt.Sprintf("x'%x'", x))
			default:
				row = append(row, fmt.Sprint(x))
			}
		}
		all = append(all, strings.Join(row, "|"))
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return all
}

// migrated makes a table in another database, loads it, and returns what the quarantine holds. What was loaded must compare equal.
func migrated(t *testing.T, src, dst *DB, table string) []Quarantined {
	t.Helper()
	ctx := context.Background()
	s, err := Introspect(ctx, src, []string{table})
	if err != nil {
		t.Fatal(err)
	}
	there, _ := MapSchema(s, dst.Dialect)
	for _, statement := range CreateTable(&there.Tables[0], dst.Dialect) {
		run(t, dst, statement)
	}
	for _, statement := range CreateIndexes(&there.Tables[0], dst.Dialect) {
		run(t, dst, statement.SQL)
	}
	m := pair(t, src, dst, table)
	loadWhole(t, src, dst, m, 7)
	got, found := differences(t, src, dst, m, "job")
	if len(found) > 0 || !same(got) {
		t.Errorf("%s: %+v %q", table, got, found)
	}
	all, err := Quarantine(ctx, dst, "job", table, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fbTexts holds the same word in each kind of text, once well-formed and once not.
const fbTexts = `
CREATE TABLE texts (id INTEGER NOT NULL PRIMARY KEY, n VARCHAR(20) CHARACTER SET NONE, w VARCHAR(20) CHARACTER SET WIN1252,
  u VARCHAR(20) CHARACTER SET UTF8, l CHAR(10) CHARACTER SET ISO8859_1, d VARCHAR(20) CHARACTER SET DOS850, j VARCHAR(20) CHARACTER SET SJIS_0208,
  k VARCHAR(20) CHARACTER SET KOI8R, g VARCHAR(20) CHARACTER SET DOS737, bt BLOB SUB_TYPE TEXT CHARACTER SET WIN1252, bn BLOB SUB_TYPE TEXT CHARACTER SET NONE);
COMMIT;
INSERT INTO texts VALUES (1, x'C3A9', x'E980', x'C3A9E282AC', x'E9', x'82', x'93FA967B', x'C1C2', x'98', x'E980', x'C3A9');
INSERT INTO texts (id, w) VALUES (2, x'E981');
INSERT INTO texts (id, w) VALUES (3, x'C381');
INSERT INTO texts (id, n) VALUES (4, x'E9');
INSERT INTO texts (id, bn) VALUES (5, x'80');
INSERT INTO texts (id, k) VALUES (6, x'C1');
INSERT INTO texts (id, n, u) VALUES (7, '', '  blanks  ');`

func TestTextOfFirebirdIsDecodedByTheCharacterSetOfItsColumn(t *testing.T) {
	t.Parallel()
	db := firebirdDB(t, fbTexts, "")
	got := rowsOf(t, db, "TEXTS")
	if want := "1|é|é€|é€|é|é|日本|аб|α|é€|é"; got[0] != want {
		t.Errorf("read %q, want %q", got[0], want)
	}
	if want := "7||~|  blanks  |~|~|~|~|~|~|~"; got[6] != want {
		t.Errorf("read %q, want %q", got[6], want)
	}
	for _, dst := range []*DB{postgresDB(t), sqliteFile(t), mysqlDB(t)} {
		bad := migrated(t, db, dst, "TEXTS")
		var reasons []string
		for _, q := range bad {
			reasons = append(reasons, q.Key.String()+" "+q.Column+": "+q.Reason)
		}
		slices.Sort(reasons)
		want := []string{
			`[2] W: "\xc3\xa9\x81" holds bytes that are no text in WIN1252`,
			`[3] W: "\u00c3\x81" holds bytes that are no text in WIN1252`,
			`[4] N: "\xe9" is not valid UTF-8, in a column of CHARACTER SET NONE: say in the URL what it is (?charset=WIN1252)`,
			`[5] BN: "\x80" is not valid UTF-8, in a column of CHARACTER SET NONE: say in the URL what it is (?charset=WIN1252)`,
		}
		if len(reasons) != len(want) {
			t.Errorf("%s: set aside %q", dst.Dialect, reasons)
		}
		for i := range min(len(want), len(reasons)) {
			if key, _, _ := strings.Cut(want[i], ":"); !strings.HasPrefix(reasons[i], key) || !strings.HasSuffix(reasons[i], want[i][strings.LastIndex(want[i], `" `)+2:]) {
				t.Errorf("%s: set aside with %s, want %s", dst.Dialect, reasons[i], want[i])
			}
		}
	}
}

func TestTextOfCharacterSetNoneIsWhatTheURLSays(t *testing.T) {
	t.Parallel()
	db := firebirdDB(t, fbTexts, "?charset=cp1252")
	got := rowsOf(t, db, "TEXTS")
	if !strings.HasPrefix(got[0], "1|Ã©|é€|") || !strings.HasPrefix(got[3], "4|é|") || !strings.HasSuffix(got[4], "|€") {
		t.Errorf("read %q", got)
	}
	if bad := migrated(t, db, postgresDB(t), "TEXTS"); len(bad) != 2 {
		t.Errorf("set aside %+v", bad)
	}
}

func TestValuesOfFirebirdArriveExactly(t *testing.T) {
	t.Parallel()
	db := firebirdDB(t, `
CREATE TABLE vals (id BIGINT NOT NULL PRIMARY KEY, f FLOAT, d DOUBLE PRECISION, n4 NUMERIC(4,2), c4 DECIMAL(4,2), n9 NUMERIC(9,3), n18 NUMERIC(18,4), d18 DECIMAL(18,0),
  dt DATE, tm TIME, ts TIMESTAMP, bo BOOLEAN, si SMALLINT, o CHAR(4) CHARACTER SET OCTETS, vo VARCHAR(4) CHARACTER SET OCTETS, bb BLOB SUB_TYPE BINARY, bu BLOB SUB_TYPE -7);
COMMIT;
INSERT INTO vals VALUES (9223372036854775807, 0.1, 0.1, 327.67, 21474836.47, 2147483.647, -99999999999999.9999, 5, '0001-01-01', '23:59:59.9999',
  '9999-12-31 23:59:59.9999', TRUE, -32768, x'0102', x'2000', x'00FF20', NULL);
INSERT INTO vals VALUES (-9223372036854775808, 1e30, 1e-300, -327.68, 0, -0.005, 922337203685477.5807, -9223372036854775808, '1582-10-10', '00:00:00',
  '2025-03-30 02:30:00.0001', FALSE, 32767, x'20202020', x'', x'', NULL);
INSERT INTO vals (id) VALUES (0);`, "")
	want := []string{
		"-9223372036854775808|1e+30|1e-300|-327.68|0.00|-0.005|922337203685477.5807|-9223372036854775808|1582-10-10|00:00:00|2025-03-30 02:30:00.0001|0|32767|x'20202020'|x''|x''|~",
		"0|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~",
		"9223372036854775807|0.1|0.1|327.67|21474836.47|2147483.647|-99999999999999.9999|5|0001-01-01|23:59:59.9999|9999-12-31 23:59:59.9999|1|-32768|x'01020000'|x'2000'|x'00ff20'|~",
	}
	if got := rowsOf(t, db, "VALS"); !slices.Equal(got, want) {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, dst := range []*DB{postgresDB(t), sqliteFile(t), mysqlDB(t)} {
		if bad := migrated(t, db, dst, "VALS"); len(bad) > 0 {
			t.Errorf("%s: set aside %+v", dst.Dialect, bad)
		}
	}
}

// fbKeys makes a table per kind of key: of 60 rows each, whose second column counts from 0.
const fbKeys = `
CREATE TABLE k_int (k INTEGER NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_text (k VARCHAR(20) CHARACTER SET WIN1252 NOT NULL PRIMARY KEY COLLATE PXW_INTL, n INTEGER);
CREATE TABLE k_none (k VARCHAR(20) NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_ci (k VARCHAR(20) CHARACTER SET UTF8 NOT NULL PRIMARY KEY COLLATE UNICODE_CI_AI, n INTEGER);
CREATE TABLE k_char (k CHAR(10) NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_octets (k CHAR(16) CHARACTER SET OCTETS NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_numeric (k NUMERIC(18,4) NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_double (k DOUBLE PRECISION NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_float (k FLOAT NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_date (k DATE NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_time (k TIME NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_stamp (k TIMESTAMP NOT NULL PRIMARY KEY, n INTEGER);
CREATE TABLE k_many (a BOOLEAN NOT NULL, k VARCHAR(10) CHARACTER SET DOS850 NOT NULL, c DATE NOT NULL, n INTEGER, PRIMARY KEY (a, k, c));
CREATE TABLE k_none_at_all (k VARCHAR(10), n INTEGER);
CREATE TABLE k_nullable (k INTEGER UNIQUE, n INTEGER);
COMMIT;
SET TERM !! ;
EXECUTE BLOCK AS DECLARE i INTEGER = 0; BEGIN WHILE (i < 60) DO BEGIN
  INSERT INTO k_int VALUES (:i * :i - 900, :i);
  INSERT INTO k_text VALUES (CASE MOD(:i, 3) WHEN 0 THEN 'Key ' WHEN 1 THEN _WIN1252 x'E96C616E20' ELSE 'zzz' END || :i, :i);
  INSERT INTO k_none VALUES (CASE MOD(:i, 3) WHEN 0 THEN 'Key ' WHEN 1 THEN x'E98120' ELSE 'zzz' END || :i, :i);
  INSERT INTO k_ci VALUES (CASE MOD(:i, 3) WHEN 0 THEN 'KEY ' WHEN 1 THEN _UTF8 x'C3A920' ELSE 'key' END || :i, :i);
  INSERT INTO k_char VALUES (CASE MOD(:i, 2) WHEN 0 THEN ' ' ELSE '' END || :i, :i);
  INSERT INTO k_octets VALUES (GEN_UUID(), :i);
  INSERT INTO k_numeric VALUES ((:i - 30) * 99999999999.9999, :i);
  INSERT INTO k_double VALUES ((:i - 30) / 7e0, :i);
  INSERT INTO k_float VALUES ((:i - 30) / 7e0, :i);
  INSERT INTO k_date VALUES (DATEADD(:i * 20000 DAY TO DATE '0001-01-01'), :i);
  INSERT INTO k_time VALUES (DATEADD(:i * 13 SECOND TO TIME '10:00:00.1234'), :i);
  INSERT INTO k_stamp VALUES (DATEADD(:i * 7 HOUR TO TIMESTAMP '2025-03-25 00:00:00.0001'), :i);
  INSERT INTO k_many VALUES (MOD(:i, 2) = 1, _DOS850 x'82' || MOD(:i, 5), DATEADD(:i DAY TO DATE '2024-02-01'), :i);
  INSERT INTO k_none_at_all VALUES ('x' || MOD(:i, 7), :i);
  INSERT INTO k_nullable VALUES (CASE WHEN MOD(:i, 7) = 0 THEN NULL ELSE :i END, :i);
  i = i + 1; END END !!
SET TERM ; !!`

func TestEveryKindOfKeyOfFirebirdIsWalkedWithoutALossOrARepetition(t *testing.T) {
	t.Parallel()
	db := firebirdDB(t, fbKeys, "")
	s, err := Introspect(context.Background(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Tables {
		of := &s.Tables[i]
		t.Run(of.Name, func(t *testing.T) {
			t.Parallel()
			at := slices.IndexFunc(of.Columns, func(c Column) bool { return c.Name == "N" })
			of.Columns[0], of.Columns[at] = of.Columns[at], of.Columns[0]
			for _, limit := range []int{1, 3, 100} {
				all, chunks := readInChunks(t, db, of, 7, limit)
				seen := map[any]bool{}
				for _, n := range all {
					seen[n] = true
				}
				if len(all) != 60 || len(seen) != 60 || chunks != 9 {
					t.Errorf("read %d rows, %d of them different, in %d chunks", len(all), len(seen), chunks)
				}
			}
			// A reader that begins anew behind each row, as after a kill, meets the next one.
			w := WalkOf(of)
			var from RowKey
			count := 0
			for {
				r, err := Read(context.Background(), db, of, w, from, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Next()
				more := r.Next()
				if more {
					from = r.Key()
				}
				if err := errors.Join(r.Err(), r.Close()); err != nil {
					t.Fatal(err)
				}
				if count++; !more {
					break
				}
				parsed, err := ParseRowKey(from.String())
				if err != nil || !parsed.Equal(from) {
					t.Fatalf("the key %v is not what its text says, %v", from, err)
				}
			}
			if count != 60 {
				t.Errorf("went on %d times", count)
			}
		})
	}
}

func TestEveryKindOfKeyOfFirebirdComparesEqualInEachTarget(t *testing.T) {
	t.Parallel()
	db := firebirdDB(t, fbKeys, "")
	s, err := Introspect(context.Background(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	// What a target has beyond the source is looked up in the source without an error, though the source could not hold it.
	beyond := map[string]string{"K_CHAR": "'longer tha'", "K_STAMP": "'2025-03-25 00:00:00.000123'", "K_NUMERIC": "'99999999999999.9999'", "K_TEXT": "'汉字'"}
	for _, of := range s.Tables {
		for name, target := range map[string]func(t *testing.T) *DB{"PostgreSQL": func(t *testing.T) *DB { return postgresDB(t) },
			"SQLite": func(t *testing.T) *DB { return sqliteFile(t) }, "MariaDB": func(t *testing.T) *DB { return mysqlDB(t) }} {
			t.Run(of.Name+" in "+name, func(t *testing.T) {
				t.Parallel()
				dst := target(t)
				bad := migrated(t, db, dst, of.Name)
				want := 0
				if of.Name == "K_NONE" {
					want = 20
				}
				if len(bad) != want {
					t.Errorf("set aside %+v", bad)
				}
				value := beyond[of.Name]
				if value == "" {
					return
				}
				run(t, dst, "INSERT INTO "+dst.Dialect.Quote(of.Name)+" VALUES ("+value+", 1)")
				m := pair(t, db, dst, of.Name)
				extra, err := FindExtra(context.Background(), db, dst, m, WalkOf(m.Source), func(Difference) bool { return true })
				if err != nil || extra != 1 {
					t.Errorf("found %d rows too many, %v", extra, err)
				}
			})
		}
	}
}

func TestASourceIsReadAsItWasWhenTheReadingBegan(t *testing.T) {
	t.Parallel()
	url := firebirdtest.New(t)
	firebirdtest.Script(t, url, fbKeys)
	db := openAt(t, url, Options{ReadOnly: true})
	of := tableIn(t, db, "K_INT")
	r, err := Read(context.Background(), db, of, WalkOf(of), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Next()
	firebirdtest.Script(t, url, "DELETE FROM k_int WHERE n > 30; INSERT INTO k_int VALUES (1000000, 1000);")
	n := 1
	for r.Next() {
		n++
	}
	if n != 60 || r.Err() != nil {
		t.Errorf("read %d rows, %v", n, r.Err())
	}
}

func TestAReadingOfFirebirdEndsWithItsContextAndTheConnectionsStayUsable(t *testing.T) {
	t.Parallel()
	db := firebirdDB(t, fbKeys, "")
	of := tableIn(t, db, "K_NONE_AT_ALL")
	for range 8 { // twice as many as there are connections
		ctx, cancel := context.WithCancel(context.Background())
		r, err := Read(ctx, db, of, WalkOf(of), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Next()
		cancel()
		for r.Next() {
		}
		_ = r.Close()
	}
	slow, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	var n int64
	err := queryRow(slow, db, "SELECT COUNT(*) FROM k_int a, k_int b, k_int c, k_int d, k_int e WHERE a.n + b.n + c.n + d.n + e.n = -1", nil, &n)
	if err == nil || time.Since(started) > 20*time.Second {
		t.Errorf("a statement of hours ended after %s with %v", time.Since(started), err)
	}
	if got := rowsOf(t, db, "K_INT"); len(got) != 60 {
		t.Errorf("read %d rows afterwards", len(got))
	}
}

func TestWhatFirebirdRefusesIsSaidInWordsAndWithoutThePassword(t *testing.T) {
	t.Parallel()
	url := firebirdtest.New(t)
	at, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	before, path, _ := strings.Cut(strings.TrimPrefix(url, "firebird://"), "/")
	account, host, _ := strings.Cut(before, "@")
	_, password, _ := strings.Cut(account, ":")
	for _, c := range []struct {
		url, want string
		passes    bool
	}{
		{"firebird://SYSDBA:wrong-secret@" + host + "/" + path, "refuses the password", false},
		{"firebird://" + account + "@" + host + "/srv/data/nowhere.fdb", "cannot open the database", false},
		{"firebird://" + account + "@127.0.0.1:1/" + path, "nothing accepts connections", true},
		{"firebird://" + account + "@host.invalid/" + path, "is not known", false},
	} {
		where, err := ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(context.Background(), where, Options{ReadOnly: true})
		if err == nil || !strings.Contains(err.Error(), c.want) || tasks.HintOf(err) == "" {
			t.Errorf("want %q, got %v (hint %q)", c.want, err, tasks.HintOf(err))
			continue
		}
		if text := fmt.Sprintf("%+v %s", err, tasks.HintOf(err)); strings.Contains(text, password) || strings.Contains(text, "wrong-secret") {
			t.Errorf("the password is in %s", text)
		}
		if _, passes := tasks.RetryAfterOf(err); passes != c.passes {
			t.Errorf("%s: passes by itself: %v", c.want, passes)
		}
	}
	if strings.Contains(at.String()+fmt.Sprintf("%#v", at), password) {
		t.Errorf("the password is in %s", at)
	}
}
