package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// keptAbout is how many jobs that are about another are remembered with it.
const keptAbout = 50

// relate notes with the job that another is about, if there is such a job of the same tenant, that it is. It comes before the job is
// written: an entry without a job is passed over.
func (s *Store) relate(ctx context.Context, job tasks.Job) error {
	about := tasks.AboutJob(job.Spec)
	if about == "" || about == job.ID {
		return nil
	}
	of, _, err := s.Job(ctx, about)
	if errors.Is(err, ErrNotFound) || err == nil && of.Tenant != job.Tenant {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAddNX(ctx, aboutKey(about), redis.Z{Score: float64(job.CreatedAt.UnixMilli()), Member: job.ID})
		p.ZRemRangeByRank(ctx, aboutKey(about), 0, -keptAbout-1)
		return nil
	})
	return err
}

// DrainNote is what a worker tells a job of its drain.
type DrainNote struct {
	Worker string
	ID     string        // random: the same for all that is told of one drain
	State  string        // wire.DrainAsked, DrainSafe or DrainUndone
	By     string        // who asked for it; "" when nobody knows
	Why    string        // wire.DrainByProcess, DrainByRequest or DrainByFence
	Since  time.Duration // from when it was asked for to what is told
	// Attempts at steps of the job: held at the beginning, given back since (Cut of them by force), and ended since.
	Held, GivenBack, Ended, Cut int
}

// NoteDrain tells a job that a worker which works on it drains, or what came of that. Telling it again changes nothing, and a job
// that there is not, or that is over, is told nothing.
func (s *Store) NoteDrain(ctx context.Context, job string, d DrainNote) error {
	err := drainNote.Run(ctx, s.rdb, []string{jobKey(job)}, d.Worker, d.ID, d.State, d.By, d.Why, d.Since.Milliseconds(), d.Held, d.GivenBack, d.Ended, d.Cut).Err()
	if err != nil {
		return fmt.Errorf("note drain: %w", err)
	}
	return nil
}

// Account is what the store knows of a job for its report.
type Account struct {
	Job     *wire.Job
	By      string    // who submitted it; "" when that is not known
	Asked   tasks.Job // as it was accepted
	Stages  []wire.StageReport
	Workers []wire.WorkerReport
	Drains  []wire.Drain
	Losses  []wire.Loss
	Reasons []wire.AttemptReason

	Versions []string
	About    []string // ids of jobs that are about this one, the newest first
	History  []wire.Happening
	Gaps     []string // what is missing, in sentences
}

// Account reads all that the store knows of a job. ErrNotFound when there is none.
func (s *Store) Account(ctx context.Context, id string) (*Account, error) {
	var a viewed
	var tally *redis.MapStringStringCmd
	var events *redis.XMessageSliceCmd
	var about *redis.StringSliceCmd
	// All of one moment, so that what is counted twice is equal.
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		a = s.ask(ctx, p, id)
		tally, events, about = p.HGetAll(ctx, tallyKey(id)), p.XRange(ctx, eventsKey(id), "-", "+"), p.ZRevRange(ctx, aboutKey(id), 0, -1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read account of job: %w", err)
	}
	v, err := a.view(id)
	if err != nil {
		return nil, err
	}
	var job tasks.Job
	if err := json.Unmarshal([]byte(a.job.Val()["json"]), &job); err != nil {
		return nil, fmt.Errorf("decode job %s: %w", id, err)
	}
	acc := &Account{Job: v, By: a.job.Val()["by"], Asked: job, About: about.Val(), Stages: stageReports(v, a.stages.Val())}
	list := eventsOf(events.Val())
	acc.readHistory(list)
	acc.readTally(tally.Val())
	acc.listLost()
	acc.findGaps(list, toInt(a.job.Val()["events"]), tally.Val())
	return acc, nil
}

