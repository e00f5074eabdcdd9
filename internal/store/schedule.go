package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/due"
	"github.com/stint-run/stint/tasks"
)

// DefaultDeadline is by how much a tick may be late before it is missed, when its schedule does not say.
const DefaultDeadline = time.Minute

// overdueGrace is how late a tick may be, or twice the jitter if that is more, before its schedule is shown as overdue.
const overdueGrace = 10 * time.Second

// tries is how often a move is made anew because somebody else was faster.
const tries = 20

// goodFor is for how long after its look a decision may still be written: a process that stood still for longer would decide
// by what was true then.
const goodFor = 5 * time.Second

var (
	scheduleRead   = fleetScript("schedule_read")
	scheduleLook   = fleetScript("schedule_look")
	scheduleMove   = fleetScript("schedule_move")
	scheduleDelete = fleetScript("schedule_delete")
)

func scheduleKeys(name string) []string {
	return []string{scheduleKey(name), scheduleNamesKey, scheduleDueKey, schedulePendingKey, scheduleTicksKey(name), scheduleHistoryKey(name)}
}

// schedule is a schedule as it was at a moment, and then, as it is changed, what it shall become. Every change is written by
// compare-and-set on rev, so whatever was decided was decided on the state that it changes.
type schedule struct {
	name     string
	def      wire.Schedule // what was asked for; nothing else of it is filled in
	text     string        // def as json, as it was written: another build may know more of it
	rule     due.Rule
	deadline time.Duration
	keep     time.Duration // of the jobs of its ticks that have succeeded; 0: as any other

	rev      string // "" when there is none
	seen     time.Time
	version  string
	origin   string
	paused   bool
	created  time.Time
	next     time.Time // the first due time that is not decided
	lastAt   time.Time
	lastTick string
	lastJob  string
	waiting  string // the tick that waits for lastJob

	broken   error        // another build wrote it, and this one cannot read it: hands off
	lastOpen bool         // the job of the last tick may not be created yet
	waits    *PendingTick // what waiting stands for
	decided  []PendingTick
}

func (sc *schedule) exists() bool { return sc.rev != "" }

// usable says why nothing can be done with a schedule but replacing and removing it.
func (sc *schedule) usable() error {
	switch {
	case !sc.exists():
		return noSchedule(sc.name)
	case sc.broken != nil:
		return tasks.WithHint(sc.broken, "another version of stint wrote it: upgrade this one, or write it anew", "schedule %s cannot be read", sc.name)
	}
	return nil
}

func newVersion() string { return RandomID()[:16] }

func ownedByConfig(name string) error {
	return tasks.WithHint(ErrConflict, "change it there; it can be paused, resumed and run from here", "schedule %s comes from the configuration", name)
}

var scheduleName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckSchedule says what is wrong with a schedule, with a hint.
func CheckSchedule(sc wire.Schedule) error {
	_, err := newSchedule(sc, "")
	return err
}

// newSchedule checks a definition and fills in what it leaves out.
func newSchedule(sc wire.Schedule, origin string) (*schedule, error) {
	def := wire.Schedule{Name: sc.Name, Cron: sc.Cron, Every: sc.Every, Timezone: sc.Timezone, Jitter: sc.Jitter, Missed: sc.Missed,
		Overlap: sc.Overlap, Deadline: sc.Deadline, Paused: sc.Paused, Job: sc.Job}
	if !scheduleName.MatchString(def.Name) {
		return nil, tasks.WithHint(nil, "use a-z, digits, _, - and ., at most 64", "%q is no name for a schedule", def.Name)
	}
	wrong := func(err error, hint string) (*schedule, error) {
		return nil, tasks.WithHint(err, hint, "schedule %s", def.Name)
	}
	if def.Missed == "" {
		def.Missed = wire.MissedSkip
	}
	if def.Overlap == "" {
		def.Overlap = wire.OverlapSkip
	}
	if def.Deadline == "" {
		def.Deadline = DefaultDeadline.String()
	}
	every, jitter, deadline, keep, err := durations(def)
	if err != nil {
		return wrong(err, "write it as in 90s, 15m or 24h")
	}
	if def.Cron == "" && def.Every == "" {
		return wrong(errors.New("it says neither cron nor every"), `add cron: "0 3 * * *" or every: 15m`)
	}
	rule, err := due.Parse(def.Cron, every, def.Timezone, jitter)
	if err != nil {
		return wrong(err, `cron takes five fields such as "0 3 * * *", every an interval such as 15m, timezone a name such as Europe/Berlin`)
	}
	switch {
	case def.Missed != wire.MissedSkip && def.Missed != wire.MissedLast && def.Missed != wire.MissedAll:
		return wrong(fmt.Errorf("missed: there is no policy %q", def.Missed), "use skip, last or all")
	case def.Overlap != wire.OverlapSkip && def.Overlap != wire.OverlapQueue && def.Overlap != wire.OverlapAllow:
		return wrong(fmt.Errorf("overlap: there is no policy %q", def.Overlap), "use skip, queue or allow")
	case def.Job.Kind == "":
		return wrong(errors.New("it does not say which kind of job it starts"), "add job.kind")
	}
	if len(def.Job.Spec) == 0 {
		def.Job.Spec = json.RawMessage("{}")
	}
	var spec bytes.Buffer // the same spec is the same definition, however it is laid out
	if err := json.Compact(&spec, def.Job.Spec); err != nil {
		return wrong(fmt.Errorf("job.spec is no JSON: %w", err), "")
	}
	def.Job.Spec = spec.Bytes()
	text, err := json.Marshal(def)
	if err != nil {
		return wrong(err, "")
	}
	return &schedule{name: def.Name, def: def, text: string(text), rule: rule, deadline: deadline, keep: keep, origin: origin}, nil
}

