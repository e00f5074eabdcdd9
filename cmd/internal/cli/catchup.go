package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// catchUp is what migrate is told of rounds.
type catchUp struct {
	on         bool
	untilQuiet time.Duration // end as soon as a round takes less, or finds few rows; 0 means not to
	every      time.Duration
	overlap    time.Duration
	cutover    bool
}

// quietRows: a round that finds fewer is quiet.
const quietRows = 100

// quietTime: so is one that takes less, where nothing else is said.
const quietTime = time.Second

// Labels of the jobs of rounds.
const (
	labelCatchUp = "catch_up" // the migration
	labelCutOver = "cut_over" // "yes" on those of a cutover
)

func (u *catchUp) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&u.on, "catch-up", false, "when all rows are there, bring over what has changed in the source meanwhile, round by round")
	f.DurationVar(&u.untilQuiet, "until-quiet", 0, "with --catch-up: end when a round takes less than this, or finds fewer than 100 rows")
	f.DurationVar(&u.every, "every", 10*time.Second, "with --catch-up: how long to wait after a round that was quiet")
	f.DurationVar(&u.overlap, "overlap", migration.DefaultOverlap, "with --catch-up: the longest that a transaction of the source takes, where the plan names from.changed")
	f.BoolVar(&u.cutover, "cutover-now", false, "with --catch-up: cut over as soon as a round was quiet")
}

func (u *catchUp) check(m *move) error {
	switch {
	case u.untilQuiet < 0 || u.every < 0 || u.overlap < time.Second:
		return usage(errors.New("--until-quiet, --every and --overlap: give a positive duration, such as 10s"))
	case !m.wait:
		return usage(tasks.WithHint(nil, "leave --wait=false away: the rounds are this command's", "--catch-up stays until the cutover"))
	}
	return nil
}

// caughtUp is the answer of migrate --catch-up and of cutover; its JSON is a contract.
type caughtUp struct {
	Job         string        `json:"job"` // the migration
	Rounds      int           `json:"rounds"`
	Changed     int64         `json:"rows_changed"` // inserted or updated
	Deleted     int64         `json:"rows_deleted"`
	Quarantined int64         `json:"rows_quarantined"` // of the last round
	CutOver     bool          `json:"cut_over"`
	Verified    *verification `json:"verification"` // null when nothing was compared
}

// runCatchUp migrates, and then follows the source.
func (c *command) runCatchUp(cmd *cobra.Command, m *move) (err error) {
	if err := m.live.check(m); err != nil {
		return err
	}
	from, to, err := c.both(m)
	if err != nil {
		return err
	}
	if !c.remote() && m.plan == nil {
		if err := reachable(cmd.Context(), from, to, m.tables); err != nil {
			return err
		}
	}
	s, err := c.join(cmd)
	if err != nil {
		return err
	}
	defer c.leave(s, &err)
	if err := c.asPlan(cmd.Context(), s, m, from, to); err != nil {
		return err
	}
	m.keep = true
	sub, err := c.submission(m, from, to)
	if err != nil {
		return err
	}
	d, err := m.tryPlan(cmd.Context(), s, sub)
	if err != nil {
		return err
	}
	if m.dryRun {
		return c.print(d, func(w io.Writer) { writeDryRun(w, d) })
	}
	if s.app != nil {
		if err := engine(cmd.Context(), s.app); err != nil {
			return err
		}
	}
	id, err := c.begin(cmd.Context(), s, sub)
	if err != nil {
		return err
	}
	v, err := c.watch(cmd.Context(), s, &asked{id: id, again: &sub})
	if err == nil {
		err = failed(v)
	}
	if err != nil {
		return c.interrupted(s, err)
	}
	c.say("%s rows are there; what has changed meanwhile comes in rounds", thousands(v.Counters.Written))
	r := &rounds{c: c, s: s, first: v, overlap: m.live.overlap, answer: caughtUp{Job: id}}
	return c.interrupted(s, r.follow(cmd.Context(), &m.live))
}

// asPlan makes a plan of tables as they are, where none was given.
func (c *command) asPlan(ctx context.Context, s *session, m *move, from, to database) error {
	if m.plan != nil {
		return nil
	}
	sub, err := c.submission(m, from, to)
	if err != nil {
		return err
	}
	sub.Continue = false
	body, err := s.Draft(ctx, sub)
	if err != nil {
		return err
	}
	var p migration.Outline
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	m.plan, m.tables = p.Plan, nil
	return nil
}

// interrupted says what an interruption means.
func (c *command) interrupted(s *session, err error) error {
	if errors.Is(err, errInterrupted) {
		c.say("interrupted: what is there stays; the same command goes on from there")
		if s.app != nil {
			c.cutAtTheNext(s.app)
		}
	}
	return err
}

// rounds catches up with one migration.
type rounds struct {
	c       *command
	s       *session
	first   *wire.Job
	overlap time.Duration
	fast    bool // a cutover goes by from.changed
	answer  caughtUp
}

// follow goes from round to round until the cutover, or until it is quiet where that is enough.
func (r *rounds) follow(ctx context.Context, u *catchUp) error {
	for told := false; ; {
		over, err := r.cutOver(ctx)
		if err != nil {
			return err
		}
		if over {
			r.answer.CutOver = true
			r.c.say("somebody has cut over: the target is on its own")
			return r.print()
		}
		found, took, err := r.round(ctx, nil)
		if err != nil {
			return err
		}
		quiet := found < quietRows || took < max(u.untilQuiet, quietTime)
		switch {
		case !quiet:
			continue
		case u.cutover:
			return r.cut(ctx)
		case u.untilQuiet > 0:
			return r.print()
		}
		if !told {
			told = true
			r.c.say("it is quiet. When nobody writes into the source any more: stint cutover %s", r.first.ID)
		}
		if err := r.pause(ctx, u.every); err != nil {
			return err
		}
	}
}

