package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stint-run/stint/tasks"
)

// parseSQLServer reads sqlserver://USER:PASSWORD@HOST:PORT?database=DATABASE, with an instance as the path. Like parsePostgres
// it never repeats the URL, nor what the driver says of it.
func parseSQLServer(s string) (Location, error) {
	const form = "write sqlserver://USER:PASSWORD@HOST:PORT?database=DATABASE, or sqlserver://USER:PASSWORD@HOST/INSTANCE?database=DATABASE"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Location{}, tasks.WithHint(nil, "characters like / ? # @ % in a user name or password must be percent-encoded "+
			"(/ is %2F, @ is %40); "+form, "the SQL Server URL cannot be read")
	case u.Opaque != "" || u.Hostname() == "":
		return Location{}, tasks.WithHint(nil, form, "the SQL Server URL names no host")
	}
	config, err := msdsn.Parse(s)
	switch {
	case err != nil:
		return Location{}, tasks.WithHint(nil, "check its parameters; "+form, "the SQL Server URL cannot be used")
	case config.Database == "":
		return Location{}, tasks.WithHint(nil, form, "the SQL Server URL names no database")
	}
	place := strings.ToLower(net.JoinHostPort(u.Hostname(), strconv.FormatUint(config.Port, 10)) + "/" + config.Instance)
	return Location{Dialect: SQLServer, scheme: "sqlserver", dsn: s, redacted: redactURL(u),
		identity: "sqlserver\n" + place + "\n" + strings.ToLower(config.Database)}, nil
}

// msSession prepares each session. A query reads one snapshot where the database allows it. Tables in memory cannot be read
// by a session that asks for snapshots, so where there are some none does.
const msSession = `SET TEXTSIZE 2147483647;
SET LOCK_TIMEOUT %d;
IF EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() AND snapshot_isolation_state = 1)
  AND NOT EXISTS (SELECT 1 FROM sys.tables WHERE OBJECTPROPERTY(object_id, 'TableIsMemoryOptimized') = 1)
  SET TRANSACTION ISOLATION LEVEL SNAPSHOT;`

// openSQLServer opens a database. Nothing is written to it, whatever the options say.
func openSQLServer(ctx context.Context, at Location, opts Options) (*DB, error) {
	config, err := msdsn.Parse(at.dsn)
	if err != nil {
		return nil, tasks.WithHint(nil, urlForms(), "the SQL Server URL cannot be used")
	}
	config.AppName = opts.AppName
	if config.AppName == "" {
		config.AppName = "stint"
	}
	config.Encoding = msdsn.EncodeParameters{Timezone: time.UTC} // a uniqueidentifier comes as its bytes
	patience := opts.ConnectTimeout
	if patience <= 0 {
		patience = 10 * time.Second
	}
	of := mssql.NewConnectorConfig(config)
	lock := int64(-1) // for ever
	if opts.LockTimeout > 0 {
		lock = opts.LockTimeout.Milliseconds()
	}
	of.SessionInitSQL = fmt.Sprintf(msSession, lock)
	pool := sql.OpenDB(patient{of, patience})
	conns := opts.MaxConns
	if conns <= 0 {
		conns = 4
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	db := &DB{Dialect: SQLServer, Location: at, SQL: pool}
	if err := db.Ping(ctx); err != nil {
		_ = pool.Close()
		return nil, err
	}
	return db, nil
}

// explainSQLServer gives an error of connecting its words and its hint, and says whether it passes. A nil error stays nil.
func explainSQLServer(at Location, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	explained := explainConnectingSQLServer(at, err)
	switch msNumber(err) {
	case 0:
		if isAway(err) || errors.Is(err, errNoAnswer) {
			return tasks.RetryAfter(explained, aWhile())
		}
	case 40197, 40501, 40613, 49918, 49919, 49920, 10928, 10929, 6005, 17142:
		return tasks.RetryAfter(explained, aWhile())
	}
	return explained
}

func explainConnectingSQLServer(at Location, err error) error {
	say := func(hint, format string, args ...any) error {
		return tasks.WithHint(cause(err), hint, format, args...)
	}
	var noName *net.DNSError
	number := msNumber(err)
	switch {
	case number == 18456 || number == 18452:
		return say("check user name and password; characters like / ? # @ % must be percent-encoded; does the server allow SQL Server "+
			"authentication (mixed mode)?", "the server refuses the password for %s", at)
	case number == 4060 || number == 916:
		return say("check the name behind database=, and that this login is a user there", "the database of %s does not exist, or lets this user not in", at)
	case number == 40615:
		return say("add the address of this machine to the firewall of the server", "the firewall of %s lets this machine not in", at)
	case number != 0:
		return say("the server's error log may say more", "the server of %s refuses the connection", at)
	case errors.As(err, &noName):
		return say("check the host name in the URL, and the name service of this machine", "the host of %s is not known", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("is the server up? is the port right (1433 is SQL Server's)? is TCP/IP turned on in its network configuration?",
			"nothing accepts connections at %s", at)
	case errors.Is(err, errNoAnswer):
		return say("check the host and the firewall between here and there; a named instance needs the SQL Server Browser, or its port in the URL",
			"no answer from %s in time", at)
	case isTLS(err) || strings.Contains(err.Error(), "TLS Handshake"):
		return say("give the server a certificate that this machine trusts, or say ?TrustServerCertificate=true in the URL", "no encrypted connection to %s", at)
	}
	return say("check host, port and database in the URL", "cannot connect to %s", at)
}