func stageReports(v *wire.Job, h map[string]string) []wire.StageReport {
	list := make([]wire.StageReport, len(v.Stages))
	for i, st := range v.Stages {
		n := func(field string) int64 { return toInt(h[strconv.Itoa(i)+":"+field]) }
		r := wire.StageReport{Name: st.Name, BusyMS: n("busy"), Planned: n("n_planned"), GivenBack: n("n_given_back"), Failed: n("n_failed"), Lost: n("n_lost"), Revoked: n("n_revoked")}
		if st.StartedAt != nil && st.EndedAt != nil && st.State == "done" {
			r.DurationMS = st.EndedAt.Sub(*st.StartedAt).Milliseconds()
		}
		if r.BusyMS > 0 {
			r.RowsPerBusySecond = float64(st.Counters.Read*10_000/r.BusyMS) / 10
		}
		list[i] = r
	}
	return list
}

// readHistory takes events apart into what a reader of the report looks for.
func (a *Account) readHistory(events []wire.Event) {
	a.History = make([]wire.Happening, 0, len(events))
	for _, e := range events {
		h := wire.Happening{At: e.At, Type: e.Type}
		for name, value := range e.Fields {
			switch {
			case value == "":
			case name == "stage":
				h.Stage = value
			case name == "step":
				h.Stage, h.Step = a.place(value)
			case name == "worker":
				h.Worker = value
			case name == "by":
				h.By = value
			case name == "reason":
				h.Reason = value
			default:
				if h.More == nil {
					h.More = map[string]string{}
				}
				h.More[name] = value
			}
		}
		a.History = append(a.History, h)
	}
}

// place names the stage and the step of a step key as people know them.
func (a *Account) place(key string) (stage, step string) {
	kind, i, step := ParseKey(key)
	if i >= 0 && i < len(a.Job.Stages) {
		stage = a.Job.Stages[i].Name
	}
	switch kind {
	case PlanKey:
		step = "plan"
	case SplitKey:
		step = "split"
	}
	return stage, step
}

// readTally reads the bounded lists beside the events.
func (a *Account) readTally(h map[string]string) {
	versions := map[string]bool{}
	a.Workers, a.Drains, a.Losses, a.Reasons = []wire.WorkerReport{}, []wire.Drain{}, []wire.Loss{}, []wire.AttemptReason{}
	for field, value := range h {
		kind, name, _ := strings.Cut(field, ":")
		switch kind {
		case "v":
			versions[name] = true
		case "w":
			if p := strings.SplitN(value, "|", 10); len(p) == 10 {
				w := wire.WorkerReport{ID: name, Version: p[9], Done: toInt(p[0]), Planned: toInt(p[1]), GivenBack: toInt(p[2]), Failed: toInt(p[3]), Lost: toInt(p[4]),
					Revoked: toInt(p[5]), BusyMS: toInt(p[6]), FirstAt: msTime(p[7]), LastAt: msTime(p[8])}
				a.Workers = append(a.Workers, w)
			}
		case "d":
			var d struct {
				Worker, By, Why, Phase string
				Asked, Over            int64
				Held, Ended, Cut       int64
				GivenBack              int64 `json:"given_back"`
			}
			if json.Unmarshal([]byte(value), &d) == nil {
				a.Drains = append(a.Drains, wire.Drain{Worker: d.Worker, By: d.By, Why: d.Why, AskedAt: atMS(d.Asked), State: d.Phase, OverAt: atMS(d.Over), Held: d.Held,
					GivenBack: d.GivenBack, Ended: d.Ended, Cut: d.Cut})
			}
		case "l":
			if p := strings.Split(value, "|"); len(p) == 4 {
				a.Losses = append(a.Losses, wire.Loss{Worker: name, NoticedAt: msTime(p[0]), Steps: toInt(p[1]), Again: toInt(p[2]), LastAgain: msTime(p[3]), List: []wire.LostStep{}})
			}
		case "r":
			what, reason, _ := strings.Cut(name, "|")
			a.Reasons = append(a.Reasons, wire.AttemptReason{What: what, Reason: strings.ToValidUTF8(reason, ""), Times: toInt(value)})
		}
	}
	a.Versions = make([]string, 0, len(versions))
	for v := range versions {
		a.Versions = append(a.Versions, v)
	}
	slices.Sort(a.Versions)
	slices.SortFunc(a.Workers, func(x, y wire.WorkerReport) int {
		if (x.ID == "") != (y.ID == "") { // those without a line of their own come last
			return cmp.Compare(len(y.ID), len(x.ID))
		}
		return cmp.Or(compareTimes(x.FirstAt, y.FirstAt), cmp.Compare(x.ID, y.ID))
	})
	slices.SortFunc(a.Drains, func(x, y wire.Drain) int {
		return cmp.Or(compareTimes(x.AskedAt, y.AskedAt), cmp.Compare(x.Worker, y.Worker))
	})
	slices.SortFunc(a.Losses, func(x, y wire.Loss) int {
		return cmp.Or(compareTimes(x.NoticedAt, y.NoticedAt), cmp.Compare(x.Worker, y.Worker))
	})
	slices.SortFunc(a.Reasons, func(x, y wire.AttemptReason) int {
		return cmp.Or(cmp.Compare(y.Times, x.Times), cmp.Compare(x.What, y.What), cmp.Compare(x.Reason, y.Reason))
	})
}

