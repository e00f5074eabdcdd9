package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stint-run/stint/tasks"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// Options say how a database is opened. The zero value opens it for reading and writing.
type Options struct {
	// ReadOnly makes every write fail, in the database itself: right for a source. An SQLite file must exist then;
	// otherwise it is made.
	ReadOnly bool
	// AppName is what a PostgreSQL server shows of our sessions (pg_stat_activity); "" is "stint".
	AppName string
	// MaxConns bounds the connections; 0 means 4.
	MaxConns int
	// ConnectTimeout is how long a connection to a server may take to open; 0 means what the URL says, or 10 s.
	ConnectTimeout time.Duration
	// LockTimeout is how long a statement waits for a lock of somebody else before it fails. 0 means for ever with
	// PostgreSQL, and 10 s with SQLite, whose only lock is the whole file's.
	LockTimeout time.Duration
}

// DB is an open database. Exactly one of SQL, Pool and Files is set, by the dialect. It may be used by many goroutines.
type DB struct {
	Dialect  Dialect
	Location Location
	SQL      *sql.DB       // all that have a driver of database/sql
	Pool     *pgxpool.Pool // PostgreSQL
	Files    Tabular       // files
}

// Open opens a database and asks it something, so that a wrong address shows here. Its errors say in words what is wrong
// and what to do, and hold no password.
//
// An SQLite file that is written uses WAL with synchronous=FULL (a commit survives a power cut; NORMAL would lose the last
// ones), takes its write lock at BEGIN, and does not enforce foreign keys, as rows arrive in any order.
// Sessions of PostgreSQL speak UTC and ISO dates, and their statements take as long as they take, whatever the server's, the
// role's and the URL's settings are. An error that passes by itself, such as a server that is not up, is a tasks.RetryAfter.
func Open(ctx context.Context, at Location, opts Options) (*DB, error) {
	return at.Dialect.words().open(ctx, at, opts)
}

// Close closes all connections. Closing waits for those in use.
func (db *DB) Close() error {
	switch {
	case db.Pool != nil:
		db.Pool.Close()
		return nil
	case db.Files != nil:
		return db.Files.Close()
	}
	return db.SQL.Close()
}

// Ping asks the database for a sign of life. Its errors are those of Open.
func (db *DB) Ping(ctx context.Context) error {
	return db.Dialect.words().ping(ctx, db)
}

