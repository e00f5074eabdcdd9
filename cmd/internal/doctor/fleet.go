package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// fleet is what the API says of those who do the work.
type fleet struct {
	about   *wire.About
	workers []wire.Worker
	queues  []wire.Queue
	kinds   []wire.Kind
}

// living are the workers that have said something lately and have not said good-bye.
func (f *fleet) living() []wire.Worker {
	return slices.DeleteFunc(slices.Clone(f.workers), func(w wire.Worker) bool { return w.State == wire.WorkerStopped || w.State == wire.WorkerLost })
}

// examineFleet looks at workers, queues, kinds, schedulers and tokens through the API.
func examineFleet(ctx context.Context, o Options) []Finding {
	n := &notes{subject: "fleet"}
	f := &fleet{}
	var err error
	if f.about, err = o.Client.About(ctx); err == nil {
		f.workers, err = o.Client.Workers(ctx)
	}
	if err == nil {
		f.queues, err = o.Client.Queues(ctx)
	}
	if err == nil {
		f.kinds, err = o.Client.Kinds(ctx)
	}
	if err != nil {
		if o.Server {
			n.subject = "server"
		}
		n.refusal("reachable", err)
		return n.list
	}
	if o.Server {
		n.server(f.about, o.Version)
	}
	// Without a Redis of its own each command is an engine by itself: that nobody else is there is as it should be.
	alone := o.App != nil && o.App.Local != nil
	n.subject = "fleet"
	n.workers(f, alone)
	n.states(f)
	n.queues(f)
	n.kinds(ctx, f, o.Client)
	if o.App != nil {
		n.subject = "scheduler"
		n.scheduler(ctx, o, alone && len(f.living()) == 0)
	}
	n.subject = "tokens"
	n.tokens(ctx, o)
	n.webhooks(ctx, o.Client)
	return n.list
}

// refusal is the finding that the API did not answer as it should.
func (n *notes) refusal(check string, err error) {
	n.failed(check, err)
	last := &n.list[len(n.list)-1]
	var p *wire.Problem
	var away *client.Unreachable
	switch {
	case errors.As(err, &p):
		last.Hint = p.Hint
	case errors.As(err, &away):
		last.Hint = "is it running, and is --server (or STINT_SERVER) right?"
	}
}

func (n *notes) server(about *wire.About, version string) {
	n.subject = "server"
	n.ok("reachable", "it answers; you are %s, role %s", about.Name, about.Role)
	if about.Version != version {
		n.add(Warning, "version", "use the same, when you can", "it is stint %s, this is stint %s", about.Version, version)
		return
	}
	n.ok("version", "stint %s", version)
}

// workers says who is there, and whether they are of one version and protocol.
func (n *notes) workers(f *fleet, alone bool) {
	living := f.living()
	backlog := int64(0)
	for _, q := range f.queues {
		backlog += q.Backlog
	}
	switch {
	case len(living) > 0:
	case alone:
		n.ok("workers", "none runs just now; a command that needs one runs its own")
		return
	case backlog > 0:
		n.add(Problem, "workers", "start one: stint worker", "none runs, and %d steps wait", backlog)
		return
	default:
		n.add(Warning, "workers", "start one: stint worker", "none runs")
		return
	}
	versions, protocols := map[string]int{}, map[int]bool{}
	for _, w := range living {
		versions[w.Version]++
		protocols[w.Protocol] = true
	}
	var list []string
	for _, v := range slices.Sorted(maps.Keys(versions)) {
		list = append(list, fmt.Sprintf("%s (%d)", v, versions[v]))
	}
	if len(versions) == 1 && len(protocols) == 1 {
		n.ok("workers", "%s of version %s", plural(len(living), "worker"), living[0].Version)
		return
	}
	text := fmt.Sprintf("%s of %d versions: %s", plural(len(living), "worker"), len(versions), strings.Join(list, ", "))
	if len(protocols) > 1 {
		text += fmt.Sprintf("; they speak %d protocols, and a worker takes no step of one that it cannot read", len(protocols))
	}
	n.add(Warning, "workers", "as it should be during a deployment; its end is: stint workers drain --not-version NEW --wait", "%s", text)
}

