package datasets

import (
	"context"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// lagQuery and waitingQuery ask how far the replicas are behind, in microseconds, and how many sessions wait for locks. MariaDB knows its
// replicas' lag only on the replicas, and SQLite has neither.
var (
	lagQuery = map[sqldb.Dialect]string{
		sqldb.Postgres: "SELECT coalesce(max(extract(epoch FROM replay_lag) * 1000000), 0)::int8 FROM pg_stat_replication",
	}
	waitingQuery = map[sqldb.Dialect]string{
		sqldb.Postgres: "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted",
		sqldb.MySQL:    "SELECT count(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'",
	}
)

// Health asks how the database feels. What this user may not see, or the database does not know, is zero: with MariaDB the lag, which
// only its replicas can tell, and with SQLite all but the probe. The probe reads one row of the registry; waiting for a connection of
// our own is not counted.
func (s *Store) Health(ctx context.Context) (Health, error) {
	var h Health
	probe := "SELECT 1 FROM " + quoted(s.db.Dialect, &s.registry)
	if key := s.registry.PrimaryKey; key != nil {
		probe += " ORDER BY " + s.db.Dialect.QuoteList(key.Columns)
	}
	probe += " LIMIT 1"
	ask := func(run func(query string, dest *int64) error) error {
		start := time.Now()
		var one int64
		if err := run(probe, &one); err != nil {
			return err
		}
		h.Probe = time.Since(start)
		var lag, waiting int64
		if query := lagQuery[s.db.Dialect]; query != "" && run(query, &lag) == nil {
			h.Lag = max(0, time.Duration(lag)*time.Microsecond)
		}
		if query := waitingQuery[s.db.Dialect]; query != "" && run(query, &waiting) == nil {
			h.Waiting = int(waiting)
		}
		return ctx.Err()
	}
	err := s.onConnection(ctx, ask)
	if err != nil {
		return Health{}, fmt.Errorf("ask %s for its health: %w", s.Address(), sqldb.Classify(err))
	}
	return h, nil
}

// onConnection gives a function what runs queries of one number on one connection; a query without a row gives none, and no error.
func (s *Store) onConnection(ctx context.Context, do func(run func(query string, dest *int64) error) error) error {
	if s.db.Pool != nil {
		conn, err := s.db.Pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		return do(func(query string, dest *int64) error {
			rows, err := conn.Query(ctx, query)
			if err != nil {
				return err
			}
			defer rows.Close()
			if rows.Next() {
				if err := rows.Scan(dest); err != nil {
					return err
				}
			}
			rows.Close()
			return rows.Err()
		})
	}
	conn, err := s.db.SQL.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(func(query string, dest *int64) error {
		rows, err := conn.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		if rows.Next() {
			if err := rows.Scan(dest); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}
