package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nakagami/firebirdsql"
	"github.com/stint-run/stint/tasks"
)

// fbParams are the parameters of a Firebird URL. charset is ours: what text of CHARACTER SET NONE is. The others are the
// driver's: sessions are always of character set NONE, and of UTC.
var fbParams = []string{"charset", "role", "auth_plugin_name", "auth_plugin_list", "wire_crypt", "wire_compress"}

// parseFirebird reads firebird://USER:PASSWORD@HOST:PORT/PATH?charset=&role=. Like parsePostgres it never repeats the URL.
func parseFirebird(s string) (Location, error) {
	const form = "write firebird://USER:PASSWORD@HOST:PORT/PATH, where PATH is an alias, /srv/data/x.fdb or C:/data/x.fdb as the server sees it"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Location{}, tasks.WithHint(nil, "characters like / ? # @ % in a user name or password must be percent-encoded "+
			"(/ is %2F, @ is %40); "+form, "the Firebird URL cannot be read")
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return Location{}, tasks.WithHint(nil, form, "the Firebird URL names no host")
	case u.User == nil || u.User.Username() == "":
		return Location{}, tasks.WithHint(nil, form, "the Firebird URL names no user")
	case strings.Trim(u.Path, "/") == "":
		return Location{}, tasks.WithHint(nil, form, "the Firebird URL names no database")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, tasks.WithHint(nil, form, "the parameters of the Firebird URL cannot be read")
	}
	for name := range q {
		if !slices.Contains(fbParams, name) {
			return Location{}, tasks.WithHint(nil, "the parameters are "+strings.Join(fbParams, ", "),
				"the Firebird URL has a parameter %q, which is not known", name)
		}
	}
	ours := url.Values{}
	if charset := q.Get("charset"); charset != "" {
		known, ok := fbKnown(charset)
		if !ok {
			return Location{}, tasks.WithHint(nil, "write WIN1252, WIN1250, ISO8859_1, DOS850, UTF8 or another that Firebird has",
				"the character set %q of the Firebird URL is not known", charset)
		}
		ours.Set("charset", known)
	}
	port := u.Port()
	if port == "" {
		port = "3050"
	}
	at := *u
	at.Host = net.JoinHostPort(u.Hostname(), port)
	q.Set("charset", "NONE")
	q.Set("timezone", "UTC")
	at.RawQuery = q.Encode()
	return Location{Dialect: Firebird, scheme: "firebird", params: ours, dsn: at.String(), redacted: redactURL(u),
		identity: "firebird\n" + strings.ToLower(at.Host) + "\n" + u.Path}, nil
}

// openFirebird opens a database. Nothing is written to it, whatever the options say.
func openFirebird(ctx context.Context, at Location, opts Options) (*DB, error) {
	of, err := fbConnector(at.dsn)
	if err != nil {
		return nil, tasks.WithHint(nil, urlForms(), "the Firebird URL cannot be used")
	}
	patience := opts.ConnectTimeout
	if patience <= 0 {
		patience = 10 * time.Second
	}
	pool := sql.OpenDB(patient{of, patience})
	conns := opts.MaxConns
	if conns <= 0 {
		conns = 4
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	db := &DB{Dialect: Firebird, Location: at, SQL: pool}
	if err := db.Ping(ctx); err != nil {
		_ = pool.Close()
		return nil, err
	}
	return db, nil
}

// fbConnector returns the driver's connector, which it keeps behind the name under which it is registered.
func fbConnector(dsn string) (driver.Connector, error) {
	db, err := sql.Open("firebirdsql", dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	d, ok := db.Driver().(driver.DriverContext)
	if !ok {
		return nil, fmt.Errorf("the driver %T has no OpenConnector", db.Driver())
	}
	return d.OpenConnector(dsn)
}

// patient is a connector that gives up after a while.
type patient struct {
	driver.Connector
	patience time.Duration
}

// errNoAnswer is what a connection that took too long failed by: not the caller's own deadline.
var errNoAnswer = errors.New("no answer in time")

// Connect implements driver.Connector.
func (p patient) Connect(ctx context.Context) (driver.Conn, error) {
	short, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	conn, err := p.Connector.Connect(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return nil, errNoAnswer
	}
	return conn, err
}

// explainFirebird gives an error of connecting its words and its hint, and says whether it passes. A nil error stays nil.
func explainFirebird(at Location, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	said := fbSaid(err)
	explained := explainConnectingFirebird(at, err)
	if fbHas(said, firebirdsql.ISCShutdown, firebirdsql.ISCNetworkError, firebirdsql.ISCUnavailable) || said == nil && (isAway(err) || errors.Is(err, errNoAnswer)) {
		return tasks.RetryAfter(explained, aWhile())
	}
	return explained
}

func explainConnectingFirebird(at Location, err error) error {
	say := func(hint, format string, args ...any) error {
		return tasks.WithHint(cause(err), hint, format, args...)
	}
	said := fbSaid(err)
	var noName *net.DNSError
	switch {
	// What the handshake says of a wrong password is plain text of the driver's.
	case fbHas(said, firebirdsql.ISCLogin) || said == nil && strings.Contains(err.Error(), "user name and password are not defined"):
		return say("check user name and password; characters like / ? # @ % must be percent-encoded; a server that knows only Legacy_Auth "+
			"wants ?auth_plugin_name=Legacy_Auth", "the server refuses the password for %s", at)
	case fbHas(said, firebirdsql.ISCIoError, firebirdsql.ISCUnavailable):
		return say("check the path: it is the server's, or an alias of its databases.conf; the server's user must be able to open the file, "+
			"and DatabaseAccess of firebird.conf must allow it", "the server cannot open the database of %s", at)
	case fbHas(said, firebirdsql.ISCBadDbFormat, firebirdsql.ISCWrongOds):
		return say("the file is no database, or one of another version of Firebird: make a backup with its own gbak, and restore it here",
			"the server cannot read the database of %s", at)
	case fbHas(said, firebirdsql.ISCShutdown):
		return say("bring it online: gfix -online", "the database of %s is shut down", at)
	case fbHas(said, firebirdsql.ISCNoPriv):
		return say("check the role in the URL (?role=)", "no permission to connect to %s", at)
	case said != nil:
		return say("the server's firebird.log may say more", "the server of %s refuses the connection", at)
	case errors.As(err, &noName):
		return say("check the host name in the URL, and the name service of this machine", "the host of %s is not known", at)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("is the server up? is the port right (3050 is Firebird's)? does it listen on this address (RemoteBindAddress)?",
			"nothing accepts connections at %s", at)
	case errors.Is(err, errNoAnswer):
		return say("check the host and the firewall between here and there", "no answer from %s in time", at)
	}
	return say("check host, port and database in the URL; does something else than Firebird listen there?", "cannot connect to %s", at)
}
