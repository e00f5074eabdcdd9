package app

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Allow says why a job may not be carried out with the connections that its spec names; nil when it may. It is asked when a job is
// accepted, and by the worker before each step: the configuration may have changed since, and may be another here. stranger is a
// caller who sees single tenants alone: what a command line has kept in the data folder is not for them.
func (a *App) Allow(job tasks.Job, stranger bool) error {
	names, err := a.connectionsOf(job)
	if err != nil {
		return err
	}
	for _, name := range names {
		if c, ok := a.o.Connections.Get(name); ok {
			if !c.Allows(job.Tenant) {
				return notTheirs(name, job.Tenant)
			}
			continue
		}
		if stranger && strings.HasPrefix(name, adhocPrefix) {
			if _, err := readConnection(a.o.Data, name); err == nil {
				return notTheirs(name, job.Tenant)
			}
		}
	}
	return nil
}

func notTheirs(name, tenant string) error {
	return tasks.Permanent(tasks.WithHint(nil, "name one that is: connections say in the configuration which tenants they are for", "the connection %q is not for jobs of the tenant %q", name, tenant))
}

// connectionsOf lists the connections that a job may open: those that its family says, else every text of the spec.
func (a *App) connectionsOf(job tasks.Job) ([]string, error) {
	for _, f := range a.Families() {
		if c, ok := f.(tasks.Connector); ok && f.Kind() == job.Kind {
			return c.Connections(job.Spec)
		}
	}
	return textsOf(job.Spec)
}

// textsOf lists the texts of a JSON document; the names of its fields are none.
func textsOf(doc json.RawMessage) ([]string, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, "", "the spec is no JSON"))
	}
	var list []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			list = append(list, v)
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(v)
	return list, nil
}
