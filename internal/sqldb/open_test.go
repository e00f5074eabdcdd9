package sqldb

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
)

func TestAURLThatCannotBeReadSaysWhyAndWhatToWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, message, hint string }{
		{"", "empty", "sqlite:FILE"},
		{"legacy.db", "no scheme", "sqlite:FILE"},
		{"/data/legacy.db", "no scheme", "sqlite:FILE"},
		{"sqllite:legacy.db", `"sqllite"`, "did you mean sqlite"},
		{"postgress://h/d", `"postgress"`, "did you mean postgres"},
		{"SQLite:x.db", `"SQLite"`, "did you mean sqlite"},
		{"oracle://h/d", `"oracle"`, "postgres://"},
		{"CSV://a@b@c", `"CSV"`, "did you mean csv"},
		{"mysql:h/d", "//", "mysql://"},
		{"mysql://h", "no database", "mysql://USER"},
		{"mysql://h/d/e", "no database", "mysql://USER"},
		{"mysql://h/d?sslmode=require", "unknown parameter", "tls"},
		{"mysql://h/d?tls=maybe", "tls=maybe", "skip-verify"},
		{"mysql://h/d?tls_ca=/no/such/file", "cannot be read", "path"},
		{"mysql://h/d?connect_timeout=soon", "no duration", "10s"},
		{"mysql://u:p/w@h/d", "cannot be read", "percent-encoded"},
		{"sqlite:", "names no file", "sqlite:FILE"},
		{"sqlite::memory:", "in memory", "sqlite:FILE"},
		{"postgres:h/d", "//", "postgres://"},
		{"postgres://h:notaport/d", "cannot be read", "percent-encoded"},
		{"postgres://h/d?sslmode=maybe", "cannot be used", "parameters"},
	} {
		_, err := ParseURL(c.url)
		if err == nil {
			t.Errorf("%q was accepted", c.url)
			continue
		}
		if !strings.Contains(err.Error(), c.message) || !strings.Contains(tasks.HintOf(err), c.hint) {
			t.Errorf("%q gives %q, hint %q; want %q, hint %q", c.url, err, tasks.HintOf(err), c.message, c.hint)
		}
	}
}

func TestAPasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, url := range []string{
		"postgres://ann:hunter2@localhost:1/db",
		"postgres://ann:hunter2/x@localhost:1/db",
		"postgres://ann:hunter2@localhost:1/db?sslmode=maybe",
		"postgres://ann:hunter2%zz@localhost:1/db",
		"postgres://ann:hunter2#@localhost:1/db",
		"postgres://ann@localhost:1/db?password=hunter2",
		"postgres://ann:x:hunter2@localhost:1/db",
		"postgresq://ann:hunter2@localhost:1/db",
		"mysql://ann:hunter2@localhost:1/db",
		"mariadb://ann:hunter2@localhost:1/db?connect_timeout=1s",
		"mysql://ann:hunter2/x@localhost:1/db",
		"mysql://ann:hunter2@localhost:1/db?password=hunter2",
		"postgres//ann:hunter2@localhost:1/db",
		"postgres://ann:hunter2@x@localhost:1/db",
		"postgres://ann:x@hunter2@localhost:1/db",
		"postgres://ann:x@y/hunter2@localhost:1/db",
		"postgres://ann:5/hunter2@localhost:1/db",
		"postgres://ann:@hunter2/x@localhost:1/db",
		"postgres://ann:5?x=hunter2@localhost:1/db",
		"postgres://ann:x@localhost:1/db#hunter2",
		"mysql://ann:x@hunter2@localhost:1/db",
		"mysql://ann:x@localhost:1/db#hunter2",
		"mariadb://ann:x@localhost:1/db?hunter2@localhost:1/db",
		"sqlserver://ann:x@localhost:1?database=x#hunter2",
		"sqlserver://ann:5/hunter2@localhost:1?database=x",
		"firebird://ann:x@y/hunter2@localhost:1/db",
		"redis://ann:x@y?hunter2@localhost:1/0",
		"prometheus://ann:x@y/hunter2@localhost:1/db",
		"elasticsearch://ann:x@y/hunter2@localhost:1/db",
		"opensearch://ann:5/hunter2@localhost:1",
		"https://ann:x@y/hunter2@localhost:1/db",
		"http://ann:x@localhost:1/db#hunter2",
	} {
		var texts []string
		at, err := ParseURL(url)
		if err == nil {
			texts = append(texts, at.Redacted(), at.ID(), fmt.Sprintf("%v %+v %#v %s", at, at, at, at))
			_, err = Open(context.Background(), at, Options{})
		}
		texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err), tasks.HintOf(err))
		for _, text := range texts {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows its password: %s", url, text)
			}
		}
	}
}

