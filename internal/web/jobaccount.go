package web

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
)

// The account of a job costs more than the rest of its page: it asks the target's ledger. An open page keeps it, and reads it again
// only when the job's events have something that the page shows of it.
const (
	accountPause    = 3 * time.Second  // between two readings, of a job that has not ended
	accountFresh    = 30 * time.Second // then it is read again whatever happened: a verification is no event of the job
	accountPatience = 5 * time.Second  // so long a page waits for it
	accountsKept    = 200
)

// accounts are those that pages keep, by reader and job.
type accounts struct {
	mu   sync.Mutex
	kept map[string]*account
}

// account is what was read of a job, and up to which event.
type account struct {
	used time.Time // guarded by accounts.mu

	mu     sync.Mutex
	seen   string // the last event
	news   bool   // something has happened that is not in it
	report *wire.Report
	at     time.Time // when it was last asked for
}

// get finds what is kept for a reader of a job, and forgets who was away the longest when there are too many.
func (a *accounts) get(key string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.kept[key]
	if x == nil {
		if a.kept == nil {
			a.kept = map[string]*account{}
		}
		for len(a.kept) >= accountsKept {
			oldest := ""
			for k, y := range a.kept {
				if oldest == "" || y.used.Before(a.kept[oldest].used) {
					oldest = k
				}
			}
			delete(a.kept, oldest)
		}
		x = &account{}
		a.kept[key] = x
	}
	x.used = time.Now()
	return x
}

// tellsLittle are events that change nothing that the page of a job shows of its account.
var tellsLittle = []string{"planned", "planning", "stage_started", "stage_ended", "redelivered", "accepted"}

// accountOf is the account of a job as the page shows it; nil when it cannot be read just now.
func (s *Site) accountOf(v *visit, j *wire.Job) *wire.Report {
	ctx, cancel := context.WithTimeout(v.ctx, accountPatience)
	defer cancel()
	x := s.accounts.get(api.VisitorKey(v.ctx) + " " + j.ID)
	x.mu.Lock()
	defer x.mu.Unlock()
	list, err := eventsAfter(ctx, v, j.ID, x.seen)
	if err != nil {
		return x.report
	}
	if len(list) > 0 {
		x.seen = list[len(list)-1].ID
		x.news = x.news || slices.ContainsFunc(list, func(e wire.Event) bool { return !slices.Contains(tellsLittle, e.Type) })
	}
	if x.report != nil && j.State.Ended() && !x.report.Job.State.Ended() { // it was asked for just before the end
		x.news = true
	}
	age := time.Since(x.at)
	fresh := accountFresh
	if j.State.Ended() { // its page is not live, so each reading is a reader's
		fresh = accountPause
	}
	if !x.at.IsZero() && age < fresh && (!x.news || age < accountPause && !j.State.Ended()) {
		return x.report
	}
	x.at = time.Now()
	if r, err := v.client.Report(ctx, j.ID); err == nil {
		x.report, x.news = r, false
	}
	return x.report
}

// eventsAfter reads all events after one.
func eventsAfter(ctx context.Context, v *visit, id, after string) ([]wire.Event, error) {
	var all []wire.Event
	for {
		list, err := v.client.Events(ctx, id, after)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if len(list) < 1000 || len(all) > 20_000 {
			return all, nil
		}
		after = list[len(list)-1].ID
	}
}

// handover is a worker that had to let go of steps, and where they went on.
type handover struct {
	At     *time.Time
	Worker string
	Lost   bool // it vanished
	What   string
	Went   string // where its steps went on
	Result string
	Good   bool // nothing was lost by it, and nothing is open
}

func handoversOf(r *wire.Report) []handover {
	var list []handover
	for _, d := range r.Drains {
		list = append(list, drained(r, d))
	}
	for _, l := range r.Losses {
		list = append(list, lost(l))
	}
	slices.SortStableFunc(list, func(a, b handover) int { return momentOf(b.At).Compare(momentOf(a.At)) })
	return list
}

// whyDrained says why a worker was drained.
var whyDrained = map[string]string{wire.DrainByProcess: "its process was told to stop", wire.DrainByRequest: "somebody asked for it", wire.DrainByFence: "a version fence"}

func drained(r *wire.Report, d wire.Drain) handover {
	h := handover{At: d.AskedAt, Worker: d.Worker}
	why := whyDrained[d.Why]
	if d.By != "" {
		why = "by " + d.By
	}
	h.What = "Drained"
	if why != "" {
		h.What += " (" + why + ")"
	}
	h.What += fmt.Sprintf(": it held %s, gave back %s, ended %s", counted(d.Held, "step", "steps"), number(d.GivenBack), number(d.Ended))
	if d.Cut > 0 {
		h.What += fmt.Sprintf(", %s cut", number(d.Cut))
	}
	switch {
	case d.State == wire.DrainUndone:
		h.Result, h.Good = "taken back", true
	case d.State == wire.DrainAsked || d.OverAt == nil || d.AskedAt == nil:
		h.Result = "not at rest yet"
	case d.Cut > 0:
		h.Result = "at rest after " + duration(d.OverAt.Sub(*d.AskedAt)) + "; what was cut ran again"
	default:
		h.Result, h.Good = "safe to stop after "+duration(d.OverAt.Sub(*d.AskedAt))+"; nothing lost", true
	}
	var where []string
	var longest int64
	for _, e := range r.History {
		if e.Type != "begun_again" || e.More["from"] != d.Worker || e.More["after"] == "lost" || d.AskedAt != nil && e.At.Before(*d.AskedAt) {
			continue
		}
		if ms, err := strconv.ParseInt(e.More["waited_ms"], 10, 64); err == nil {
			longest = max(longest, ms)
		}
		if !slices.Contains(where, e.Worker) {
			where = append(where, e.Worker)
		}
	}
	h.Went = wentOn(where, longest)
	return h
}

func lost(l wire.Loss) handover {
	h := handover{At: l.NoticedAt, Worker: l.Worker, Lost: true, What: fmt.Sprintf("Vanished with %s", counted(l.Steps, "step", "steps"))}
	var where []string
	var longest int64
	for _, st := range l.List {
		if st.Again == nil {
			continue
		}
		longest = max(longest, st.Again.Sub(st.LostAt).Milliseconds())
		if st.By != "" && !slices.Contains(where, st.By) {
			where = append(where, st.By)
		}
	}
	h.Went = wentOn(where, longest)
	if l.Again >= l.Steps {
		h.Result, h.Good = "all of it was begun again; nothing lost", true
	} else {
		h.Result = fmt.Sprintf("%s of %s begun again so far", number(l.Again), number(l.Steps))
	}
	return h
}

// wentOn says where steps went on, and how long the last of them waited.
func wentOn(where []string, longest int64) string {
	if len(where) == 0 {
		return ""
	}
	if n := len(where); n > 3 {
		where = append(where[:3:3], fmt.Sprintf("%d more", n-3))
	}
	return "went on at " + strings.Join(where, ", ") + " after " + duration(time.Duration(longest)*time.Millisecond)
}
