package sqldb

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
)

// FuzzAURLIsALocationOrAnErrorThatRepeatsNothingOfIt holds that a URL with a password in it is a place that is shown without it, or an
// error with a hint that does not have it either.
func FuzzAURLIsALocationOrAnErrorThatRepeatsNothingOfIt(f *testing.F) {
	const secret = "zq7hunter2"
	for _, seed := range []string{"postgres://u:%s@h:5432/d?sslmode=require&search_path=a", "postgresql://u@h,h2:1/d?password=%s", "postgres://u:%s@h/d?sslmode=nonsense", "postgres://u:%s@[::1", "mysql://u:%s@h:3306/d?tls=skip-verify", "mariadb://u:%s@h",
		"firebird://u:%s@h:3050/C:/x.fdb?charset=win1252&role=r", "sqlserver://u:%s@h:1433?database=x&encrypt=disable", "http://u:%s@h/base", "https://u:%s@h/base?x=1", "prometheus://u:%s@h:9090/p?tls=true", "elasticsearch://u:%s@h:9200?api_key=x", "opensearch://h:9200?token=%s",
		"redis://u:%s@h:6379/0", "rediss://:%s@h/x", "unix://u:%s@/run/x.sock?db=1", "postgers://u:%s@h", "postgres:u:%s@h", "mysql://u:%s@h/%%zz", " mysql://u:%s@h/d", "sqlserver://u:%s@h:x?database=d", "firebird://u:%s@/x"} {
		before, after, _ := strings.Cut(strings.ReplaceAll(seed, "%%", "%"), "%s")
		f.Add(before, after)
	}
	f.Add("sqlite:", "x.db")
	f.Add("csv:", "x?encoding=cp1252")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.HasPrefix(before, "sqlite:") || strings.HasPrefix(before, "csv:") || strings.HasPrefix(before, "tsv:") || strings.HasPrefix(before, "ndjson:") || strings.HasPrefix(before, "dbf:") {
			before += "/" // a path is no secret, and a relative one starts where the test runs
		}
		at, err := ParseURL(before + secret + after)
		if err != nil {
			if strings.Contains(err.Error()+tasks.HintOf(err), secret) && !strings.Contains(before, ":") == false && !strings.HasPrefix(before, "csv:") && !strings.HasPrefix(before, "sqlite:") {
				t.Errorf("%q: the error repeats it: %v (%s)", before+secret+after, err, tasks.HintOf(err))
			}
			if tasks.HintOf(err) == "" {
				t.Errorf("%q: %v has no hint", before+secret+after, err)
			}
			return
		}
		again, err := ParseURL(before + secret + after)
		if err != nil || again.ID() != at.ID() || len(at.ID()) != 16 {
			t.Errorf("%q is %s and then %s, %v", before+secret+after, at.ID(), again.ID(), err)
		}
		// What stands between the user's colon and the first @ of the host is a password.
		_, user, found := strings.Cut(before, "://")
		if shown := fmt.Sprintf("%s %v %+v %#v", at, at, at, at); found && strings.Contains(user, ":") && !strings.ContainsAny(user, "@/?#[") && strings.HasPrefix(after, "@") && strings.Contains(shown, secret) {
			t.Errorf("%q is shown as %s", before+secret+after, shown)
		}
	})
}

// FuzzANameIsQuotedAsOneName holds that a name with anything in it is one name in each dialect, and a text one text: SQLite says so
// itself, of the others the characters in between do.
func FuzzANameIsQuotedAsOneName(f *testing.F) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		f.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	f.Cleanup(func() { _ = db.Close() })
	for _, name := range []string{"plain", "Mixed Case", `quo"ted`, `"`, "semi;colon--", "select", "ünïcode", `back\slash`, `\'`, "new\nline", "'", "$1", "%s", "`", "]", "]]", "[a]", "/* x", "\xff", "a\x00b", "\u2019", "E'", "?", ":a", "@b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.ContainsRune(name, 0) != (SQLite.CheckName(name) != nil) {
			if name != "" {
				t.Errorf("%q: %v", name, SQLite.CheckName(name))
			}
			return
		}
		whole := strings.ReplaceAll(name, "\x00", "\uFFFD")
		for d, marks := range map[Dialect]string{Postgres: `""`, MySQL: "``", Firebird: `""`, SQLServer: "[]", SQLite: `""`, Files: `""`} {
			if back, ok := unquoted(d.Quote(name), marks[0], marks[1], false); !ok || back != whole {
				t.Errorf("%s: %q is quoted as %s, which is %q", d, name, d.Quote(name), back)
			}
			text := strings.TrimLeft(d.Literal(name), " ")
			escaped := strings.HasPrefix(text, "E")
			if back, ok := unquoted(strings.TrimLeft(text, "EN"), '\'', '\'', escaped); !ok || back != whole || !escaped && d == Postgres && strings.Contains(text, `\`) {
				t.Errorf("%s: %q is written as %s, which is %q", d, name, text, back)
			}
		}
		if !utf8.ValidString(name) || strings.ContainsRune(name, 0) { // the driver's texts are UTF-8
			return
		}
		var got string
		if err := db.QueryRow("SELECT * FROM (SELECT " + SQLite.Literal(name) + " AS " + SQLite.Quote(name) + ") AS t WHERE t." + SQLite.Quote(name) + " = " + SQLite.Literal(name)).Scan(&got); err != nil || got != name {
			t.Errorf("SQLite took %q for %q: %v", name, got, err)
		}
	})
}

// unquoted takes a quoted word apart as a server does: false where it ends before its end.
func unquoted(word string, first, last byte, escapes bool) (string, bool) {
	if len(word) < 2 || word[0] != first {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(word); i++ {
		switch {
		case word[i] == last && i == len(word)-1:
			return b.String(), true
		case word[i] == last && word[i+1] == last, escapes && word[i] == '\\' && i+1 < len(word):
			i++
		case word[i] == last:
			return "", false
		}
		b.WriteByte(word[i])
	}
	return "", false
}

// FuzzARowKeyIsReadAsItWasWritten holds that whatever is read as a key of the ledger is written as one, and is the same key then.
func FuzzARowKeyIsReadAsItWasWritten(f *testing.F) {
	for _, seed := range []string{"", "null", "[]", `[1,"a",null]`, `[{"f":"0.1"},{"b":"AP8="},{"t":"TfxsbGVy"}]`, `[{"f":"NaN"},{"f":"-0"},{"f":"1e999"},{"f":"0x1p-2"},{"f":"1_0"}]`, `[-9223372036854775808,9223372036854775808]`, `[1e3]`, `["\ud800"]`, `[{"t":"YQ=="}]`, `[{"b":"YQ==\n"}]`, `[1] x`, `[-0]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseRowKey(text)
		if err != nil {
			return
		}
		again, err := ParseRowKey(k.String())
		if err != nil || !again.Equal(k) || again.String() != k.String() {
			t.Errorf("%q is %s and then %s: %v", text, k, again, err)
		}
		whole, err := json.Marshal(map[string]RowKey{"k": k})
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]RowKey
		if err := json.Unmarshal(whole, &m); err != nil || !m["k"].Equal(k) {
			t.Errorf("%q became %s and %s: %v", text, whole, m["k"], err)
		}
	})
}

