package sqldb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stint-run/stint/tasks"
)

const mysqlForm = "mysql://USER:PASSWORD@HOST:PORT/DATABASE"

// mysqlParams are the parameters that a MySQL URL may have.
var mysqlParams = []string{"socket", "tls", "tls_ca", "tls_cert", "tls_key", "connect_timeout"}

// parseMySQL reads mysql:// and mariadb:// URLs. Like parsePostgres it wraps no cause that may quote the URL.
func parseMySQL(scheme, s string) (Location, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Location{}, tasks.WithHint(nil, "characters like / ? # @ % in a user name or password must be percent-encoded (/ is %2F, @ is %40); "+
			urlForms(), "the MySQL URL cannot be read")
	}
	name := strings.TrimPrefix(u.Path, "/")
	switch {
	case u.Opaque != "" || !strings.HasPrefix(s[len(scheme):], "://"):
		return Location{}, tasks.WithHint(nil, urlForms(), "the MySQL URL lacks the // after its scheme")
	case name == "" || strings.Contains(name, "/"):
		return Location{}, tasks.WithHint(nil, "write "+mysqlForm, "the MySQL URL names no database")
	}
	for param := range u.Query() {
		if !slices.Contains(mysqlParams, param) {
			hint := "there are " + strings.Join(mysqlParams, ", ")
			if near := nearest(param, mysqlParams); len(near) > 0 {
				hint = "did you mean " + near[0] + "? " + hint
			}
			return Location{}, tasks.WithHint(nil, hint, "the MySQL URL has an unknown parameter %q", param)
		}
	}
	config, err := mysqlConfig(s)
	if err != nil {
		return Location{}, err
	}
	return Location{Dialect: MySQL, scheme: scheme, dsn: s, redacted: redactURL(u), identity: "mysql\n" + strings.ToLower(config.Addr) + "\n" + name}, nil
}

// mysqlConfig turns a URL that parseMySQL has seen into what the driver wants. It reads the files of certificates.
func mysqlConfig(s string) (*mysql.Config, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, tasks.WithHint(nil, urlForms(), "the MySQL URL cannot be read")
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = strings.TrimPrefix(u.Path, "/")
	config.InterpolateParams = true   // one round trip a query; literals mean the same, as our sessions have no backslash escapes
	config.Logger = noLog{}           // errors are returned
	config.MaxAllowedPacket = 1 << 30 // the server's own limit holds, see mysqlSink
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "3306"
	}
	config.Net, config.Addr = "tcp", net.JoinHostPort(host, port)
	q := u.Query()
	if socket := q.Get("socket"); socket != "" {
		config.Net, config.Addr = "unix", socket
	}
	config.Timeout = 10 * time.Second
	if text := q.Get("connect_timeout"); text != "" {
		if config.Timeout, err = time.ParseDuration(text); err != nil || config.Timeout <= 0 {
			return nil, tasks.WithHint(nil, "write connect_timeout=10s", "the connect_timeout of the MySQL URL is no duration")
		}
	}
	return config, mysqlTLS(config, q, host)
}

// noLog drops what the driver would print.
type noLog struct{}

// Print implements mysql.Logger.
func (noLog) Print(...any) {}

// mysqlTLS sets the encryption. Without a word about it a connection over a network is encrypted where the server can, and its
// certificate not checked, as the server's own clients do.
func mysqlTLS(config *mysql.Config, q url.Values, host string) error {
	mode := q.Get("tls")
	if mode == "" {
		mode = "preferred"
		if q.Get("tls_ca") != "" || q.Get("tls_cert") != "" {
			mode = "true"
		}
	}
	if config.Net == "unix" {
		return nil
	}
	own := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	switch mode {
	case "false":
		return nil
	case "preferred":
		own.InsecureSkipVerify = true
		config.AllowFallbackToPlaintext = true
	case "skip-verify":
		own.InsecureSkipVerify = true
	case "true":
	default:
		return tasks.WithHint(nil, "write tls=false, preferred, skip-verify or true", "the MySQL URL says tls=%s", mode)
	}
	if file := q.Get("tls_ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return tasks.WithHint(err, "check the path", "the certificates of tls_ca cannot be read")
		}
		own.RootCAs = x509.NewCertPool()
		if !own.RootCAs.AppendCertsFromPEM(pem) {
			return tasks.WithHint(nil, "name a file of certificates in PEM form", "tls_ca holds no certificates")
		}
	}
	if cert, key := q.Get("tls_cert"), q.Get("tls_key"); cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return tasks.WithHint(err, "name both tls_cert and tls_key, in PEM form", "the client's certificate cannot be used")
		}
		own.Certificates = []tls.Certificate{pair}
	}
	config.TLS = own
	return nil
}

// explainMySQL gives an error of connecting its words and its hint, and says whether it passes. A nil error stays nil.
func explainMySQL(at Location, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var said *mysql.MySQLError
	if !errors.As(err, &said) {
		if isAway(err) {
			return tasks.RetryAfter(explainConnecting(at, err), aWhile())
		}
		if isTLS(err) || errors.Is(err, mysql.ErrNoTLS) {
			return tasks.WithHint(cause(err), "say tls=false, preferred, skip-verify or true in the URL, as the server wants it", "no encrypted connection to %s", at)
		}
		return explainConnecting(at, err)
	}
	switch said.Number {
	case 1045, 1698: // access denied, with or without a plugin
		return tasks.WithHint(said, "check user name and password; characters like / ? # @ % must be percent-encoded; a user is known there by the host it comes from",
			"the server does not let this user in: %s", at)
	case 1049:
		return tasks.WithHint(said, "create it (CREATE DATABASE), or correct the name at the end of the URL", "the database of %s does not exist", at)
	case 1044:
		return tasks.WithHint(said, "GRANT this user rights on the database", "no permission to use %s", at)
	case 1040, 1203, 1226:
		return tasks.RetryAfter(tasks.WithHint(said, "raise max_connections there, or give the workers fewer connections", "the server has no connection left: %s", at), aWhile())
	case 1130, 1129:
		return tasks.WithHint(said, "let this host in there (CREATE USER ... @ this host; FLUSH HOSTS)", "the server lets nobody in from this machine: %s", at)
	case 1193, 1231, 1115:
		return tasks.WithHint(said, "MariaDB 10.3 or MySQL 5.7 at least is needed, without a proxy that refuses SET", "the session's settings are refused: %s", at)
	}
	return tasks.WithHint(said, "the server's log may say more", "the server of %s refuses the connection", at)
}
