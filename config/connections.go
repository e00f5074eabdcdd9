package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Connection is a database by the name that jobs know it by.
type Connection struct {
	// Name is letters, digits, _, - and .; case counts.
	Name string `key:"name" jsonschema:"required"`
	// URL is sqlite:, postgres://, postgresql://, mysql:// or mariadb://; to read from, firebird:// or sqlserver://, and files by csv:, tsv:, ndjson: or dbf:;
	// an API by https:// or http://; for the ids of plans a Redis by redis://, rediss:// or unix://; for alert rules a Prometheus by
	// prometheus://, or a search server by elasticsearch:// or opensearch://.
	URL URL `key:"url"`
	// Password goes into URL; "" means the one in the URL.
	Password Secret `key:"password"`
	APIAccess
	// Schema is where names without a schema are found and made, PostgreSQL only; "" means the URL's or the default.
	Schema string `key:"schema"`
	// Pool is the most connections that one process opens to it at a time; 0 means as many as its steps need.
	Pool int `key:"pool"`
	// ConnectTimeout is how long a connection may take to open; 0 means the URL's or the driver's own.
	ConnectTimeout time.Duration `key:"connect_timeout"`
	// Tenants are those whose jobs may use it; none means all.
	Tenants []string `key:"tenants"`
}

// Allows reports whether jobs of a tenant may use the connection.
func (c Connection) Allows(tenant string) bool {
	return len(c.Tenants) == 0 || slices.Contains(c.Tenants, tenant)
}

// DSN returns the URL with the password and the schema in it. It is for the driver alone, never for a log or a report.
func (c Connection) DSN() string {
	dsn := c.URL.withPassword(c.Password)
	if c.Schema == "" || !postgresSchemes[c.URL.Scheme()] {
		return dsn
	}
	return withSearchPath(dsn, c.Schema)
}

// Connections are in the order in which their names first appeared.
type Connections []Connection

// Get returns the connection of a name, and whether there is one.
func (c Connections) Get(name string) (Connection, bool) {
	for _, conn := range c {
		if conn.Name == name {
			return conn, true
		}
	}
	return Connection{}, false
}

