package sqldb

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stint-run/stint/tasks"
)

// Location says where a database is. Make one with ParseURL; the zero value names nothing and cannot be opened. It prints
// without its password.
type Location struct {
	// Dialect is the kind of database at this place.
	Dialect Dialect

	scheme   string     // as it was written: files are csv, tsv, ndjson or dbf
	path     string     // SQLite: the absolute path of the file; files: of the folder
	params   url.Values // files: what the URL says of their form
	dsn      string     // of a server: the URL with its password
	redacted string
	identity string
}

// Redacted returns the URL without password, for people, logs and reports.
func (l Location) Redacted() string { return l.redacted }

// String returns Redacted, so that no print statement gives a password away.
func (l Location) String() string { return l.redacted }

// GoString returns Redacted as well: the verb %#v must not give the password away.
func (l Location) GoString() string { return "sqldb.Location(" + l.redacted + ")" }

// ID returns a short hash that is the same for the same database, whoever connects: SQLite by its absolute path, PostgreSQL
// by hosts, ports and database, without credentials.
func (l Location) ID() string {
	sum := sha256.Sum256([]byte(l.identity))
	return hex.EncodeToString(sum[:8])
}

// Path returns the absolute path of an SQLite file or of a folder of files, and "" for other databases.
func (l Location) Path() string { return l.path }

// IsDatabase reports whether there is an SQL database at this place: not files, not an API, not a Redis, and not what
// alert rules ask alone.
func (l Location) IsDatabase() bool {
	switch l.Dialect {
	case Files, Records, Redis, Metrics, Search, "":
		return false
	}
	return true
}

// Scheme returns what the URL begins with: of files their form, csv, tsv, ndjson or dbf.
func (l Location) Scheme() string { return l.scheme }

// API returns the base URL of an API, and the user and password in front of its host; "" for everything else.
func (l Location) API() (base, user, password string) {
	if l.Dialect != Records {
		return "", "", ""
	}
	u, err := url.Parse(l.dsn)
	if err != nil || l.dsn == "" {
		return "", "", ""
	}
	user = u.User.Username()
	password, _ = u.User.Password()
	u.User = nil
	return u.String(), user, password
}

// Params returns what the URL of files says of their form, such as encoding. Nobody may change it.
func (l Location) Params() url.Values { return l.params }

// ParseURL reads the URL of a database: sqlite:FILE (relative to the working directory), sqlite:///FILE, postgres://... or
// postgresql://... It connects to nothing. Its errors have hints, and never repeat the URL, which may hold a password.
func ParseURL(s string) (Location, error) {
	scheme, _, found := strings.Cut(s, ":")
	switch {
	case strings.TrimSpace(s) == "":
		return Location{}, tasks.WithHint(nil, urlForms(), "the database URL is empty")
	case !found || strings.ContainsAny(scheme, `/\. `):
		return Location{}, tasks.WithHint(nil, "for a file write sqlite:FILE; "+urlForms(), "the database URL has no scheme")
	}
	known := slices.Concat([]string{"http", "https", metricsScheme}, searchSchemes, redisSchemes)
	var dialect Dialect
	for _, d := range dialects {
		schemes, _ := d.words().urls()
		if slices.Contains(schemes, scheme) {
			dialect = d
		}
		known = append(known, schemes...)
	}
	if !slices.Contains(known, scheme) {
		hint := urlForms()
		if meant := nearest(strings.ToLower(scheme), known); len(meant) > 0 {
			hint = "did you mean " + meant[0] + ":? " + hint
		}
		return Location{}, tasks.WithHint(nil, hint, "no database is known by the scheme %q", scheme)
	}
	if err := checkAddress(scheme, s); err != nil {
		return Location{}, err
	}
	switch {
	case scheme == "http" || scheme == "https":
		return parseAPI(s)
	case slices.Contains(redisSchemes, scheme):
		return parseRedis(scheme, s)
	case scheme == metricsScheme:
		return parseMetrics(s)
	case slices.Contains(searchSchemes, scheme):
		return parseSearch(scheme, s)
	}
	return dialect.words().parseURL(scheme, s)
}

// checkAddress refuses an address in which nobody can tell a password from the rest: url.Parse takes what stands before the last @ of the
// first part for user and password, drivers may take another, and what is behind a / or # would be shown.
func checkAddress(scheme, s string) error {
	rest, found := strings.CutPrefix(s, scheme+"://")
	files, _ := Files.words().urls()
	if !found || scheme == "sqlite" || slices.Contains(files, scheme) { // paths hold no secrets
		return nil
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
	}
	switch at := strings.Count(rest, "@"); {
	case at > 1, at == 1 && !strings.Contains(authority, "@"):
		return tasks.WithHint(nil, "write %40 for each other @, in a user name, a password, a path or a parameter; there, / ? # % must be percent-encoded as well (/ is %2F)", "the %s URL cannot be read: it has an @ besides the one before its host", scheme)
	case strings.Contains(rest, "#"):
		return tasks.WithHint(nil, "write %23 for a # in a user name, a password, a path or a parameter; characters like / ? @ % must be percent-encoded as well", "the %s URL cannot be read: it has a # in it", scheme)
	}
	return nil
}

// urlForms says how the URLs of databases are written.
func urlForms() string {
	var forms []string
	for _, d := range dialects {
		_, form := d.words().urls()
		forms = append(forms, form)
	}
	last := len(forms) - 1
	return "a database URL is " + strings.Join(forms[:last], ", ") + "; files are " + forms[last]
}

