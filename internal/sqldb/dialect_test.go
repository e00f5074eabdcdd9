package sqldb

import (
	"strings"
	"testing"
)

func TestANameWithAnythingInItIsStillOneName(t *testing.T) {
	t.Parallel()
	names := []string{"plain", "Mixed Case", `quo"ted`, `"`, "semi;colon--", "select", "ünïcode", "back\\slash", "new\nline", "'", "$1", "%s"}
	for _, db := range []*DB{sqliteFile(t), postgresDB(t), mysqlDB(t)} {
		for _, name := range names {
			run(t, db, "CREATE TABLE "+db.Dialect.Quote(name)+" ("+db.Dialect.Quote(name)+" text)",
				"INSERT INTO "+db.Dialect.QuoteTable("", name)+" ("+db.Dialect.QuoteList([]string{name})+") VALUES ("+db.Dialect.Literal(name)+")")
			if got := one(t, db, "SELECT "+db.Dialect.Quote(name)+" FROM "+db.Dialect.Quote(name)); got != name {
				t.Errorf("%s: wrote %q, read %q", db.Dialect, name, got)
			}
		}
		if err := tryRun(db, "SELECT 1 FROM "+db.Dialect.Quote("pg\x00class; DROP TABLE plain")); err == nil {
			t.Errorf("%s: a NUL byte in a name was accepted", db.Dialect)
		}
	}
}

func TestNamesThatCannotBeAreNamedAsSuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	if SQLite.CheckName(long) != nil || Postgres.CheckName(long[:63]) != nil {
		t.Error("a good name was refused")
	}
	if Postgres.CheckName(long) == nil || SQLite.CheckName("") == nil || Postgres.CheckName("a\x00") == nil {
		t.Error("a bad name was accepted")
	}
}