func openSQLite(ctx context.Context, at Location, opts Options) (*DB, error) {
	if err := checkFile(at, opts.ReadOnly); err != nil {
		return nil, err
	}
	timeout := opts.LockTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	q := url.Values{}
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(timeout.Milliseconds(), 10)+")")
	if opts.ReadOnly {
		// The file is somebody else's: what its schema says must not run with side effects.
		q.Add("mode", "ro")
		q.Add("_pragma", "query_only(1)")
		q.Add("_pragma", "trusted_schema(0)")
		// Each of the many connections would keep 2 MiB. What reads from one end to the other does not come back to a page, and the
		// kernel keeps the file for all of them.
		q.Add("_pragma", "cache_size(-512)")
	} else {
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
		q.Add("_pragma", "foreign_keys(0)")
		q.Add("_txlock", "immediate")
	}
	dsn := (&url.URL{Scheme: "file", Path: at.path, OmitHost: true, RawQuery: q.Encode()}).String()
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, explainSQLite(at, err)
	}
	conns := opts.MaxConns
	if conns <= 0 {
		conns = 4
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	db := &DB{Dialect: SQLite, Location: at, SQL: pool}
	// Turning WAL on does not wait for a rival that does the same, busy_timeout or not: ask again.
	for deadline := time.Now().Add(timeout); ; {
		err := db.Ping(ctx)
		if err == nil {
			return db, nil
		}
		if sqliteCode(err) != sqlitelib.SQLITE_BUSY || time.Now().After(deadline) || ctx.Err() != nil {
			_ = pool.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// checkFile finds the everyday mistakes before SQLite does, who calls all of them "unable to open database file".
func checkFile(at Location, mustExist bool) error {
	info, err := os.Stat(at.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mustExist:
		return tasks.WithHint(nil, "check the path; a relative one starts at the working directory of the process",
			"there is no file %s", at.path)
	case errors.Is(err, fs.ErrNotExist):
		folder := filepath.Dir(at.path)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return tasks.WithHint(nil, "make the folder first, or correct the path", "there is no folder %s for the file %s", folder,
				filepath.Base(at.path))
		}
		return nil
	case errors.Is(err, fs.ErrPermission):
		return tasks.WithHint(nil, "give this user the right to enter its folders", "no permission to look at %s", at.path)
	case err != nil:
		return tasks.WithHint(err, "check the path", "cannot look at %s", at.path)
	case info.IsDir():
		return tasks.WithHint(nil, "name a file in it", "%s is a folder, not a file", at.path)
	}
	flag := os.O_RDWR
	if mustExist {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(at.path, flag, 0)
	if errors.Is(err, fs.ErrPermission) {
		return tasks.WithHint(nil, "give this user the right to the file", "no permission to open %s", at.path)
	}
	if err != nil {
		return tasks.WithHint(err, "check the path", "cannot open %s", at.path)
	}
	return f.Close()
}

// sqliteCode returns the primary result code of an SQLite error in the chain, and 0 when there is none.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// explainSQLite gives an error of opening its words and its hint. A nil error stays nil.
func explainSQLite(at Location, err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case sqliteCode(err) == sqlitelib.SQLITE_NOTADB:
		return tasks.WithHint(err, "check the path; a dump (.sql), a zip or an encrypted file must be turned into an SQLite file first",
			"%s is not an SQLite database", at.path)
	case sqliteCode(err) == sqlitelib.SQLITE_CORRUPT:
		return tasks.WithHint(err, "recover it with the sqlite3 shell: .recover", "%s is damaged", at.path)
	case sqliteCode(err) == sqlitelib.SQLITE_BUSY:
		return tasks.RetryAfter(tasks.WithHint(err, "find out which program holds it open", "%s is locked by another process", at.path), lockPatience)
	case sqliteCode(err) == sqlitelib.SQLITE_CANTOPEN || sqliteCode(err) == sqlitelib.SQLITE_READONLY:
		return tasks.WithHint(err, "SQLite writes beside its file, even for reading one in WAL mode: give this user the right to write "+
			"the folder, or work on a copy", "cannot open %s", at.path)
	}
	return tasks.WithHint(err, "check the file with the sqlite3 shell: PRAGMA integrity_check", "cannot read %s", at.path)
}

func openPostgres(ctx context.Context, at Location, opts Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(at.dsn)
	if err != nil {
		return nil, tasks.WithHint(redactedCause(err), urlForms(), "the PostgreSQL URL cannot be used")
	}
	config.MaxConns = 4
	if opts.MaxConns > 0 {
		config.MaxConns = int32(min(opts.MaxConns, 1000))
	}
	if opts.ConnectTimeout > 0 {
		config.ConnConfig.ConnectTimeout = opts.ConnectTimeout
	} else if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = opts.AppName
	if opts.AppName == "" {
		params["application_name"] = "stint"
	}
	params["timezone"] = "UTC"
	params["datestyle"] = "ISO, YMD"
	if opts.ReadOnly {
		params["default_transaction_read_only"] = "on"
		// A policy that hides rows from this user is an error then, not a migration that silently lacks them.
		params["row_security"] = "off"
	}
	if opts.LockTimeout > 0 {
		params["lock_timeout"] = strconv.FormatInt(opts.LockTimeout.Milliseconds(), 10)
	}
	config.AfterConnect = takeTime
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, explainPostgres(at, err)
	}
	db := &DB{Dialect: Postgres, Location: at, Pool: pool}
	if err := db.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return db, nil
}

// takeTime lifts the limits that roles and databases set for sessions of people: a step that loads rows, makes an index or
// waits for the other database would run into them again and again. What ends a session that a stopped worker left in a
// transaction stays, and is generous.
func takeTime(ctx context.Context, conn *pgx.Conn) error {
	settings := "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '10min'"
	version := 0
	_, _ = fmt.Sscanf(conn.PgConn().ParameterStatus("server_version"), "%d", &version) // 0 where the server does not say
	if version >= 14 {
		settings += "; SET idle_session_timeout = 0"
	}
	if version >= 17 {
		settings += "; SET transaction_timeout = 0"
	}
	return conn.PgConn().Exec(ctx, settings).Close()
}

// explainPostgres gives an error of connecting its words and its hint, and says whether it passes. A nil error stays nil.
func explainPostgres(at Location, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if isAway(err) {
		return tasks.RetryAfter(explainConnecting(at, err), aWhile())
	}
	return explainConnecting(at, err)
}

func explainConnecting(at Location, err error) error {
	say := func(hint, format string, args ...any) error {
		return tasks.WithHint(cause(err), hint, format, args...)
	}
	var fromServer *pgconn.PgError
	var noName *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &fromServer):
		return explainServer(at, fromServer)
	case errors.As(err, &noName):
		return say("check the host name in the URL, and the name service of this machine", "the host of %s is not known", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("is the server up? is the port right? does it listen on this address (listen_addresses)?",
			"nothing accepts connections at %s", at)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOENT):
		return say("check the folder of the socket (host=) and the port", "there is no such socket for %s", at)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout(), pgconn.Timeout(err):
		return say("check the host and the firewall between here and there", "no answer from %s in time", at)
	case isTLS(err):
		return say("say sslmode=disable, prefer, require or verify-full in the URL, as the server wants it",
			"no encrypted connection to %s", at)
	}
	return say("check host, port and database in the URL", "cannot connect to %s", at)
}
