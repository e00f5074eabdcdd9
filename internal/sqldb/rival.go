package sqldb

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
)

// maxAppName is how many bytes PostgreSQL keeps of a session's name.
const maxAppName = 63

// AppName returns the name under which PostgreSQL shows the sessions of an attempt: stint/<worker>/<attempt>, or
// stint/<worker>/ when attempt is "". Names that would be too long are shortened, the same way each time.
func AppName(worker, attempt string) string {
	return "stint/" + appWord(worker, 32) + "/" + appWord(attempt, maxAppName-len("stint//")-32)
}

// appWord makes a word printable and at most n bytes long; a hash replaces what is cut off.
func appWord(s string, n int) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '/' {
			return '_'
		}
		return r
	}, s)
	if len(clean) <= n && clean == s {
		return clean
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // a hash never fails
	return fmt.Sprintf("%.*s~%08x", n-9, clean, h.Sum32())
}

// TerminateRival ends the sessions that an attempt has in a PostgreSQL database, or, with attempt "", all that a worker has, and
// returns how many there were. What they had not committed is undone, and their locks are free at once. It is for a worker
// that is gone or frozen: one that was stopped within a COPY holds the ledger's key for ever, and neither a statement's
// timeout nor a cancel reaches it. For SQLite there is nothing to end, and it returns 0.
func TerminateRival(ctx context.Context, db *DB, worker, attempt string) (int, error) {
	if db.Dialect != Postgres {
		return 0, nil
	}
	name := AppName(worker, attempt)
	var n int
	err := db.Pool.QueryRow(ctx, "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity "+
		"WHERE datname = current_database() AND pid <> pg_backend_pid() AND "+
		"(application_name = $1 OR $2 AND starts_with(application_name, $1))) x WHERE ended", name, attempt == "").Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("end the sessions of %s: %w", name, Classify(err))
	}
	return n, nil
}