func atMS(ms int64) *time.Time { return msTime(strconv.FormatInt(ms, 10)) }

func compareTimes(x, y *time.Time) int {
	switch {
	case x == nil || y == nil:
		return 0
	}
	return x.Compare(*y)
}

// listLost finds in the history which steps were lost with each worker, and when they ran again.
func (a *Account) listLost() {
	by := map[string]int{}
	for i, l := range a.Losses {
		by[l.Worker] = i
	}
	for _, h := range a.History {
		switch {
		case h.Type == "lost":
			if i, ok := by[h.Worker]; ok {
				a.Losses[i].List = append(a.Losses[i].List, wire.LostStep{Stage: h.Stage, Step: h.Step, LostAt: h.At})
			}
		case h.Type == "begun_again" && h.More["after"] == "lost":
			i, ok := by[h.More["from"]]
			if !ok {
				continue
			}
			for k, s := range a.Losses[i].List {
				if s.Stage == h.Stage && s.Step == h.Step && s.Again == nil {
					at := h.At
					a.Losses[i].List[k].Again, a.Losses[i].List[k].By = &at, h.Worker
					break
				}
			}
		}
	}
}

// findGaps says what is not in the account.
func (a *Account) findGaps(events []wire.Event, written int64, tally map[string]string) {
	a.Gaps = []string{}
	gap := func(format string, args ...any) { a.Gaps = append(a.Gaps, fmt.Sprintf(format, args...)) }
	if len(events) > 0 && events[0].Type != "accepted" || len(events) == 0 {
		if n := written - int64(len(events)); n > 0 {
			gap("The history lacks its oldest %d events: only about the newest 1000 are kept. Counts are complete all the same.", n)
		} else {
			gap("The history lacks its oldest events: only about the newest 1000 are kept.")
		}
	}
	if a.Job.Epoch > 1 {
		gap("The job was started over; counts of stages, workers and interruptions are those of run %d alone.", a.Job.Epoch)
	}
	var done, known int64
	for _, w := range a.Workers {
		known += w.Done
	}
	for _, st := range a.Job.Stages {
		done += st.Counters.StepsDone
	}
	switch {
	case tally["whole"] == "":
		gap("The job was begun by an older build, which kept no account of workers, drains and losses: what is said of them here begins with the upgrade.")
	case known != done:
		gap("Workers of an older build took part, which kept no account: of %d steps that ended, %d are told by worker.", done, known)
	}
	for _, l := range []struct {
		list string
		have int
		what string
	}{{"drains", len(a.Drains), "drains"}, {"losses", len(a.Losses), "lost workers"}} {
		if toInt(tally[l.list]) > int64(l.have) {
			gap("There were more %s than the first %d, which are kept.", l.what, l.have)
		}
	}
	if n := len(a.Workers); n > 0 && a.Workers[n-1].ID == "" {
		gap("More workers took part than the first %d, which are told one by one; the line without a name adds up the others.", n-1)
	}
}
