package fire

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/store"
)

// patience is how long a job may stand still after the last fault has ended, and a message be on its way.
const patience = time.Minute

// goodsTables is the table of MariaDB, as it is there and in PostgreSQL.
var goodsTables = []rig.Table{{Name: "goods", Lite: "concat(id, ' ', text, '|', n)", Post: "id || ' ' || text || '|' || n"}}

// Settle waits until all jobs have ended well. Where a server has forgotten what it had confirmed, whoever submitted a job does so again,
// as the documents say; a job that failed because of that says so.
func (t *Town) Settle() {
	t.T.Helper()
	healed := time.Now()
	forgetful := t.lost["redis"] || t.lost["cloud"]
	for _, j := range t.Jobs {
		if forgetful {
			t.again(j)
		}
		for {
			var v *wire.Job
			err := rig.Poll(time.Until(healed.Add(t.patience)), 50*time.Millisecond, func(ctx context.Context) (bool, error) {
				var err error
				t.Supervise()
				v, err = t.Client(0).Job(ctx, j.ID)
				return err == nil && v.State.Ended(), err
			})
			if err != nil {
				t.T.Fatalf("job %s stands still %v after the last fault: %v\n%s", j.Name, t.patience, err, t.stuck(j))
			}
			if v.State == "succeeded" {
				break
			}
			if !forgetful || j.Runs > 4 {
				t.T.Fatalf("job %s %s: %+v", j.Name, v.State, v.Error)
			}
			t.again(j) // it says that its target has forgotten something
		}
	}
}

func (t *Town) again(j *Job) {
	t.T.Helper()
	if err := rig.Poll(t.patience, 200*time.Millisecond, func(context.Context) (bool, error) {
		err := t.submit(j, t.patience)
		return err == nil, err
	}); err != nil {
		t.T.Fatalf("job %s cannot be submitted again: %v", j.Name, err)
	}
}

// stuck says how a job stands.
func (t *Town) stuck(j *Job) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var b strings.Builder
	v, err := t.store().View(ctx, j.ID)
	if err != nil {
		return err.Error()
	}
	fmt.Fprintf(&b, "%s: %+v\n", v.State, v.Counters)
	for _, s := range v.Stages {
		fmt.Fprintf(&b, "stage %+v\n", s)
	}
	for _, o := range v.Out {
		fmt.Fprintf(&b, "out %+v\n", o)
	}
	events, _ := t.store().Events(ctx, j.ID, "", 1000)
	for _, e := range events[max(0, len(events)-15):] {
		fmt.Fprintf(&b, "event %+v\n", e)
	}
	return b.String()
}

// store looks into the Redis that counts now.
func (t *Town) store() *store.Store { return store.New(t.Redis.Client()) }

// Check fails the test for everything that is not as it was promised.
func (t *Town) Check() {
	t.T.Helper()
	ctx := context.Background()
	v, err := rig.CompareJob(ctx, t.source.URL(), t.cloud, rig.LegacyTables, t.Jobs[0].ID)
	if err != nil {
		t.T.Fatal(err)
	}
	if !v.Equal() {
		t.T.Errorf("source and target: %v", v)
	}
	if t.O.Maria {
		v, err := rig.CompareJob(ctx, t.maria, t.cloud, goodsTables, t.Jobs[2].ID)
		if err != nil {
			t.T.Fatal(err)
		}
		if !v.Equal() {
			t.T.Errorf("MariaDB and target: %v", v)
		}
	}
	s := t.API.State()
	if twice := s.Twice(); len(s.Effects) != records || len(twice) > 0 {
		t.T.Errorf("%d of %d records took effect, %d of them more than once: %s", len(s.Effects), records, len(twice), strings.Join(twice[:min(len(twice), 5)], " "))
	}
	for _, j := range t.Jobs {
		t.counters(ctx, j)
		t.events(ctx, j)
	}
	t.messages()
	t.ticks()
}

// counters compares what a job says it has done with what the ledger says.
func (t *Town) counters(ctx context.Context, j *Job) {
	t.T.Helper()
	v, err := t.store().View(ctx, j.ID)
	if err != nil {
		t.T.Error(err)
		return
	}
	db, err := rig.Look(ctx, t.cloud)
	if err != nil {
		t.T.Fatal(err)
	}
	defer db.Close()
	sum := func(column string) int64 {
		n, err := db.Number(ctx, "SELECT coalesce(sum("+column+"), 0) FROM stint_ledger WHERE job = '"+j.ID+"'")
		if err != nil {
			t.T.Fatal(err)
		}
		return n
	}
	read, written, set := sum("rows_read"), sum("rows_written"), sum("rows_quarantined")
	if read != j.Rows {
		t.T.Errorf("job %s: the ledger has %d rows read, want %d", j.Name, read, j.Rows)
	}
	if c := v.Counters; c.Read != read || c.Written != written || c.Quarantined != set {
		t.T.Errorf("job %s: it counts %d read, %d written, %d set aside, and the ledger %d, %d, %d", j.Name, c.Read, c.Written, c.Quarantined, read, written, set)
	}
	if len(v.Out) > 0 {
		t.T.Errorf("job %s has ended and has steps out: %+v", j.Name, v.Out)
	}
}

