package config_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/config"
)

func TestTheSchemaGoesIntoTheURLAndTheRestStaysAsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, password, schema string
		dsn, path             string // path is what the server is told
	}{
		{"postgres://u@h/db", "", "sales", "postgres://u@h/db?search_path=sales", "sales"},
		{"postgresql://u@h:5433/db?sslmode=disable", "p w", "sales", "postgresql://u:p%20w@h:5433/db?sslmode=disable&search_path=sales", "sales"},
		{"postgres://u@h/db?options=-c%20geqo%3Doff&", "", "x", "postgres://u@h/db?options=-c%20geqo%3Doff&search_path=x", "x"},
		{"postgres:///db?host=/tmp", "", "x", "postgres:///db?host=/tmp&search_path=x", "x"},
		{"postgres://u@h/db?", "", "Sales", "postgres://u@h/db?search_path=%22Sales%22", `"Sales"`},
		{"postgres://u@h/db", "", `a b+c="d",é`, "postgres://u@h/db?search_path=%22a%20b%2Bc%3D%22%22d%22%22%2C%C3%A9%22", `"a b+c=""d"",é"`},
		{"postgres://u@h/db?search_path=a,b", "", "", "postgres://u@h/db?search_path=a,b", "a,b"},
	} {
		conn := config.Connection{Name: "x", URL: config.NewURL(c.url), Password: config.NewSecret(c.password), Schema: c.schema}
		dsn := conn.DSN()
		if dsn != c.dsn {
			t.Errorf("%s and %q: got %s, want %s", c.url, c.schema, dsn, c.dsn)
		}
		parsed, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if got := parsed.RuntimeParams["search_path"]; got != c.path || parsed.Database != "db" || parsed.Password != c.password {
			t.Errorf("the driver reads %s as search_path %s of database %s", dsn, got, parsed.Database)
		}
		if c.url == "postgres://u@h/db?options=-c%20geqo%3Doff&" && parsed.RuntimeParams["options"] != "-c geqo=off" {
			t.Errorf("the options have become %q", parsed.RuntimeParams["options"])
		}
	}
}

func TestASchemaThatCannotCountIsRefused(t *testing.T) {
	t.Parallel()
	const twice = "the url has a search_path already (leave one of them away)"
	for url, want := range map[string]string{
		"postgres://u@h/db?search_path=a":                   twice,
		"postgresql://u@h/db?sslmode=disable&Search_Path=a": twice,
		"postgres://u@h/db?options=-c%20search_path%3Da":    twice,
		"postgres://u@h/db?options=--search-path%3Da":       twice,
		"sqlite:x.db": "only PostgreSQL has schemas (remove it)",
		"postgres://u@h/db?application_name=search_path":      "",
		"postgres://u@h/db?options=-c%20statement_timeout=1s": "",
	} {
		file := write(t, map[string]string{"stint.yaml": "connections:\n  - name: c\n    url: " + url + "\n    schema: s\n"})
		if want == "" {
			load(t, config.Options{File: file})
			continue
		}
		if got, want := problems(t, config.Options{File: file}), "stint.yaml:4:13: connections.c.schema: "+want+"\n"; got != want {
			t.Errorf("%s: got %swant %s", url, got, want)
		}
	}
}

func TestEachFormOfAConnectionIsTakenAndOthersAreNot(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"sqlite:x.db", "postgres://h/x", "mysql://h/x", "csv:dir", "tsv:dir?encoding=cp1252", "ndjson:dir", "dbf:dir", "http://h/x", "HTTPS://h/x",
		"redis://h", "rediss://u@h:6379/1?addr=h2:1", "unix:///run/redis.sock", "elasticsearch://h", "opensearch://u@h:9200,h2:9200/x?tls=true",
		"prometheus://h", "prometheus://h:9090/prom?tls=true"} {
		file := write(t, map[string]string{"stint.yaml": "connections: [{name: c, url: '" + url + "'}]\n"})
		load(t, config.Options{File: file})
	}
	for url, want := range map[string]string{
		"oracle://h/x":             `no connection is made by the scheme "oracle" (write one of csv:DIR, `,
		"csv:":                     "names no path (write csv:DIR)",
		"https://h?a=":             "is no address of an API (write https://HOST/BASE)",
		"redis:1":                  "is no address of a Redis (write redis://HOST:6379/0)",
		"unix:":                    "is no address of a Redis (write unix:///PATH)",
		"elasticsearch:h":          "is no address of a search server (write elasticsearch://HOST:9200)",
		"opensearch://u@h?token=t": "has more than one of a user, api_key and token (leave all but one away)",
		"http:h":                   "is no address of an API (write http://HOST/BASE)",
		"prometheus:h":             "is no address of a Prometheus (write prometheus://HOST:9090/PREFIX)",
		"prometheus://h?tls=1":     "has parameters that are not known",
	} {
		file := write(t, map[string]string{"stint.yaml": "connections: [{name: c, url: '" + url + "'}]\n"})
		if got := problems(t, config.Options{File: file}); !strings.HasPrefix(got, "stint.yaml:1:30: connections.c.url: ") || !strings.Contains(got, want) {
			t.Errorf("%s: got %swant %s", url, got, want)
		}
	}
}

