package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// rehearsedAPI is where a rehearsal sends records, in place of the API of the plan: an API within this process, and with --to a
// sandbox in the disturbed run.
type rehearsedAPI struct {
	endpoints []httpsink.Endpoint // of the plan, stage by stage
	own       database            // the API within this process
	sandbox   *database           // nil without --to
	server    *http.Server
	current   atomic.Pointer[httpsink.Recorder]
	calm      *httpsink.Recorder
	disturbed *httpsink.Recorder // nil in a sandbox
}

// ServeHTTP lets the recorder of the run answer that is going on.
func (api *rehearsedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if now := api.current.Load(); now != nil {
		now.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// start begins to serve, on a free port of loopback.
func (api *rehearsedAPI) start(ctx context.Context, data string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve the rehearsal's API: %w", err)
	}
	api.server = &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = api.server.Serve(l) }() // until close; whoever cannot reach it says so
	url := "http://" + l.Addr().String()
	if api.own.at, err = sqldb.ParseURL(url); err == nil {
		api.own.name, err = app.KeepConnection(data, url, api.own.at)
	}
	return err
}

func (api *rehearsedAPI) close() {
	if api.server != nil {
		_ = api.server.Close() // nothing is left that somebody waits for
	}
}

// apiPlaces makes ready what takes the place of the plan's API. Stint's own tables are in scratch files.
func (re *rehearsal) apiPlaces(ctx context.Context) error {
	if re.scratch != "" {
		given, err := re.database("--to", re.scratch)
		if err != nil {
			return err
		}
		if base, _, _ := given.at.API(); base == "" {
			return usage(tasks.WithHint(nil, "name a sandbox of the API, or leave --to away: an API within this process answers then",
				"--to %s is no API, and the stages of the plan send requests", given.at))
		}
		if name := re.m.plan.Target; name != "" {
			if target, err := re.database("target:", name); err == nil && target.at.ID() == given.at.ID() {
				return usage(tasks.WithHint(nil, "name a sandbox of the API, or leave --to away: an API within this process answers then", "--to is the target of the plan"))
			}
		}
		re.api.sandbox = &given
	}
	if err := re.api.start(ctx, re.config.Data); err != nil {
		return err
	}
	return re.openPlaces(ctx, nil)
}

// begin returns the move of a run, and the API that it goes to.
func (api *rehearsedAPI) begin(m *move, state *place, disturbed bool) (*move, database, error) {
	recorder, err := httpsink.NewRecorder(api.endpoints)
	if err != nil {
		return nil, database{}, err
	}
	run, p := *m, *m.plan
	p.State = "sqlite:" + state.at.Path()
	run.plan = &p
	if disturbed && api.sandbox != nil {
		api.current.Store(nil)
		return &run, *api.sandbox, nil
	}
	p.Stages = slices.Clone(p.Stages)
	for i := range p.Stages {
		e := api.endpoints[i].Recorded(i)
		p.Stages[i].To.HTTP = &e
	}
	if disturbed {
		api.disturbed = recorder
	} else {
		api.calm = recorder
	}
	api.current.Store(recorder)
	return &run, api.own, nil
}

// label names what a stage sends to.
func (api *rehearsedAPI) label(stage string, i int) string {
	method := api.endpoints[i].Method
	if method == "" {
		method = http.MethodPost
	}
	return stage + ": " + method + " " + api.endpoints[i].Path
}

// compareRecords compares what the API within this process has got in the two runs.
func (re *rehearsal) compareRecords(written map[string]tasks.Counters) {
	api := re.api
	for i := range re.m.plan.Stages {
		name := re.m.plan.Stages[i].Name
		calm := api.calm.Effects(i)
		row := rehearsedTable{Table: api.label(name, i), RowsCalm: calm.Records, ChecksumCalm: calm.Checksum}
		if api.disturbed == nil {
			// What it did with them only that API knows; the ledger knows which of them it has answered.
			row.Rows = written["load:"+name].Written
			if row.Equal = row.Rows == row.RowsCalm; !row.Equal {
				re.res.Differences = append(re.res.Differences, fmt.Sprintf("%s: %s records are answered, undisturbed %s", name, thousands(row.Rows), thousands(row.RowsCalm)))
			}
			re.note(fmt.Sprintf("%s: %s has answered that it took %s records, each under a key of its own; look there whether it has each of them once", name, api.sandbox.at, thousands(row.Rows)))
		} else {
			got := api.disturbed.Effects(i)
			lost, twice, shown := httpsink.CompareEffects(api.calm, api.disturbed, i, shownDifferences)
			re.res.Lost, re.res.Twice, re.res.Repeats = re.res.Lost+lost, re.res.Twice+twice, re.res.Repeats+got.Repeats
			row.Rows, row.Checksum, row.Equal = got.Records, got.Checksum, lost+twice == 0
			for _, text := range shown {
				re.res.Differences = append(re.res.Differences, name+": "+text)
			}
		}
		re.res.Rows += row.Rows
		re.res.Tables = append(re.res.Tables, row)
	}
}

// strange is an error when the API within this process could not understand the plan's requests.
func (api *rehearsedAPI) strange() error {
	if now := api.current.Load(); now != nil {
		if err := now.Strange(); err != nil {
			return tasks.WithHint(err, tasks.HintOf(err), "the API of this rehearsal cannot stand in for the plan's")
		}
	}
	return nil
}

// into names where a run goes to.
func (re *rehearsal) into(p *place) sqldb.Location {
	switch {
	case re.api == nil:
		return p.at
	case p == re.disturbed && re.api.sandbox != nil:
		return re.api.sandbox.at
	}
	return re.api.own.at
}