func (c Connection) check(k *checker) {
	part := func(name string) string { return itemKey("connections", c.Name, name) }
	key, scheme := part("url"), c.URL.Scheme()
	form, known := connectionSchemes[scheme]
	switch {
	case c.URL.IsZero():
		k.add(key, "write one of "+schemeList(), "is missing")
	case !known:
		k.add(key, "write one of "+schemeList(), "no connection is made by the scheme %q", scheme)
	case postgresSchemes[scheme]:
		u, err := url.Parse(c.URL.Reveal())
		if err != nil || u.Opaque != "" || u.Host == "" && u.RawQuery == "" {
			// The error's own text may quote the URL.
			k.add(key, "write "+form, "%s is no address", c.URL)
		} else if c.Schema != "" && hasSearchPath(u.Query()) {
			k.add(part("schema"), "leave one of them away", "the url has a search_path already")
		}
	case mysqlSchemes[scheme]:
		u, err := url.Parse(c.URL.Reveal())
		if err != nil || u.Opaque != "" || len(u.Path) < 2 {
			k.add(key, "write "+form, "%s is no address of a database", c.URL)
		}
		if c.Schema != "" {
			k.add(part("schema"), "name the database in the url", "only PostgreSQL has schemas")
		}
	case sourceSchemes[scheme]:
		u, err := url.Parse(c.URL.Reveal())
		if err != nil || u.Opaque != "" || u.Host == "" || scheme == "firebird" && len(u.Path) < 2 || scheme == "sqlserver" && !u.Query().Has("database") {
			k.add(key, "write "+form, "%s is no address of a database", c.URL)
		}
		if c.Schema != "" {
			k.add(part("schema"), "remove it", "only PostgreSQL has schemas")
		}
	case redisSchemes[scheme]:
		u, err := url.Parse(c.URL.Reveal())
		if err != nil || u.Opaque != "" || u.Host == "" && scheme != "unix" || u.Path == "" && scheme == "unix" {
			k.add(key, "write "+form, "%s is no address of a Redis", c.URL)
		}
		if c.Schema != "" {
			k.add(part("schema"), "remove it", "only PostgreSQL has schemas")
		}
	case apiSchemes[scheme]:
		u, err := url.Parse(c.URL.Reveal())
		if err != nil || u.Opaque != "" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			k.add(key, "write "+form, "%s is no address of an API", c.URL)
		}
		if c.Schema != "" {
			k.add(part("schema"), "remove it", "only PostgreSQL has schemas")
		}
		c.APIAccess.check(k, part, !c.Password.IsZero() || c.URL.hasPassword(), scheme == "https")
	case metricsSchemes[scheme]:
		c.checkMetrics(k, part, form)
	case searchSchemes[scheme]:
		c.checkSearch(k, part, form)
	default: // a file
		if len(c.URL.Reveal()) == len(scheme)+1 {
			k.add(key, "write "+form, "names no path")
		}
		if !c.Password.IsZero() {
			k.add(part("password"), "remove it", "a path has no password")
		}
		if c.Schema != "" {
			k.add(part("schema"), "remove it", "only PostgreSQL has schemas")
		}
	}
	if !apiSchemes[scheme] && !metricsSchemes[scheme] && !searchSchemes[scheme] {
		c.forAPIs(k, part)
	}
	if slices.Contains(c.Tenants, "*") {
		k.add(part("tenants"), "leave it away for all", "want names of tenants")
	}
	k.notNegative(part("pool"), c.Pool, "0 is as many as the steps need")
	if c.ConnectTimeout < 0 {
		k.add(part("connect_timeout"), "0 is the driver's own", "want 0 or more, got %s", c.ConnectTimeout)
	}
}

// connectionSchemes are those that can be opened, and how one is written.
var connectionSchemes = map[string]string{
	"sqlite": "sqlite:FILE", "postgres": "postgres://HOST/DATABASE", "postgresql": "postgresql://HOST/DATABASE",
	"mysql": "mysql://HOST/DATABASE", "mariadb": "mariadb://HOST/DATABASE",
	"firebird": "firebird://HOST/PATH", "sqlserver": "sqlserver://HOST?database=DATABASE",
	"csv": "csv:DIR", "tsv": "tsv:DIR", "ndjson": "ndjson:DIR", "dbf": "dbf:DIR",
	"http": "http://HOST/BASE", "https": "https://HOST/BASE",
	"prometheus":    "prometheus://HOST:9090/PREFIX",
	"elasticsearch": "elasticsearch://HOST:9200", "opensearch": "opensearch://HOST:9200",
	"redis": "redis://HOST:6379/0", "rediss": "rediss://HOST:6379/0", "unix": "unix:///PATH",
}

// searchSchemes are those of search servers, which alerts ask; what a URL of them can say is the business of who asks.
var searchSchemes = map[string]bool{"elasticsearch": true, "opensearch": true}

// checkSearch looks at a search server. It has what APIs have besides OAuth.
func (c Connection) checkSearch(k *checker, part func(string) string, form string) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || u.Opaque != "" || u.Host == "" || u.Fragment != "" {
		k.add(part("url"), "write "+form, "%s is no address of a search server", c.URL)
		return
	}
	if c.Schema != "" {
		k.add(part("schema"), "remove it", "only PostgreSQL has schemas")
	}
	query := u.Query()
	credentials := 0
	for _, has := range []bool{u.User != nil, query.Has("api_key"), query.Has("token"), !c.Token.IsZero()} {
		if has {
			credentials++
		}
	}
	if credentials > 1 {
		k.add(part("url"), "leave all but one away", "has more than one of a user, api_key and token")
	}
	if !c.Password.IsZero() && u.User == nil {
		k.add(part("password"), "write "+strings.Replace(form, "://", "://USER@", 1), "has no user to go with")
	}
	if !c.TokenURL.IsZero() {
		k.add(part("token_url"), "set token", "search servers have none")
		return
	}
	c.APIAccess.check(k, part, false, query.Get("tls") == "true")
}

