package sqldb

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stint-run/stint/tasks"
)

// explainServer gives what a PostgreSQL server said while connecting its words and its hint.
func explainServer(at Location, said *pgconn.PgError) error {
	switch said.Code {
	case "28P01":
		return tasks.WithHint(said, "check user name and password; characters like / ? # @ % must be percent-encoded",
			"the server refuses the password for %s", at)
	case "28000":
		return tasks.WithHint(said, "check the user name, and the server's pg_hba.conf: it must let this user in from here",
			"the server does not let this user in: %s", at)
	case "3D000":
		return tasks.WithHint(said, "create it (createdb), or correct the name at the end of the URL",
			"the database of %s does not exist", at)
	case "42501":
		return tasks.WithHint(said, "an owner must GRANT CONNECT ON DATABASE to this user", "no permission to connect to %s", at)
	case "53300":
		return tasks.WithHint(said, "raise max_connections there, or give the workers fewer connections",
			"the server has no connection left: %s", at)
	case "57P03":
		return tasks.WithHint(said, "wait until it is up", "the server is starting or stopping: %s", at)
	case "08P01":
		if strings.Contains(said.Message, "startup parameter") {
			return tasks.WithHint(said, "a connection pooler stands between: connect to the server itself, or let the pooler "+
				"ignore this parameter (pgbouncer: ignore_startup_parameters)", "the session's settings are refused: %s", at)
		}
	}
	return tasks.WithHint(said, "the server's log may say more", "the server of %s refuses the connection", at)
}

// cause returns the innermost error of a chain, the first where several were joined. What pgx puts around it repeats the
// address, once for each attempt.
func cause(err error) error {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if e.Unwrap() == nil {
				return err
			}
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			if len(e.Unwrap()) == 0 {
				return err
			}
			err = e.Unwrap()[0]
		default:
			return err
		}
	}
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &host) || strings.Contains(err.Error(), "server refused TLS")
}