func durations(def wire.Schedule) (every, jitter, deadline, keep time.Duration, err error) {
	for _, d := range []struct {
		what, text string
		to         *time.Duration
	}{{"every", def.Every, &every}, {"jitter", def.Jitter, &jitter}, {"deadline", def.Deadline, &deadline}, {"job.keep_for", def.Job.KeepFor, &keep}} {
		if d.text == "" {
			continue
		}
		if *d.to, err = time.ParseDuration(d.text); err != nil || *d.to < 0 {
			return 0, 0, 0, 0, fmt.Errorf("%s: %q is no duration", d.what, d.text)
		}
	}
	return every, jitter, deadline, keep, nil
}

// redefine puts a new definition in the place of the old; nil when nothing changes.
func (sc *schedule) redefine(n schedule) *schedule {
	if !sc.exists() {
		n.seen, n.created, n.version, n.paused = sc.seen, sc.seen, newVersion(), n.def.Paused
		n.next = n.rule.Next(n.seen)
		return &n
	}
	paused := n.def.Paused
	if n.origin == wire.OriginConfig && sc.def.Paused == n.def.Paused {
		paused = sc.paused
	}
	if sc.text == n.text && sc.origin == n.origin && sc.paused == paused {
		return nil
	}
	was := sc.def
	if sc.broken != nil || was.Cron != n.def.Cron || was.Every != n.def.Every || was.Timezone != n.def.Timezone || was.Jitter != n.def.Jitter {
		switch {
		case sc.broken != nil: // nobody here knows what it had been due
		case sc.paused:
			sc.pass(wire.TickSkipped, "paused")
		default:
			sc.pass(wire.TickMissed, "the schedule was changed before it fired")
		}
		sc.next = n.rule.Next(sc.seen)
	}
	sc.setPaused(paused) // nothing has come due since, if the rule is a new one
	sc.broken = nil
	sc.def, sc.text, sc.rule, sc.deadline, sc.keep, sc.origin, sc.version = n.def, n.text, n.rule, n.deadline, n.keep, n.origin, newVersion()
	return sc
}

// setPaused pauses or resumes. What came due in a pause has passed.
func (sc *schedule) setPaused(paused bool) {
	if sc.paused && !paused && !sc.next.After(sc.seen) {
		sc.pass(wire.TickSkipped, "paused")
	}
	sc.paused = paused
}

// view is the schedule as clients see it.
func (sc *schedule) view() wire.Schedule {
	v := sc.def
	v.Paused, v.Origin, v.Version, v.CreatedAt = sc.paused, sc.origin, sc.version, sc.created
	v.LastJob, v.Waiting = sc.lastJob, sc.waiting
	if !sc.lastAt.IsZero() {
		at := sc.lastAt
		v.LastAt = &at
	}
	if !sc.paused {
		at := sc.next
		v.NextAt = &at
		if late := sc.seen.Sub(sc.fire(sc.next)); late > max(overdueGrace, 2*sc.rule.Jitter()) {
			v.Overdue = late.Milliseconds()
		}
	}
	return v
}