// parseAPI reads the base URL of an HTTP API, a target of plans. A user and a password in it are its credentials.
func parseAPI(s string) (Location, error) {
	const form = "write https://HOST/BASE, and credentials under connections in the configuration"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return Location{}, tasks.WithHint(nil, form, "the URL of the API cannot be read")
	case u.Host == "":
		return Location{}, tasks.WithHint(nil, form, "the URL of the API names no host")
	case u.RawQuery != "" || u.Fragment != "":
		return Location{}, tasks.WithHint(nil, "put the query into to.http.path of the plan", "the URL of an API has no query")
	}
	bare := *u
	bare.User = nil
	return Location{Dialect: Records, scheme: u.Scheme, dsn: s, redacted: redactURL(u), identity: "api\n" + strings.TrimRight(bare.String(), "/")}, nil
}

// parseFiles reads FORM:DIR?encoding=...; what the parameters may be is the reader's business.
func parseFiles(scheme, rest string) (Location, error) {
	folder, query, _ := strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(folder, "//"); ok {
		folder = after
	}
	if folder == "" || strings.ContainsRune(folder, 0) {
		return Location{}, tasks.WithHint(nil, "write "+scheme+":DIR, for example "+scheme+":export", "the %s URL names no folder", scheme)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return Location{}, tasks.WithHint(err, "write "+scheme+":DIR?encoding=cp1252", "the parameters of the %s URL cannot be read", scheme)
	}
	path, err := filepath.Abs(folder)
	if err != nil {
		return Location{}, tasks.WithHint(err, "name the folder by its absolute path", "cannot tell where %s is", folder)
	}
	return Location{Dialect: Files, scheme: scheme, path: path, params: params, redacted: scheme + ":" + rest,
		identity: scheme + "\n" + path + "\n" + params.Encode()}, nil
}

func parseSQLite(rest string) (Location, error) {
	file := rest
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		file = after
	}
	switch {
	case file == "":
		return Location{}, tasks.WithHint(nil, "write sqlite:FILE, for example sqlite:legacy.db", "the SQLite URL names no file")
	case strings.HasPrefix(file, ":memory:"):
		return Location{}, tasks.WithHint(nil, "write sqlite:FILE; several processes work on one migration",
			"a database in memory cannot be migrated")
	case strings.ContainsRune(file, 0):
		return Location{}, tasks.WithHint(nil, "write sqlite:FILE", "the SQLite URL holds a NUL byte")
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return Location{}, tasks.WithHint(err, "name the file by its absolute path", "cannot tell where %s is", file)
	}
	return Location{Dialect: SQLite, scheme: "sqlite", path: path, redacted: "sqlite:" + file, identity: "sqlite\n" + path}, nil
}

// parsePostgres never wraps the causes it meets: their texts quote parts of the URL, and with a password that is not
// percent-encoded nobody can tell which part is secret.
func parsePostgres(s string) (Location, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Location{}, tasks.WithHint(nil, "characters like / ? # @ % in a user name or password must be percent-encoded "+
			"(/ is %2F, @ is %40); "+urlForms(), "the PostgreSQL URL cannot be read")
	}
	if !strings.HasPrefix(s[strings.IndexByte(s, ':'):], "://") {
		return Location{}, tasks.WithHint(nil, urlForms(), "the PostgreSQL URL lacks the // after its scheme")
	}
	config, err := pgxpool.ParseConfig(s)
	if err != nil {
		return Location{}, tasks.WithHint(redactedCause(err), "check its parameters, and the PG* variables of the environment; "+urlForms(),
			"the PostgreSQL URL cannot be used")
	}
	var identity strings.Builder
	identity.WriteString("postgres\n")
	// Fallbacks repeat a host for each kind of encryption to try, and hold the further hosts of a list.
	hosts := []string{address(config.ConnConfig.Host, config.ConnConfig.Port)}
	for _, f := range config.ConnConfig.Fallbacks {
		if a := address(f.Host, f.Port); a != hosts[len(hosts)-1] {
			hosts = append(hosts, a)
		}
	}
	identity.WriteString(strings.Join(hosts, ",") + "\n" + config.ConnConfig.Database)
	// What changes the meaning of a name without a schema is part of which database this is.
	for _, name := range []string{"search_path", "options"} {
		if v := config.ConnConfig.RuntimeParams[name]; v != "" {
			identity.WriteString("\n" + name + "=" + v)
		}
	}
	return Location{Dialect: Postgres, scheme: "postgres", dsn: s, redacted: redactURL(u), identity: identity.String()}, nil
}

func address(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// redactedCause returns what is wrong with a connection string as far as that can be told without quoting from it.
func redactedCause(err error) error {
	for _, about := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "port", "target_session_attrs",
		"connect_timeout", "service", "pool_"} {
		if strings.Contains(err.Error(), about) {
			return errors.New("something about " + strings.TrimSuffix(about, "_") + " is wrong")
		}
	}
	return nil
}

// redactURL takes out all that is secret, and adds nothing.
func redactURL(u *url.URL) string {
	shown := *u
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "pass") {
			q.Del(name)
		}
	}
	shown.RawQuery, shown.Fragment, shown.RawFragment = q.Encode(), "", ""
	return shown.String()
}