// redisSchemes are those of a Redis, which keeps the ids of plans with ids:.
var redisSchemes = map[string]bool{"redis": true, "rediss": true, "unix": true}

// metricsSchemes are those of servers of metrics, which alert rules ask.
var metricsSchemes = map[string]bool{"prometheus": true}

// checkMetrics looks at a connection to a Prometheus: it is reached as an API is, and by https where its address says tls.
func (c Connection) checkMetrics(k *checker, part func(string) string, form string) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || u.Opaque != "" || u.Hostname() == "" || u.Fragment != "" {
		k.add(part("url"), "write "+form, "%s is no address of a Prometheus", c.URL)
		return
	}
	tls := u.Query().Get("tls")
	if tls != "" && tls != "false" && tls != "true" && tls != "skip-verify" || len(u.Query()) > 1 || len(u.Query()) == 1 && tls == "" {
		k.add(part("url"), "write "+form+"?tls=true, false or skip-verify", "%s has parameters that are not known", c.URL)
	}
	if c.Schema != "" {
		k.add(part("schema"), "remove it", "only PostgreSQL has schemas")
	}
	if !c.TokenURL.IsZero() {
		k.add(part("token_url"), "give a token, or a user and a password", "a Prometheus is not asked with tokens that are fetched")
		return
	}
	if (tls == "" || tls == "false") && (c.CA != "" || c.Cert != "" || c.Key != "") {
		k.add(part("url"), "add ?tls=true, or remove ca, cert and key", "has no certificates")
		return
	}
	c.APIAccess.check(k, part, !c.Password.IsZero() || c.URL.hasPassword(), true)
}

var apiSchemes = map[string]bool{"http": true, "https": true}

var postgresSchemes = map[string]bool{"postgres": true, "postgresql": true}

var mysqlSchemes = map[string]bool{"mysql": true, "mariadb": true}

// sourceSchemes are those of servers that rows are only read from.
var sourceSchemes = map[string]bool{"firebird": true, "sqlserver": true}

// schemeList returns the forms of all schemes, for hints.
func schemeList() string {
	forms := make([]string, 0, len(connectionSchemes))
	for _, form := range connectionSchemes {
		forms = append(forms, form)
	}
	slices.Sort(forms)
	return strings.Join(forms, ", ")
}

var plainSchema = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// withSearchPath puts a schema into the query of a PostgreSQL address, and leaves the rest of it as it was written: to
// encode a query anew would make + of its spaces, which only web servers read as spaces.
func withSearchPath(address, schema string) string {
	if !plainSchema.MatchString(schema) {
		// search_path is a list of identifiers: without quotes a comma would separate and upper case be lost.
		schema = `"` + strings.ReplaceAll(schema, `"`, `""`) + `"`
	}
	value := strings.ReplaceAll(url.QueryEscape(schema), "+", "%20")
	before, query, _ := strings.Cut(address, "?")
	if query = strings.TrimRight(query, "&"); query != "" {
		query += "&"
	}
	return before + "?" + query + "search_path=" + value
}

// hasSearchPath reports whether the query of a PostgreSQL address sets search_path, by itself or within options.
func hasSearchPath(query url.Values) bool {
	for name, values := range query {
		if strings.EqualFold(name, "search_path") || name == "options" && slices.ContainsFunc(values, func(v string) bool {
			return strings.Contains(strings.ReplaceAll(strings.ToLower(v), "-", "_"), "search_path")
		}) {
			return true
		}
	}
	return false
}
