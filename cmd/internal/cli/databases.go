package cli

import (
	"context"
	"strings"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// database is a database that the command line named: by its connection's name, or by a URL.
type database struct {
	name  string // what jobs call it
	at    sqldb.Location
	named bool // by its connection's name
}

// asked is what a plan calls it: the connection's name, behind which the password stays, or else the address without one.
func (d database) asked() string {
	if d.named {
		return d.name
	}
	return d.at.Redacted()
}

// database resolves what stands behind --from or --to. A URL is kept in the data folder under a name of its own, so that
// jobs, reports and logs hold names alone. flag is what errors begin with; "" where the place is known otherwise.
func (c *command) database(flag, text string) (database, error) {
	if text == "" {
		return database{}, usage(tasks.WithHint(nil, "give a connection's name from the configuration, or a URL: sqlite:FILE or postgres://user@host/database", "%s is missing", flag))
	}
	if c.remote() {
		if strings.Contains(text, ":") {
			return database{}, usage(tasks.WithHint(nil, "give the name that it has under connections in the stint.yaml of the server and its workers", "%s: a server takes names of connections, not addresses", strings.TrimSpace(flag+" "+redact(text))))
		}
		return database{name: text, named: true}, nil
	}
	if conn, ok := c.config.Connections.Get(text); ok {
		at, err := address(conn.DSN())
		return database{conn.Name, at, true}, usage(err)
	}
	if !strings.Contains(text, ":") {
		var known []string
		for _, conn := range c.config.Connections {
			known = append(known, conn.Name)
		}
		hint := "write a URL (sqlite:FILE, postgres://user@host/database), or name it under connections in stint.yaml"
		if len(known) > 0 {
			hint = "the configuration knows " + strings.Join(known, ", ") + "; or write a URL"
		}
		if flag != "" {
			flag += ": "
		}
		return database{}, usage(tasks.WithHint(nil, hint, "%sthere is no connection %q", flag, text))
	}
	at, err := address(text)
	if err != nil {
		return database{}, usage(err)
	}
	name, err := app.KeepConnection(c.config.Data, text, at)
	return database{name, at, false}, err
}

// address reads an address, with the parameters that those of files have.
func address(text string) (sqldb.Location, error) {
	at, err := sqldb.ParseURL(text)
	if err == nil && at.Dialect == sqldb.Files {
		err = flatfile.Check(at)
	}
	return at, err
}

// source resolves what stands behind --from, or in the plan.
func (c *command) source(m *move) (database, error) {
	if m.planned.from {
		return c.entry(m, "source", m.from)
	}
	return c.database("--from", m.from)
}

// target resolves what stands behind --to: a database, or with a plan the store of artifacts.
func (c *command) target(m *move) (database, error) {
	if _, named := c.config.Connections.Get(plan.Artifacts); m.to != plan.Artifacts || m.plan == nil || named || c.remote() {
		if m.planned.to {
			return c.entry(m, "target", m.to)
		}
		return c.database("--to", m.to)
	}
	at, err := app.ArtifactsLocation(c.config.Artifacts, c.config.Data)
	return database{plan.Artifacts, at, true}, usage(err)
}

// open connects to a database to see that it is there; its errors end the command with the code for that.
func (d database) open(ctx context.Context, readOnly bool) (*sqldb.DB, error) {
	switch {
	case d.at.Dialect == sqldb.Files && readOnly:
		files, err := flatfile.Open(d.at, flatfile.Options{})
		if err != nil {
			return nil, unreachable(err)
		}
		return sqldb.OpenTabular(d.at, files), nil
	case d.at.Dialect == sqldb.Files:
		return nil, usage(tasks.WithHint(nil, "a plan writes files with to: {file: ...} and --to artifacts", "%s can only be read", d.at))
	case d.at.Dialect == sqldb.Redis:
		return nil, usage(tasks.WithHint(nil, "name it with ids: in a plan", "%s is a Redis, which keeps the ids of a plan and has no tables", d.at))
	case d.at.Dialect == sqldb.Metrics, d.at.Dialect == sqldb.Search:
		return nil, usage(tasks.WithHint(nil, "name it with source: in an alert rule", "%s is for alert rules, and has no tables", d.at))
	case d.at.Dialect == sqldb.Records:
		return nil, usage(tasks.WithHint(nil, "give a plan, whose stages say what is sent: to: {http: ...}", "%s is an API, which has no tables", d.at))
	}
	db, err := sqldb.Open(ctx, d.at, sqldb.Options{ReadOnly: readOnly})
	return db, unreachable(err)
}

// redact keeps the scheme of an address, which may hold a password.
func redact(address string) string {
	scheme, _, _ := strings.Cut(address, ":")
	return scheme + ":..."
}
