package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/idmap"
	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/internal/sqldb"
)

// examineConnection opens a database of the configuration and looks at it. It writes nothing.
func examineConnection(ctx context.Context, c config.Connection, now func() time.Time) []Finding {
	n := &notes{subject: "connection " + c.Name}
	if slices.Contains(elastic.Schemes, c.URL.Scheme()) {
		n.search(ctx, c)
		return n.list
	}
	at, err := sqldb.ParseURL(c.DSN())
	if err != nil {
		n.failed("address", err)
		return n.list
	}
	switch at.Dialect {
	case sqldb.Files:
		n.files(ctx, at)
		return n.list
	case sqldb.Records:
		n.api(ctx, at, c.APIAccess)
		return n.list
	case sqldb.Redis:
		n.maps(ctx, c, at)
		return n.list
	case sqldb.Metrics:
		n.metrics(ctx, at, c.APIAccess)
		return n.list
	case sqldb.SQLite:
		if _, err := os.Stat(at.Path()); errors.Is(err, fs.ErrNotExist) {
			n.add(Warning, "reachable", "a target is made when it is needed; for a source, check the path", "there is no file %s yet", at.Path())
			return n.list
		}
	}
	// An SQLite file that is opened for writing is changed (to WAL); a session of PostgreSQL changes nothing by itself.
	db, err := sqldb.Open(ctx, at, sqldb.Options{ReadOnly: at.Dialect == sqldb.SQLite, AppName: "stint doctor", MaxConns: 1, ConnectTimeout: c.ConnectTimeout})
	if err != nil {
		n.failed("reachable", err)
		return n.list
	}
	defer db.Close()
	switch db.Dialect {
	case sqldb.Postgres:
		err = n.postgres(ctx, db, now)
	case sqldb.MySQL:
		err = n.mysql(ctx, db, now)
	case sqldb.Firebird:
		err = n.firebird(ctx, db, at)
	case sqldb.SQLServer:
		err = n.sqlserver(ctx, db, now)
	case sqldb.SQLite:
		err = n.sqlite(ctx, db, at)
	default:
		if err = db.Ping(ctx); err == nil {
			n.ok("reachable", "%s answers", at.Scheme())
		}
	}
	if err != nil {
		n.failed("reachable", err)
	}
	return n.list
}

// search asks a search server what it is.
func (n *notes) search(ctx context.Context, c config.Connection) {
	client, err := app.SearchServer(c)
	if err != nil {
		n.failed("address", err)
		return
	}
	defer client.Close()
	about, err := client.About(ctx)
	if err != nil {
		n.failed("reachable", err)
		return
	}
	n.ok("reachable", "%s answers", about)
}

// files looks into a folder of files, and reads what it has to to know their tables.
func (n *notes) files(ctx context.Context, at sqldb.Location) {
	folder, err := flatfile.Open(at, flatfile.Options{})
	if err != nil {
		n.failed("reachable", err)
		return
	}
	defer folder.Close()
	schema, err := folder.Schema(ctx)
	switch {
	case err != nil:
		n.failed("reachable", err)
	case len(schema.Tables) == 0:
		n.add(Warning, "reachable", "is it the right folder, and the right form? The form is what stands before the colon", "%s has no files of this form", at.Path())
	default:
		n.ok("reachable", "%s in %s", plural(len(schema.Tables), "table"), at.Path())
		for _, note := range schema.Notes {
			n.add(Warning, "files", "", "%s", note)
		}
	}
}

// api asks an API for its base URL, which changes nothing there.
func (n *notes) api(ctx context.Context, at sqldb.Location, access config.APIAccess) {
	conn, err := app.APIConnection(at, access)
	if err != nil {
		n.failed("address", err)
		return
	}
	p, err := httpsink.Probe(ctx, conn)
	switch {
	case err != nil:
		n.failed("reachable", err)
	case p.Refused():
		n.add(Warning, "credentials", "look at token, token_url, headers and the user of the connection; some APIs answer so to what they do not have",
			"it answers with status %d to a request for its base", p.Status)
	default:
		n.ok("reachable", "it answers with status %d in %s", p.Status, rounded(p.Took))
	}
}