func TestAMySQLAddressNamesItsDatabase(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mysql://u@h/db": "", "mariadb://u@h:3307/db?tls=true": "", "mysql://u@/db?socket=/run/mysqld/mysqld.sock": "",
		"mysql:db":        "stint.yaml:3:10: connections.c.url: [redacted] is no address of a database (write mysql://HOST/DATABASE)\n",
		"mysql://u@h:1/":  "stint.yaml:3:10: connections.c.url: mysql://u@h:1/ is no address of a database (write mysql://HOST/DATABASE)\n",
		"mariadb://u@h:1": "stint.yaml:3:10: connections.c.url: mariadb://u@h:1 is no address of a database (write mariadb://HOST/DATABASE)\n",
	} {
		file := write(t, map[string]string{"stint.yaml": "connections:\n  - name: c\n    url: " + url + "\n    password: env:PW\n"})
		options := config.Options{File: file, Env: config.Env{"PW=p@ss"}}
		if want != "" {
			if got := problems(t, options); got != want {
				t.Errorf("got %swant %s", got, want)
			}
			continue
		}
		loaded, _ := load(t, options)
		if got, want := loaded.Connections[0].DSN(), strings.Replace(url, "u@", "u:p%40ss@", 1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAnAddressOfFirebirdOrSQLServerNamesItsDatabase(t *testing.T) {
	t.Parallel()
	const fb, ms = " (write firebird://HOST/PATH)\n", " (write sqlserver://HOST?database=DATABASE)\n"
	for url, want := range map[string]string{
		"firebird://u@h/legacy?charset=WIN1252": "", "firebird://u@h:3051/C:/data/shop.fdb": "", "firebird://u@h//srv/shop.fdb?role=READER": "",
		"sqlserver://u@h?database=shop": "", "sqlserver://u@h/SQLEXPRESS?database=shop&encrypt=strict": "",
		"firebird://u@h":          "firebird://u@h is no address of a database" + fb,
		"firebird:shop.fdb":       "[redacted] is no address of a database" + fb,
		"sqlserver://u@h":         "sqlserver://u@h is no address of a database" + ms,
		"sqlserver://u@h/shop":    "sqlserver://u@h/shop is no address of a database" + ms,
		"sqlserver:database=shop": "[redacted] is no address of a database" + ms,
	} {
		file := write(t, map[string]string{"stint.yaml": "connections:\n  - name: c\n    url: " + url + "\n    password: env:PW\n"})
		options := config.Options{File: file, Env: config.Env{"PW=p@ss"}}
		if want != "" {
			if got, want := problems(t, options), "stint.yaml:3:10: connections.c.url: "+want; got != want {
				t.Errorf("got %swant %s", got, want)
			}
			continue
		}
		loaded, _ := load(t, options)
		if got, want := loaded.Connections[0].DSN(), strings.Replace(url, "u@", "u:p%40ss@", 1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAPrometheusIsReachedAsAnAPIIs(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"stint.yaml": "connections:\n  - name: prom\n    url: prometheus://me@h/prom?tls=true\n    password: env:PW\n    headers: 'X-Scope-OrgID: us'\n"})
	loaded, _ := load(t, config.Options{File: file, Env: config.Env{"PW=p@ss"}})
	c := loaded.Connections[0]
	if c.DSN() != "prometheus://me:p%40ss@h/prom?tls=true" || len(c.HeaderMap()) != 1 || strings.Contains(c.URL.String(), "p@ss") {
		t.Errorf("got %s and %v", c.DSN(), c.HeaderMap())
	}
	for text, want := range map[string]string{
		"url: prometheus://h, ca: x.pem":                          "connections.c.url: has no certificates (add ?tls=true, or remove ca, cert and key)",
		"url: prometheus://h, schema: s":                          "connections.c.schema: only PostgreSQL has schemas (remove it)",
		"url: prometheus://h, token_url: https://l, client_id: x": "connections.c.token_url: a Prometheus is not asked with tokens that are fetched",
		"url: 'prometheus://h?tls=true', header: X-Key":           "connections.c.token: is missing",
	} {
		file := write(t, map[string]string{"stint.yaml": "connections: [{name: c, " + text + "}]\n"})
		if got := problems(t, config.Options{File: file}); !strings.Contains(got, want) {
			t.Errorf("%s: got %swant %s", text, got, want)
		}
	}
}

func TestTheSecretsOfASearchServerAreHidden(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"stint.yaml": "connections:\n  - {name: logs, url: 'elasticsearch://stint@a:9200,b:9200/x?tls=true', password: env:PW}\n  - {name: other, url: 'opensearch://h?api_key=hidden'}\n  - {name: key, url: 'elasticsearch://h', header: Authorization, token: env:PW}\n"})
	loaded, _ := load(t, config.Options{File: file, Env: config.Env{"PW=p@ss"}})
	for i, want := range []struct{ shown, whole string }{
		{"elasticsearch://stint@a:9200,b:9200/x?tls=[redacted]", "elasticsearch://stint:p%40ss@a:9200,b:9200/x?tls=true"}, {"opensearch://h?api_key=[redacted]", "opensearch://h?api_key=hidden"}, {"elasticsearch://h", "elasticsearch://h"},
	} {
		if c := loaded.Connections[i]; c.URL.String() != want.shown || c.DSN() != want.whole {
			t.Errorf("shown is %s, and whole it is %s", c.URL, c.DSN())
		}
	}
	for parts, want := range map[string]string{
		"password: env:PW": "connections.c.password: has no user to go with (write elasticsearch://USER@HOST:9200)", "schema: x": "connections.c.schema: only PostgreSQL has schemas (remove it)",
		"token_url: 'https://h/t'": "connections.c.token_url: search servers have none (set token)", "ca: x.pem": "has no certificates",
	} {
		file := write(t, map[string]string{"stint.yaml": "connections: [{name: c, url: 'elasticsearch://h', " + parts + "}]\n"})
		if got := problems(t, config.Options{File: file, Env: config.Env{"PW=x"}}); !strings.Contains(got, want) {
			t.Errorf("%s: got %swant %s", parts, got, want)
		}
	}
}
