package sqldb

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stint-run/stint/tasks"
	sqlitelib "modernc.org/sqlite/lib"
)

// lockPatience is how long a step waits before it asks again for a lock that it did not get.
const lockPatience = 250 * time.Millisecond

// Classify says what an error of a database means for what happens next, by marking it for worker/outcome.go:
//
//   - somebody holds a lock, or the server chose us as the victim of a deadlock or of a conflict: tasks.RetryAfter;
//   - the server is full, starting or stopping: a hint, and an ordinary error, or RetryAfter where it passes by itself;
//   - nothing answers, or the connection broke: tasks.RetryAfter, as a server that restarts is back in a while;
//   - permissions, missing tables and columns, foreign keys that are in the way, rows that an index cannot be made of:
//     tasks.Permanent with a hint;
//   - a statement that somebody cancelled (our own cancels are context errors), and all else: as it is.
//
// nil, context errors and errors that are marked already stay as they are.
func Classify(err error) error {
	if err == nil || tasks.IsPermanent(err) || errors.Is(err, tasks.ErrDrained) || errors.Is(err, ErrTaken) {
		return err
	}
	if _, ok := tasks.RetryAfterOf(err); ok || tasks.HintOf(err) != "" {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	for _, d := range dialects {
		if marked, ok := d.words().classify(err); ok {
			return marked
		}
	}
	if isAway(err) {
		return tasks.RetryAfter(err, aWhile())
	}
	return err
}

// aWhile is how long a step waits before it asks again for a server that is away: about a second, not the same for all.
func aWhile() time.Duration { return time.Second/2 + rand.N(time.Second) }

// goneAndBack are the errors of a network, and of a server on it, that pass when the server is up again.
var goneAndBack = []error{
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed,
	syscall.ENOENT, // the socket of a server that is being restarted
}

// isAway reports whether an error says that a PostgreSQL server is not to be had at the moment, and may be again: it is down,
// starting, stopping or full, or the network between is. What it says itself is told by its code.
func isAway(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "57P01", "57P02", "57P03", "53300": // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections
			return true
		case "08000", "08003", "08006", "25P03", "57P05": // connection errors; it was idle in a transaction, or at all, for too long
			return true
		}
		return false
	}
	var noName *net.DNSError
	if errors.As(err, &noName) {
		return !noName.IsNotFound
	}
	for _, e := range goneAndBack {
		if errors.Is(err, e) {
			return true
		}
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) && errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var network net.Error
	return errors.As(err, &network) && network.Timeout() && !errors.Is(err, context.DeadlineExceeded)
}

func classifyPostgres(err error, pg *pgconn.PgError) error {
	if isAway(err) && pg.Code != "53300" {
		return tasks.RetryAfter(tasks.WithHint(err, "nothing is lost; the step goes on when the server is back", "the server ended the session"), aWhile())
	}
	switch pg.Code {
	case "55P03", "40P01", "40001": // lock_not_available, deadlock_detected, serialization_failure
		return tasks.RetryAfter(err, lockPatience)
	case "53300":
		return tasks.RetryAfter(tasks.WithHint(err, "raise max_connections there, or give the workers fewer connections",
			"the server has no connection left"), aWhile())
	case "53100": // disk_full
		return tasks.WithHint(err, "free disk space on the database server, then retry", "the disk of the database server is full")
	case "53200":
		return tasks.WithHint(err, "give the server more memory, or use smaller batches", "the database server is out of memory")
	case "25006":
		return tasks.Permanent(tasks.WithHint(err, "connect to the primary, and open the target for writing", "the database is read-only"))
	case "42501":
		return tasks.Permanent(tasks.WithHint(err, "GRANT the right to the user of this connection", "the user may not do this"))
	case "42P01", "42703", "3F000", "42883":
		return tasks.Permanent(tasks.WithHint(err, "was the schema changed, or not created? create it and retry", "a table or column is not there"))
	case "23503":
		return tasks.Permanent(tasks.WithHint(err, "the target has a foreign key already; drop it, stint adds foreign keys after the load",
			"a row names a row that is not there yet"))
	case "23505":
		if isIndexBuild(pg) {
			return tasks.Permanent(tasks.WithHint(err, "make the rows unique in the source, or drop index "+pg.ConstraintName+" there, then migrate again",
				"the rows are not unique, as index %s wants them", pg.ConstraintName))
		}
	case "54000", "54011", "54023":
		return tasks.Permanent(tasks.WithHint(err, "shorten the values in the source, or leave the index away", "the rows are more than PostgreSQL can do"))
	case "0A000", "42601", "42804", "42809", "428C9":
		return tasks.Permanent(err)
	}
	return err
}

// isIndexBuild reports whether a unique violation was found when an index was made of rows that are there, rather than by a
// row that is written. The server's words are in its own language; the name of its function is not.
func isIndexBuild(pg *pgconn.PgError) bool { return strings.HasPrefix(pg.Routine, "comparetup_index") }

func classifySQLite(err error, code int) error {
	switch code & 0xff {
	case sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED:
		return tasks.RetryAfter(err, lockPatience)
	case sqlitelib.SQLITE_FULL:
		return tasks.WithHint(err, "free disk space where the file is, then retry", "the disk of the SQLite file is full")
	case sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_PERM, sqlitelib.SQLITE_AUTH:
		return tasks.Permanent(tasks.WithHint(err, "give this user the right to write the file and its folder", "the SQLite file cannot be written"))
	case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB:
		return tasks.Permanent(tasks.WithHint(err, "check the file with the sqlite3 shell: PRAGMA integrity_check", "the SQLite file is damaged"))
	case sqlitelib.SQLITE_IOERR:
		return tasks.WithHint(err, "check the disk that the file is on, then retry", "the SQLite file cannot be read or written")
	case sqlitelib.SQLITE_CONSTRAINT:
		// A row's fault does not come here, and rows do not change: a unique index over them cannot be had.
		if code == sqlitelib.SQLITE_CONSTRAINT_UNIQUE {
			return tasks.Permanent(tasks.WithHint(err, "make the rows unique in the source, or drop the unique index there, then migrate again",
				"the rows are not unique, as an index wants them"))
		}
	case sqlitelib.SQLITE_ERROR:
		if m := err.Error(); strings.Contains(m, "no such table") || strings.Contains(m, "no such column") {
			return tasks.Permanent(tasks.WithHint(err, "was the schema changed, or not created? create it and retry", "a table or column is not there"))
		}
	}
	return err
}

// rowFault reports whether an error is the fault of rows, so that isolating them helps. It returns the SQLSTATE and what to say.
func rowFault(err error) (code, reason, column string, ok bool) {
	for _, d := range dialects {
		if code, reason, column, ok = d.words().rowFault(err); ok {
			return code, reason, column, true
		}
	}
	return "", "", "", false
}