func (sc *schedule) fire(at time.Time) time.Time { return sc.rule.Fire(sc.name, at) }

// readSchedule reads a schedule and Redis' clock; one that does not exist has no rev.
func (s *Store) readSchedule(ctx context.Context, name string) (*schedule, error) {
	v, err := scheduleRead.Run(ctx, s.rdb, []string{scheduleKey(name), schedulePendingKey}, name).Slice()
	if err != nil {
		return nil, err
	}
	if len(v) != 4 {
		return nil, fmt.Errorf("unexpected reply of a script: %v", v)
	}
	flat, _ := v[1].([]any)
	h := map[string]string{}
	for i := 0; i+1 < len(flat); i += 2 {
		key, _ := flat[i].(string)
		h[key], _ = flat[i+1].(string)
	}
	seen := time.UnixMilli(toInt(v[0])).UTC()
	if h["rev"] == "" {
		return &schedule{name: name, seen: seen}, nil
	}
	var def wire.Schedule
	if err := json.Unmarshal([]byte(h["def"]), &def); err != nil {
		return nil, fmt.Errorf("decode schedule %s: %w", name, err)
	}
	sc, err := newSchedule(def, h["origin"])
	if err != nil {
		sc = &schedule{name: name, def: def, origin: h["origin"], broken: err}
	}
	sc.text, sc.rev, sc.seen, sc.version, sc.paused = h["def"], h["rev"], seen, h["version"], h["paused"] == "1"
	sc.created, sc.next, sc.lastAt = msOrZero(h["created"]), msOrZero(h["next"]), msOrZero(h["last_at"])
	sc.lastTick, sc.lastJob, sc.waiting = h["last_tick"], h["last_job"], h["waiting"]
	sc.lastOpen = toInt(v[2]) == 1
	if body, _ := v[3].(string); body != "" {
		sc.waits = &PendingTick{}
		if err := json.Unmarshal([]byte(body), sc.waits); err != nil {
			return nil, fmt.Errorf("decode waiting tick of %s: %w", name, err)
		}
	}
	return sc, nil
}

func msOrZero(text string) time.Time {
	if t := msTime(text); t != nil {
		return *t
	}
	return time.Time{}
}

func msText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// moving reads a schedule, lets change decide, and writes what it returns; again when somebody else was faster. nil leaves all
// as it is.
func (s *Store) moving(ctx context.Context, name string, change func(*schedule) (*schedule, error)) error {
	for range tries {
		old, err := s.readSchedule(ctx, name)
		if err != nil {
			return err
		}
		rev := old.rev
		sc, err := change(old)
		if err != nil || sc == nil {
			return err
		}
		moved, err := s.move(ctx, sc, rev)
		if err != nil || moved {
			return err
		}
	}
	return fmt.Errorf("schedule %s is changed by others all the time: %w", name, ErrConflict)
}

// move writes a schedule that was read at rev; false when it has been moved since, or the look at it is too old.
func (s *Store) move(ctx context.Context, sc *schedule, rev string) (bool, error) {
	fire, paused := msText(sc.fire(sc.next)), "0"
	if sc.paused {
		fire, paused = "", "1"
	}
	fields := []any{"rev", RandomID(), "def", sc.text, "version", sc.version, "origin", sc.origin, "paused", paused, "created", msText(sc.created),
		"next", msText(sc.next), "last_at", msText(sc.lastAt), "last_tick", sc.lastTick, "last_job", sc.lastJob, "waiting", sc.waiting}
	args := append([]any{sc.name, rev, msText(sc.seen), goodFor.Milliseconds(), fire, KeepTicks, len(fields) / 2}, fields...)
	for _, d := range sc.decided {
		body, err := json.Marshal(d.Tick)
		if err != nil {
			return false, fmt.Errorf("encode tick: %w", err)
		}
		pending := []byte{}
		if d.Tick.Outcome == wire.TickFired || d.Tick.Outcome == wire.TickQueued {
			if pending, err = json.Marshal(d); err != nil {
				return false, fmt.Errorf("encode tick: %w", err)
			}
		}
		at := d.Tick.DueAt
		if d.Tick.Until != nil {
			at = *d.Tick.Until
		}
		args = append(args, d.Tick.ID, msText(at), string(body), string(pending))
	}
	n, err := scheduleMove.Run(ctx, s.rdb, scheduleKeys(sc.name), args...).Int()
	return n == 1, err
}
