package app

import (
	"context"

	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// prometheus says how the Prometheus behind a connection's name is reached.
func (a *App) prometheus(name string) (promsource.Connection, error) {
	at, err := a.Locate(name)
	if err != nil {
		return promsource.Connection{}, err
	}
	c, _ := a.o.Connections.Get(name)
	return PrometheusConnection(at, c.APIAccess)
}

// search opens the Elasticsearch or OpenSearch behind a connection's name.
func (a *App) search(_ context.Context, name string) (source.Source, error) {
	c, ok := a.o.Connections.Get(name)
	if !ok {
		return nil, tasks.Permanent(tasks.WithHint(nil, "name it under connections in the configuration of every worker", "the connection %q is not known where this was asked for", name))
	}
	client, err := SearchServer(c)
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	return source.NewElastic(client), nil
}