func TestAnAddressWhosePasswordIsNotToldFromTheRestIsRefused(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"postgres://%s/db", "postgresql://%s/db", "mysql://%s/db", "mariadb://%s/db", "sqlserver://%s?database=x", "firebird://%s/db", "redis://%s/0", "prometheus://%s", "elasticsearch://%s", "https://%s/base"} {
		for where, hint := range map[string]string{"ann:S3cret@hunter2@localhost": "%40", "ann:S3@cret/hunter2@localhost": "%40", "ann:5/hunter2@localhost": "%40", "ann:S3cret@localhost/x#hunter2": "%23"} {
			_, err := ParseURL(fmt.Sprintf(form, where))
			if err == nil || !strings.Contains(err.Error()+tasks.HintOf(err), hint) || strings.Contains(err.Error()+tasks.HintOf(err), "cret") || strings.Contains(err.Error()+tasks.HintOf(err), "hunter") {
				t.Errorf(form+": %v (%s)", where, err, tasks.HintOf(err))
			}
		}
	}
	for _, fine := range []string{"postgres://ann:S3cret%40hunter2%23@localhost/db", "sqlite:a@b@c#d.db", "csv:a@b@c#d", "sqlite:///a@b@c"} {
		if at, err := ParseURL(fine); err != nil || strings.Contains(at.Redacted(), "S3cret") {
			t.Errorf("%s: %v, %v", fine, at, err)
		}
	}
}

