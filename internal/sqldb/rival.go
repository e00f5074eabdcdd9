package sqldb

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// maxAppName is how many bytes PostgreSQL keeps of a session's name.
const maxAppName = 63

// AppName returns the name under which PostgreSQL shows the sessions of an attempt: stint/<worker>/<attempt>.
// Names that would be too long are shortened, the same way each time.
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

// stepLock is the number of the advisory lock that every session holds, shared, while it loads a step. It keeps nobody out: it
// says who is there.
func stepLock(job, stage, step string) int64 {
	h := fnv.New64a()
	for _, part := range []string{"stint", job, stage, step} {
		_, _ = h.Write([]byte(part + "\x00")) // a hash never fails
	}
	return int64(h.Sum64())
}

// EndRivals ends the sessions of other attempts at a step in a PostgreSQL database, and returns how many there were. What they
// had not committed is undone, and their locks are free at once. It is for the attempt that holds the step's lease, when it
// has waited in vain for the ledger: a worker that was stopped within a COPY, or has vanished from the network, holds the
// ledger's key for ever, and neither a statement's timeout nor a cancel reaches its session. Close the own Loader first.
//
// For SQLite there is nothing to end, and it returns 0: its lock goes with the process, and a stopped one is not waited out.
func EndRivals(ctx context.Context, db *DB, job, stage, step string) (int, error) {
	return db.Dialect.words().endRivals(ctx, db, job, stage, step)
}

func endPostgresRivals(ctx context.Context, db *DB, job, stage, step string) (int, error) {
	lock := uint64(stepLock(job, stage, step))
	var n int
	err := db.Pool.QueryRow(ctx, "SELECT count(*) FROM (SELECT pg_terminate_backend(l.pid) AS ended FROM pg_locks l "+
		"WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "+
		"AND l.classid::bigint = $1 AND l.objid::bigint = $2 AND l.objsubid = 1 AND l.pid <> pg_backend_pid()) x WHERE ended",
		int64(lock>>32), int64(lock&0xffffffff)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("end the sessions of other attempts: %w", Classify(err))
	}
	return n, nil
}

// IsLockTimeout reports whether an error says that a lock of somebody else was not had in time.
func IsLockTimeout(err error) bool {
	return slices.ContainsFunc(dialects, func(d Dialect) bool { return d.words().lockTimeout(err) })
}