// metrics looks at a Prometheus: whether it answers an expression.
func (n *notes) metrics(ctx context.Context, at sqldb.Location, access config.APIAccess) {
	conn, err := app.PrometheusConnection(at, access)
	if err != nil {
		n.failed("address", err)
		return
	}
	client, err := promsource.New(conn)
	if err != nil {
		n.failed("address", err)
		return
	}
	defer client.Close()
	begun := time.Now()
	if err := client.Check(ctx); err != nil {
		n.failed("reachable", err)
		return
	}
	n.ok("reachable", "it answers in %s", rounded(time.Since(begun)))
}

// maps looks at a Redis that keeps the ids of plans.
func (n *notes) maps(ctx context.Context, c config.Connection, at sqldb.Location) {
	m, err := idmap.Open(ctx, at.Redis(), idmap.Options{Name: c.Name, Conns: 1, ConnectTimeout: c.ConnectTimeout})
	switch {
	case errors.Is(err, idmap.ErrEvicts):
		n.failed("eviction", err)
		return
	case err != nil:
		n.failed("reachable", err)
		return
	}
	n.ok("reachable", "it answers, and evicts no ids")
	if !m.Durable() {
		n.add(Warning, "loss", "set appendonly yes there, or keep ids in the database of state:", "it keeps no append-only file: the ids of plans are gone when it crashes")
	}
	if err := m.Close(); err != nil {
		n.failed("reachable", err)
	}
}

func (n *notes) sqlite(ctx context.Context, db *sqldb.DB, at sqldb.Location) error {
	var version, journal string
	if err := db.SQL.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	if err := db.SQL.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return fmt.Errorf("ask for the journal: %w", err)
	}
	n.ok("reachable", "SQLite %s, journal %s", version, journal)
	f, err := os.OpenFile(at.Path(), os.O_WRONLY, 0)
	if err != nil {
		n.ok("rights", "read-only to this user: it can be a source, and no target")
		return nil
	}
	n.ok("rights", "may be written")
	return f.Close()
}

// lookPostgres asks a server about itself. has_schema_privilege is null where no schema of the search path is there.
const lookPostgres = `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes'),
	current_setting('synchronous_commit'), current_setting('default_transaction_read_only'), pg_is_in_recovery(), current_user,
	coalesce(current_schema(), ''), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), clock_timestamp()`

func (n *notes) postgres(ctx context.Context, db *sqldb.DB, now func() time.Time) error {
	var version, fsync, pages, commit, readOnly, user, schema string
	var standby, creates bool
	var clock time.Time
	before := now()
	err := db.Pool.QueryRow(ctx, lookPostgres).Scan(&version, &fsync, &pages, &commit, &readOnly, &standby, &user, &schema, &creates, &clock)
	if err != nil {
		return fmt.Errorf("ask the server about itself: %w", err)
	}
	after := now()
	n.ok("reachable", "PostgreSQL %s", version)
	n.clock(before, clock, after)
	if fsync == "off" || pages == "off" {
		n.add(Warning, "loss", "set fsync and full_page_writes on", "fsync is %s, full_page_writes is %s: a power cut may destroy it", fsync, pages)
	}
	if commit == "off" {
		n.add(Warning, "loss", "ALTER ROLE "+db.Dialect.Quote(user)+" SET synchronous_commit = on", "synchronous_commit is off: a crash of the server loses rows that stint has counted as done")
	}
	if fsync == "on" && pages == "on" && commit != "off" {
		n.ok("loss", "fsync on, synchronous_commit %s: a commit survives a crash", commit)
	}
	switch {
	case standby:
		n.ok("rights", "a standby: it can be a source, and no target")
	case readOnly == "on":
		n.ok("rights", "read-only (default_transaction_read_only): it can be a source, and no target")
	case schema == "":
		n.add(Warning, "rights", "set the connection's schema to one that is there", "no schema of its search path is there, or its user may not use it")
	case !creates:
		n.add(OK, "rights", "for a target: GRANT CREATE ON SCHEMA "+db.Dialect.Quote(schema)+" TO "+db.Dialect.Quote(user),
			"%s may make no tables in schema %s: it can be a source, and no target", user, schema)
	default:
		n.ok("rights", "%s may make tables in schema %s", user, schema)
	}
	return nil
}