func TestTheIDIsOfTheDatabaseAndNotOfWhoConnects(t *testing.T) {
	t.Parallel()
	id := func(url string) string {
		at, err := ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		return at.ID()
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	same := [][2]string{
		{"postgres://ann:a@h/db", "postgresql://bob:b@h:5432/db?application_name=x"},
		{"sqlite:x.db", "sqlite://" + dir + "/x.db"},
		{"sqlite:./y/../x.db", "sqlite:x.db"},
	}
	for _, pair := range same {
		if id(pair[0]) != id(pair[1]) {
			t.Errorf("%s and %s are the same database", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"postgres://h/db", "postgres://h/db2"}, {"postgres://h/db", "postgres://h:5433/db"}, {"sqlite:x.db", "sqlite:X.db"},
		{"postgres://h/db", "postgres://h/db?search_path=legacy"}, {"postgres://h/db", "postgres://h,h2/db"},
	} {
		if id(pair[0]) == id(pair[1]) {
			t.Errorf("%s and %s are different databases", pair[0], pair[1])
		}
	}
}

func TestOpeningAFileSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "dump.sql")
	if err := os.WriteFile(text, []byte(strings.Repeat("CREATE TABLE x (id);\n", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file     string
		readOnly bool
		message  string
	}{
		{filepath.Join(dir, "missing.db"), true, "there is no file"},
		{filepath.Join(dir, "no/such/folder.db"), false, "there is no folder"},
		{dir, true, "is a folder"},
		{text, true, "not an SQLite database"},
		{text, false, "not an SQLite database"},
	} {
		at, err := ParseURL("sqlite:" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		db, err := Open(context.Background(), at, Options{ReadOnly: c.readOnly})
		if err == nil {
			db.Close()
			t.Errorf("%s was opened", c.file)
			continue
		}
		if !strings.Contains(err.Error(), c.message) || tasks.HintOf(err) == "" {
			t.Errorf("%s gives %q, hint %q; want %q", c.file, err, tasks.HintOf(err), c.message)
		}
	}
	if content, _ := os.ReadFile(text); !strings.HasPrefix(string(content), "CREATE TABLE") {
		t.Error("opening changed a file that is no database")
	}
}

func TestAFileNameMayHoldAnything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), `a b?c=d&mode=memory#%41 'ü".db`)
	db := openAt(t, "sqlite:"+path, Options{})
	run(t, db, "CREATE TABLE here (n)")
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestASourceCannotBeWritten(t *testing.T) {
	t.Parallel()
	lite := sqliteFile(t, "CREATE TABLE kept (n INTEGER)")
	post := pgtest.New(t)
	run(t, openAt(t, post, Options{}), "CREATE TABLE kept (n integer)")
	for _, db := range []*DB{openAt(t, "sqlite:"+lite.Location.Path(), Options{ReadOnly: true}), openAt(t, post, Options{ReadOnly: true})} {
		if err := tryRun(db, "INSERT INTO kept VALUES (1)"); err == nil {
			t.Errorf("%s: a row was written into a source", db.Dialect)
		}
	}
}

func TestSessionsAreSetAsPromised(t *testing.T) {
	t.Parallel()
	lite := sqliteFile(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "0", "busy_timeout": "10000"} {
		if got := one(t, lite, "PRAGMA "+pragma); got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
	post := openAt(t, pgtest.New(t), Options{AppName: "stint/w1", LockTimeout: 1500 * time.Millisecond})
	for setting, want := range map[string]string{"application_name": "stint/w1", "lock_timeout": "1500ms", "timezone": "UTC", "datestyle": "ISO, YMD"} {
		if got := one(t, post, "SHOW "+setting); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
}

func TestWorkTakesItsTimeWhateverLimitsTheDatabaseSets(t *testing.T) {
	t.Parallel()
	admin := pgtest.New(t)
	db := openAt(t, admin, Options{})
	database := one(t, db, "SELECT current_database()")
	run(t, db, "ALTER DATABASE "+database+" SET statement_timeout = 100", "ALTER DATABASE "+database+" SET idle_in_transaction_session_timeout = 100",
		"ALTER DATABASE "+database+" SET idle_session_timeout = 100")
	for _, url := range []string{admin, admin + "&statement_timeout=100"} {
		limited := openAt(t, url, Options{ReadOnly: true})
		for setting, want := range map[string]string{"statement_timeout": "0", "idle_in_transaction_session_timeout": "10min", "idle_session_timeout": "0"} {
			if got := one(t, limited, "SHOW "+setting); got != want {
				t.Errorf("%s is %s, want %s", setting, got, want)
			}
		}
		if err := tryRun(limited, "SELECT pg_sleep(0.3)"); err != nil {
			t.Errorf("a statement of 300 ms: %v", err)
		}
	}
}

func TestManyMayOpenANewFileAtTheSameMoment(t *testing.T) {
	t.Parallel()
	at, err := ParseURL("sqlite:" + filepath.Join(t.TempDir(), "new.db"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := Open(context.Background(), at, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := tryRun(db, "CREATE TABLE IF NOT EXISTS t (n)"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestConnectingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	admin := openAt(t, url, Options{})
	// Other test binaries have servers of their own, and this is the only test here that makes roles.
	run(t, admin, "CREATE ROLE "+pgtest.GuardedUser+" LOGIN PASSWORD 'right'", "CREATE ROLE outsider LOGIN",
		"REVOKE CONNECT ON DATABASE "+one(t, admin, "SELECT current_database()")+" FROM PUBLIC")
	t.Cleanup(func() { run(t, admin, "DROP ROLE "+pgtest.GuardedUser, "DROP ROLE outsider") })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dying, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dying.Close()
	go func() {
		for conn, err := dying.Accept(); err == nil; conn, err = dying.Accept() {
			conn.Close()
		}
	}()
	for _, c := range []struct {
		url, message string
		passes       bool // with time, without anybody doing anything here
	}{
		{strings.Replace(url, "postgres@", pgtest.GuardedUser+":wrong@", 1), "refuses the password", false},
		{strings.Replace(url, "postgres@", "nobody_of_that_name@", 1), "does not let this user in", false},
		{strings.Replace(url, "postgres@", "outsider@", 1), "no permission to connect", false},
		{strings.Replace(url, "/test_", "/no_such_", 1), "does not exist", false},
		{strings.Replace(url, "sslmode=disable", "sslmode=require", 1), "no encrypted connection", false},
		{"postgres://" + refused + "/db?sslmode=disable", "nothing accepts connections", true},
		{"postgres://" + silent.Addr().String() + "/db?sslmode=disable&connect_timeout=1", "no answer", true},
		{"postgres://no-such-host.invalid/db", "is not known", false},
		{"postgres://" + dying.Addr().String() + "/db?sslmode=disable", "cannot connect", true},
		{"postgres:///db?host=" + t.TempDir(), "no such socket", true},
	} {
		at, err := ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		db, err := Open(context.Background(), at, Options{})
		if err == nil {
			db.Close()
			t.Errorf("%s was opened", c.url)
			continue
		}
		if !strings.Contains(err.Error(), c.message) || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s gives %q, hint %q; want %q", c.url, err, tasks.HintOf(err), c.message)
		}
		if _, passes := tasks.RetryAfterOf(err); passes != c.passes {
			t.Errorf("%s: passes by itself: %v, want %v", c.url, passes, c.passes)
		}
	}
}

func TestASourceIsOpenedForReadingAndTheDatabaseItselfRefusesToWrite(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"sqlite": "sqlite:" + sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)").Location.Path(), "postgres": pgtest.New(t), "mariadb": mariadbtest.New(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "sqlite" {
				run(t, openAt(t, url, Options{}), "CREATE TABLE t (id INTEGER PRIMARY KEY)")
			}
			db := openAt(t, url, Options{ReadOnly: true})
			for _, statement := range []string{"INSERT INTO t VALUES (1)", "CREATE TABLE u (id INTEGER)", "DROP TABLE t"} {
				var err error
				if db.Pool != nil {
					_, err = db.Pool.Exec(t.Context(), statement)
				} else {
					_, err = db.SQL.ExecContext(t.Context(), statement)
				}
				if err == nil {
					t.Errorf("%s has been carried out", statement)
				}
			}
			if got := one(t, db, "SELECT count(*) FROM t"); got != "0" {
				t.Errorf("%s rows", got)
			}
		})
	}
}
