package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlSession are the settings of every session, whatever those of the server, the user and the database are:
//
//   - UTC, so that a TIMESTAMP is read as it is stored;
//   - strict: what does not fit is an error, not a warning; zero dates come and go as they are (a target takes them from a source of
//     its own kind alone); 0 in a numbering column is 0; a backslash in a literal is a backslash;
//   - a statement takes as long as it takes, and a reader of hours is not cut off because its target is slow.
//
// What only one of MariaDB (/*M! */) and MySQL (/*! */) knows is in a comment that the other does not read.
const mysqlSession = "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO," +
	"NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES', sql_auto_is_null = 0, sql_big_selects = 1, sql_select_limit = DEFAULT, " +
	"net_write_timeout = 3600, wait_timeout = 28800, autocommit = 1, sql_notes = 1, sql_warnings = 0, foreign_key_checks = 1, unique_checks = 1" +
	"/*M!100101 , max_statement_time = 0 *//*!50708 , max_execution_time = 0 *//*!80000 , information_schema_stats_expiry = 0 */"

func openMySQL(ctx context.Context, at Location, opts Options) (*DB, error) {
	config, err := mysqlConfig(at.dsn)
	if err != nil {
		return nil, err
	}
	if opts.ConnectTimeout > 0 {
		config.Timeout = opts.ConnectTimeout
	}
	if err := config.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	name := opts.AppName
	if name == "" {
		name = "stint"
	}
	config.ConnectionAttributes = "program_name:" + appWord(name, 60)
	settings := []string{mysqlSession}
	if opts.ReadOnly {
		settings = append(settings, "SET SESSION TRANSACTION READ ONLY")
	} else {
		// A worker that is stopped between two statements must not hold its locks for ever.
		settings = append(settings, "SET autocommit = 1/*M!100300 , idle_transaction_timeout = 60 */")
	}
	if opts.LockTimeout > 0 {
		n := wholeSeconds(opts.LockTimeout)
		settings = append(settings, fmt.Sprintf("SET innodb_lock_wait_timeout = %d, lock_wait_timeout = %d", n, n))
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, explainMySQL(at, err)
	}
	pool := sql.OpenDB(mysqlConnector{connector, settings})
	conns := opts.MaxConns
	if conns <= 0 {
		conns = 4
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(10 * time.Minute)
	db := &DB{Dialect: MySQL, Location: at, SQL: pool}
	if err := db.Ping(ctx); err != nil {
		_ = pool.Close()
		return nil, err
	}
	return db, nil
}

// wholeSeconds rounds a duration up to what InnoDB counts in.
func wholeSeconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// mysqlConnector sets up each session.
type mysqlConnector struct {
	driver.Connector
	settings []string
}

// Connect implements driver.Connector.
func (c mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec, ok := conn.(driver.ExecerContext)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("the driver's connection is a %T", conn)
	}
	for _, s := range c.settings {
		if _, err := exec.ExecContext(ctx, s, nil); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return conn, nil
}