// FuzzAValueThatATargetTakesIsTheValueThatWasThere holds that the parsers of numbers and moments agree with one another and with what
// they write.
func FuzzAValueThatATargetTakesIsTheValueThatWasThere(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1.50", "+1", "1e3", "1E-400", ".5", "5.", "NaN", "Infinity", "-inf", "99999999999999999999.999999999", "0x10", "1_000", " 1 ", "2024-02-29", "2023-02-29", "2024-01-01 24:00:00", "2024-01-01T23:59:60.5Z", "10000-01-01", "2024-01-01 00:00:00+05:30:15", "12:34", "12:34:56.1234567", "4713-01-01 BC", "infinity", "-0001-01-01", "\"", "X'", "'", `'a''`, "'a'::text", "'\\x41'", "'\\x''); DROP TABLE t; --'", "X'41'", "now()", "((1))", "'it''s'", `"a"`, `E'\\x41'`, "0x1F", "true"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again decimal
		if d.parse(text) {
			canonical := string(d.appendCanonical(nil))
			if len(canonical) > 1<<17 {
				t.Errorf("%q makes %d bytes", text, len(canonical))
			}
			if !again.parse(canonical) || !d.equal(&again) || string(again.appendCanonical(nil)) != canonical {
				t.Errorf("the number %q is %s, and then %s", text, canonical, again.appendCanonical(nil))
			}
		}
		if n, scale, ok := parseScaled(text); ok {
			var of decimal
			of.setInt(n, scale)
			if !d.parse(text) || !of.equal(&d) {
				t.Errorf("%q is %s, and %d of scale %d", text, d.appendCanonical(nil), n, scale)
			}
		}
		for _, kind := range []Kind{KindDate, KindTime, KindTimestamp, KindTimestampTZ} {
			var m moment
			if reason, code := m.parse(text, kind); reason == "" {
				if m.us < 0 || m.us > usPerDay || m.offset < -24*3600 || m.offset > 24*3600 || !m.hasDay && kind != KindTime {
					t.Errorf("%q as %v is %+v", text, kind, m)
				}
			} else if code == "" {
				t.Errorf("%q as %v: %q without a code", text, kind, reason)
			}
		}
		_, _ = parseInteger(text)
		for _, from := range []Dialect{SQLite, Postgres, MySQL, Firebird, SQLServer} {
			l := parseDefault(from, text)
			for _, to := range []Dialect{SQLite, Postgres, MySQL} {
				for _, kind := range []Kind{KindText, KindInt32, KindNumeric, KindBool, KindBytes, KindTimestamp, KindTimestampTZ, KindUUID, KindJSON} {
					// What is written is one literal, whatever stood in the source's schema.
					out := l.in(to, kind)
					quoted := strings.TrimSuffix(strings.TrimLeft(strings.TrimLeft(out, " "), "ENX"), "::bytea")
					if strings.ContainsAny(out, "'\"") {
						if _, ok := unquoted(quoted, '\'', '\'', strings.HasPrefix(strings.TrimLeft(out, " "), "E")); !ok && l.kind != litNow {
							t.Errorf("the default %q of %s becomes %s of %s", text, from, out, to)
						}
					}
				}
			}
		}
	})
}

func TestADefaultThatIsNoHexIsNotWrittenAsSomeIntoTheTarget(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{`'\x''); DROP TABLE t; --'`, `'\x4'`, `'\xg0'`, `"`, `'`, `X'`, `'a''`} {
		for _, to := range []Dialect{SQLite, Postgres, MySQL} {
			if out := parseDefault(SQLite, expr).in(to, KindBytes); out != "" {
				t.Errorf("%s becomes %s of %s", expr, out, to)
			}
		}
	}
	if out := parseDefault(Postgres, `'\x4142'::bytea`).in(MySQL, KindBytes); out != "X'4142'" {
		t.Errorf("a good one becomes %q", out)
	}
}