// pause waits, unless a signal comes.
func (r *rounds) pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := r.c.interruptible(ctx)
	defer cancel()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// latest returns the last round of the migration that a job was made for, nil when there is none.
func (r *rounds) latest(ctx context.Context, labels map[string]string) (*wire.Job, error) {
	labels[labelCatchUp] = r.first.ID
	page, err := r.s.Jobs(ctx, client.Filter{Kind: migration.CatchUpKind, Labels: labels, Limit: 1})
	if err != nil || len(page.Jobs) == 0 {
		return nil, err
	}
	return page.Jobs[0], nil
}

// cutOver reports whether a round has ended the migration.
func (r *rounds) cutOver(ctx context.Context) (bool, error) {
	last, err := r.latest(ctx, map[string]string{labelCutOver: "yes"})
	if err != nil || last == nil || last.State != tasks.Succeeded {
		return false, err
	}
	return r.ended(ctx, last.ID)
}

// ended reports whether a round was the last one.
func (r *rounds) ended(ctx context.Context, job string) (bool, error) {
	report, err := r.s.Report(ctx, job)
	if err != nil {
		return false, err
	}
	for _, f := range report.Findings {
		if f.Subject == migration.CutOverSubject {
			return true, nil
		}
	}
	return false, nil
}

// settle waits for a round that is on its way: of one that somebody else has begun, or this command before it was killed.
func (r *rounds) settle(ctx context.Context) error {
	last, err := r.latest(ctx, map[string]string{})
	if err != nil || last == nil || last.State.Ended() {
		return err
	}
	if last.State == tasks.Paused {
		return tasks.WithHint(nil, "stint jobs resume "+last.ID+", or stint jobs cancel "+last.ID, "the round %s is paused", last.ID)
	}
	_, err = r.watch(ctx, &asked{id: last.ID})
	return err
}

// watch waits for the end of a round. There are many short ones: only a terminal shows how far each is.
func (r *rounds) watch(ctx context.Context, job *asked) (*wire.Job, error) {
	var p progress = silence{}
	if r.c.Terminal {
		p = r.c.newProgress()
	}
	return r.c.watchWith(ctx, r.s, job, p)
}

// round carries out one round and returns what it has found.
func (r *rounds) round(ctx context.Context, change func(*migration.CatchUpSpec)) (found int64, took time.Duration, err error) {
	if err := r.settle(ctx); err != nil {
		return 0, 0, err
	}
	v, err := r.start(ctx, change)
	if err != nil {
		return 0, 0, err
	}
	var changed, deleted, aside int64
	for _, st := range v.Stages {
		if st.Name == "gone" || st.Name == "rest" {
			deleted += st.Counters.Written
		} else {
			changed += st.Counters.Written
		}
		aside += st.Counters.Quarantined
	}
	if v.StartedAt != nil && v.EndedAt != nil {
		took = v.EndedAt.Sub(*v.StartedAt)
	}
	a := &r.answer
	a.Rounds++
	a.Changed, a.Deleted, a.Quarantined = a.Changed+changed, a.Deleted+deleted, aside
	r.c.say("round %d: %s changed, %s deleted, %s set aside, in %s", a.Rounds, plural(int(changed), "row"), plural(int(deleted), "row"), plural(int(aside), "row"), short(took))
	return changed + deleted, took, nil
}

// start begins a round and waits for its end.
func (r *rounds) start(ctx context.Context, change func(*migration.CatchUpSpec)) (*wire.Job, error) {
	spec := migration.CatchUpSpec{Of: r.first.ID, Round: strconv.FormatInt(r.c.Now().UnixNano(), 36), OverlapSeconds: int(r.overlap / time.Second)}
	if err := json.Unmarshal(r.first.Spec, &spec.Spec); err != nil {
		return nil, fmt.Errorf("read the spec of job %s: %w", r.first.ID, err)
	}
	labels := map[string]string{labelCatchUp: r.first.ID}
	if change != nil {
		change(&spec)
	}
	if spec.CutOver {
		labels[labelCutOver] = "yes"
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	sub := wire.Submission{Kind: migration.CatchUpKind, Tenant: r.first.Tenant, Spec: body, Labels: labels, Window: r.first.Window, Continue: true}
	if spec.Plan.Policy.Retries != 0 {
		sub.Policy = &tasks.Policy{Retries: spec.Plan.Policy.Retries}
	}
	done, err := r.s.Submit(ctx, "", sub)
	if err != nil {
		return nil, err
	}
	v, err := r.watch(ctx, &asked{id: done.ID, again: &sub})
	if err == nil {
		err = failed(v)
	}
	return v, err
}

// print answers. Its error says that the target is not what the source is.
func (r *rounds) print() error {
	err := r.c.print(&r.answer, r.answer.write)
	if v := r.answer.Verified; err == nil && v != nil && !v.Equal {
		err = errReported
	}
	return err
}

func (a *caughtUp) write(w io.Writer) {
	state := "goes on"
	if a.CutOver {
		state = "is cut over: the target is on its own"
	}
	fmt.Fprintf(w, "job %s %s; %s: %s rows changed, %s deleted\n", a.Job, state, plural(a.Rounds, "round"), thousands(a.Changed), thousands(a.Deleted))
	if a.Quarantined > 0 {
		fmt.Fprintf(w, "%s set aside; see them with: stint jobs rejects %s\n", strings.Replace(plural(int(a.Quarantined), "row"), "row", "row is", 1), a.Job)
	}
	if a.Verified != nil {
		a.Verified.write(w)
	}
}