// events holds what a job has told against the state machine: a story that begins once, in which every stage begins before it ends, each
// once, and whose end is its end.
func (t *Town) events(ctx context.Context, j *Job) {
	t.T.Helper()
	if t.lost["redis"] {
		return // it is told twice then, or with a gap
	}
	list, err := t.store().Events(ctx, j.ID, "", 10_000)
	if err != nil {
		t.T.Error(err)
		return
	}
	var story []string
	stages := map[string]string{}
	wrong := func(format string, args ...any) {
		t.T.Errorf("job %s: %s, in %v", j.Name, fmt.Sprintf(format, args...), story)
	}
	state, end := "", ""
	for _, e := range list {
		stage := e.Fields["stage"]
		story = append(story, strings.TrimSpace(e.Type+" "+stage))
		switch e.Type {
		case "accepted":
			if state != "" {
				wrong("accepted again")
			}
			state = "accepted"
		case "restart", "retry":
			if state != "ended" {
				wrong("%s while it is %s", e.Type, state)
			}
			state, stages = "accepted", map[string]string{}
		case "planning":
			if state != "accepted" && state != "planning" {
				wrong("planned while it is %s", state)
			}
			state = "planning"
		case "planned":
			if state != "planning" {
				wrong("planned while it is %s", state)
			}
			state = "running"
		case "stage_started", "stage_ended":
			beside := e.Type == "stage_ended" && end == "failed" && state == "ended" // by a step that was at work when another one failed
			if state != "running" && !beside || e.Type == "stage_started" && stages[stage] != "" || e.Type == "stage_ended" && stages[stage] != "stage_started" {
				wrong("%s of %s, which was %q, while the job is %s", e.Type, stage, stages[stage], state)
			}
			stages[stage] = e.Type
		case "succeeded", "failed":
			if state != "running" && state != "planning" {
				wrong("%s while it is %s", e.Type, state)
			}
			state, end = "ended", e.Type
		case "step_failed", "attempt_failed", "given_back", "lost", "revoked":
			// One step's failure ends the job; what becomes of those that were at work beside it may be told after that.
			if state != "running" && state != "planning" && (state != "ended" || end != "failed") {
				wrong("%s while it is %q", e.Type, state)
			}
		default:
			if state == "" || state == "ended" && e.Type != "worker_drained" && e.Type != "worker_undrained" && e.Type != "worker_draining" {
				wrong("%s while it is %q", e.Type, state)
			}
		}
	}
	if state != "ended" {
		wrong("it has ended, and does not say so")
	}
	for stage, last := range stages {
		if last != "stage_ended" {
			wrong("stage %s has not ended", stage)
		}
	}
}

// messages wants each run of each job to have been told of once: that it began, and that it succeeded.
func (t *Town) messages() {
	t.T.Helper()
	var problem string
	err := rig.Poll(t.patience, 100*time.Millisecond, func(context.Context) (bool, error) {
		problem = t.told()
		return problem == "", nil
	})
	if err != nil {
		t.T.Errorf("webhooks: %s", problem)
	}
	if _, wrong := t.Hook.All(); len(wrong) > 0 {
		t.T.Errorf("webhooks: %v", wrong)
	}
}

// told says what is wrong with the messages that have arrived; "" is nothing.
func (t *Town) told() string {
	list, _ := t.Hook.All()
	got := map[string]int{}
	for _, m := range list {
		got[fmt.Sprintf("%s %s", m.Job, m.Event)]++
	}
	var out []string
	for _, j := range t.Jobs {
		for _, event := range []string{"started", "succeeded"} {
			n := got[j.ID+" "+event]
			// Each run that a job had since then tells of itself; where Redis has forgotten one, it may have told of that as well.
			if n < 1 || n > j.Runs {
				out = append(out, fmt.Sprintf("%q of %s came in %d messages, want 1 to %d", event, j.Name, n, j.Runs))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// ticks wants each second since the work began to be in the history of the schedule once.
func (t *Town) ticks() {
	t.T.Helper()
	if t.lost["redis"] || t.lost["clock"] {
		return // history is lost with Redis; and what a second is, its clock says
	}
	from, to := t.began.Add(time.Second).Unix(), time.Now().Add(-time.Second).Unix()
	var problem error
	err := rig.Poll(t.patience, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		list, err := t.Client(0).Ticks(ctx, "beat", 2000)
		if err != nil {
			return false, err
		}
		seen := map[int64]int{}
		for _, k := range list {
			last := k.DueAt
			if k.Until != nil {
				last = *k.Until
			}
			for due := k.DueAt; !due.After(last); due = due.Add(time.Second) {
				seen[due.Unix()]++
			}
		}
		problem = nil
		for at := from; at <= to; at++ {
			if seen[at] != 1 {
				problem = fmt.Errorf("the tick of %s is there %d times", time.Unix(at, 0).UTC().Format(time.TimeOnly), seen[at])
			}
		}
		return problem == nil, problem
	})
	if err != nil {
		t.T.Errorf("schedule: %v; %v", problem, err)
	}
}
