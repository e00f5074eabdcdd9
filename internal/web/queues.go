package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (s *Site) queueRoutes() {
	s.page("/queues", "queues", "queues", s.queues)
	s.action("/queues/maintenance/begin", s.beginMaintenance)
	s.action("/queues/maintenance/end", s.endMaintenance)
}

// queuesBody are the queues, and the kinds of which nothing is started.
type queuesBody struct {
	Queues  []queueRow
	Kinds   []wire.Kind // that may be put under maintenance
	Held    []heldKind
	Steer   bool
	Depth   int64
	Claimed int64
	Backlog int64
	Oldest  int64 // ms
}

// queueRow is a queue with who serves it.
type queueRow struct {
	wire.Queue
	Serving []wire.Worker // some of them
	More    int           // and so many more
	Others  int           // workers that would serve it and do not: they drain
	Rows    []queuePart
}

// queuePart is the part of a queue for one protocol and one band of priority, in words.
type queuePart struct {
	wire.QueuePart
	Text string
}

// heldKind is a kind under maintenance.
type heldKind struct {
	wire.Maintenance
	Jobs int64 // that are accepted and not started
}

// mostServing is how many workers of a queue are named.
const mostServing = 4

func (s *Site) queues(v *visit) (content, error) {
	queues, err := v.client.Queues(v.ctx)
	if err != nil {
		return content{}, err
	}
	ws, err := v.client.Workers(v.ctx)
	if err != nil {
		return content{}, err
	}
	kinds, err := v.client.Kinds(v.ctx)
	if err != nil {
		return content{}, err
	}
	counts, err := v.client.JobCounts(v.ctx)
	if err != nil {
		return content{}, err
	}
	b := queuesBody{Steer: steers(v.me)}
	for _, q := range queues {
		b.Queues = append(b.Queues, rowOf(q, ws))
		b.Depth, b.Claimed, b.Backlog, b.Oldest = b.Depth+q.Depth, b.Claimed+q.Claimed, b.Backlog+q.Backlog, max(b.Oldest, q.Latency)
	}
	slices.SortStableFunc(b.Queues, func(x, y queueRow) int { // what waits for nobody comes first
		return cmp.Compare(neglect(y.Queue), neglect(x.Queue))
	})
	for _, k := range kinds {
		if k.Maintenance == nil {
			b.Kinds = append(b.Kinds, k)
			continue
		}
		h := heldKind{Maintenance: *k.Maintenance}
		h.Kind = k.Kind
		for _, c := range counts {
			if c.Kind == k.Kind && c.State == tasks.Accepted {
				h.Jobs += c.Jobs
			}
		}
		b.Held = append(b.Held, h)
	}
	return content{Title: "Queues", Body: b}, nil
}

func neglect(q wire.Queue) int {
	if q.Workers == 0 && q.Backlog > 0 {
		return 1
	}
	return 0
}

func rowOf(q wire.Queue, ws []wire.Worker) queueRow {
	r := queueRow{Queue: q}
	for _, w := range ws {
		switch {
		case !slices.Contains(w.Queues, q.Name):
		case w.State == wire.WorkerActive && len(r.Serving) < mostServing:
			r.Serving = append(r.Serving, w)
		case w.State == wire.WorkerActive:
			r.More++
		case w.State == wire.WorkerDraining, w.State == wire.WorkerDrained:
			r.Others++
		}
	}
	for _, p := range q.Parts {
		r.Rows = append(r.Rows, queuePart{p, partText(q.Name, p.Name)})
	}
	return r
}

// partText says what the name of a part means: default.p2.high is "protocol 2, high priority".
func partText(queue, name string) string {
	rest, ok := strings.CutPrefix(name, queue+".p")
	if !ok {
		return name
	}
	protocol, band, _ := strings.Cut(rest, ".")
	return "protocol " + protocol + ", " + cmp.Or(band, "normal") + " priority"
}

func (s *Site) beginMaintenance(v *visit) (string, string, error) {
	kind, reason := v.PostFormValue("kind"), strings.TrimSpace(v.PostFormValue("reason"))
	if kind == "" {
		return "", "", badInput("choose the kind of jobs that is not to be started", "no kind is chosen")
	}
	if reason == "" {
		return "", "", badInput("say in a few words why, for those who wonder why their jobs do not start", "the maintenance of %s has no reason", kind)
	}
	return "/queues", fmt.Sprintf("%s is under maintenance: its jobs are accepted, and none is started.", kind), v.client.BeginMaintenance(v.ctx, kind, reason)
}

func (s *Site) endMaintenance(v *visit) (string, string, error) {
	kind := v.PostFormValue("kind")
	if kind == "" {
		return "", "", badInput("use the button beside it", "no kind is chosen")
	}
	return "/queues", fmt.Sprintf("The maintenance of %s has ended; what it held is started.", kind), v.client.EndMaintenance(v.ctx, kind)
}