// states names the workers that do nothing, and why.
func (n *notes) states(f *fleet) {
	var lost, drained, fenced []string
	for _, w := range f.workers {
		switch {
		case w.State == wire.WorkerLost:
			lost = append(lost, w.ID)
		case w.State == wire.WorkerStopped:
		case w.Fenced != "":
			fenced = append(fenced, w.ID+" ("+w.Fenced+")")
		case w.State != wire.WorkerActive:
			drained = append(drained, w.ID)
		}
	}
	for _, s := range []struct {
		check, what, hint string
		ids               []string
	}{
		{"lost", "without a sign of life", "others have what they held; their log, or their machine's, says why they vanished", lost},
		{"drained", "drained or draining, which claim nothing", "stop them, or let them claim again: stint workers undrain ID", drained},
		{"fenced", "parked by a version fence", "stop them when nobody needs their version any more, or lift the fence", fenced},
	} {
		if len(s.ids) > 0 {
			n.add(Warning, s.check, s.hint, "%s %s: %s", plural(len(s.ids), "worker"), s.what, some(s.ids))
		}
	}
}

// some writes the first of a list that may be long.
func some(ids []string) string {
	const most = 5
	if len(ids) > most {
		return strings.Join(ids[:most], ", ") + fmt.Sprintf(" and %d more", len(ids)-most)
	}
	return strings.Join(ids, ", ")
}

// queues finds steps that no worker takes.
func (n *notes) queues(f *fleet) {
	active := slices.DeleteFunc(f.living(), func(w wire.Worker) bool { return w.State != wire.WorkerActive })
	bad := false
	for _, q := range f.queues {
		if q.Backlog > 0 && q.Workers == 0 && len(f.living()) > 0 { // that there is no worker at all has been said
			bad = true
			n.add(Problem, "queues", "start one: stint worker --queue "+q.Name, "no active worker serves the queue %s, on which %d steps wait", q.Name, q.Backlog)
			continue
		}
		for _, part := range q.Parts {
			protocol := protocolOf(q.Name, part.Name)
			reads := func(w wire.Worker) bool {
				return slices.Contains(w.Queues, q.Name) && max(w.Reads, 1) <= protocol && protocol <= w.Protocol
			}
			if protocol > 0 && part.Depth > 0 && q.Workers > 0 && !slices.ContainsFunc(active, reads) {
				bad = true
				n.add(Problem, "queues", "start a worker of the version that accepted these jobs, or of a later one that still reads them",
					"%d steps on the queue %s are of protocol %d, which no active worker reads", part.Depth, q.Name, protocol)
			}
		}
	}
	if !bad && len(active) > 0 {
		n.ok("queues", "%s, each with a worker", plural(len(f.queues), "queue"))
	}
}

// protocolOf reads the protocol out of the full name of a part of a queue, such as default.p1.high; 0 when there is none.
func protocolOf(queue, part string) int {
	rest, ok := strings.CutPrefix(part, queue+".p")
	if !ok {
		return 0
	}
	digits, _, _ := strings.Cut(rest, ".")
	p, _ := strconv.Atoi(digits)
	return p
}

// kinds finds jobs that nobody can carry out, and those that are held. A worker that does not say what it can do can do all.
func (n *notes) kinds(ctx context.Context, f *fleet, api *client.Client) {
	living := f.living()
	for _, k := range f.kinds {
		if m := k.Maintenance; m != nil {
			n.add(Warning, "kinds", "when that is over: stint kinds release "+k.Kind, "%s is held since %s by %s (%s): its jobs are accepted, and not started",
				k.Kind, m.At.Format(time.RFC3339), m.By, m.Reason)
		}
		can := func(w wire.Worker) bool { return len(w.Kinds) == 0 || slices.Contains(w.Kinds, k.Kind) }
		if len(living) == 0 || slices.ContainsFunc(living, can) {
			continue
		}
		jobs, err := api.Jobs(ctx, client.Filter{Kind: k.Kind, States: []tasks.State{tasks.Accepted, tasks.Planning, tasks.Running}, Limit: 1})
		switch {
		case err != nil:
			n.refusal("kinds", err)
		case len(jobs.Jobs) > 0:
			n.add(Problem, "kinds", "start a worker that can", "no worker can carry out jobs of kind %s, and there are some: %s", k.Kind, jobs.Jobs[0].ID)
		default:
			n.add(Warning, "kinds", "start a worker that can, before there are some", "no worker can carry out jobs of kind %s", k.Kind)
		}
	}
}

// handOver bounds the time in which one scheduler may follow another.
const handOver = 2 * time.Second

// scheduler says whether somebody looks for what was lost.
func (n *notes) scheduler(ctx context.Context, o Options, idle bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	deadline := time.After(handOver)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		who, err := o.App.Store.Sweeper(ctx)
		switch {
		case err != nil:
			n.failed("sweep", err)
			return
		case who != "":
			n.ok("sweep", "%s looks for what was lost", who)
			return
		case idle:
			n.ok("sweep", "none runs just now; a command that needs one runs its own")
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			n.add(Problem, "sweep", "start one: stint scheduler, or stint up", "none runs: what a worker held that died is given to nobody")
			return
		}
	}
}

func (n *notes) tokens(ctx context.Context, o Options) {
	tokens, err := o.Client.Tokens(ctx)
	var p *wire.Problem
	switch {
	case errors.As(err, &p) && p.Code == wire.CodeForbidden:
		n.add(Warning, "tokens", "use a token of the role admin", "they cannot be seen: %s", p.Detail)
		return
	case err != nil:
		n.refusal("tokens", err)
		return
	case len(tokens) == 0:
		n.add(OK, "tokens", "make the first one before others are to reach it: stint tokens create --role admin --name NAME", "none: the API listens on loopback only, and lets everybody on its machine do everything")
		return
	}
	var expired []string
	for _, t := range tokens {
		if t.ExpiresAt != nil && !t.ExpiresAt.After(o.Now()) {
			expired = append(expired, t.ID+" ("+t.Name+")")
		}
	}
	if len(expired) > 0 {
		n.add(Warning, "tokens", "make new ones for those who need them, and revoke these: stint tokens revoke ID", "%d of %d have expired: %s", len(expired), len(tokens), some(expired))
		return
	}
	n.ok("tokens", "%s", plural(len(tokens), "token"))
}

// webhooks finds those whose messages do not arrive. Where there are none, there is nothing to say.
func (n *notes) webhooks(ctx context.Context, api *client.Client) {
	n.subject = "webhooks"
	all, err := api.Webhooks(ctx)
	var p *wire.Problem
	if errors.As(err, &p) && p.Code == wire.CodeNotFound {
		return // a server of a version that has none
	}
	if err != nil {
		n.refusal("webhooks", err)
		return
	}
	for _, w := range all {
		n.subject = "webhook " + w.Name
		if w.State == wire.WebhookActive {
			n.ok("arrives", "%d messages have arrived, %d wait", w.Delivered, w.Pending)
			continue
		}
		hint := "mend the receiver; then: stint webhooks test " + w.Name
		if w.State == wire.WebhookEnded {
			hint = "take it out of the configuration or, when the receiver takes messages again: stint webhooks test " + w.Name
		}
		since := "always"
		if w.Failing != nil {
			since = w.Failing.Format(time.RFC3339)
		}
		n.add(Warning, "arrives", hint, "messages do not arrive since %s (%s): %d wait, %d were given up", since, w.LastError, w.Pending, w.GaveUp)
	}
}
