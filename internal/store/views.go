package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// viewed are the answers that a view is made of.
type viewed struct{ job, stages, out *redis.MapStringStringCmd }

func (s *Store) ask(ctx context.Context, p redis.Pipeliner, id string) viewed {
	return viewed{p.HGetAll(ctx, jobKey(id)), p.HGetAll(ctx, stagesKey(id)), p.HGetAll(ctx, outKey(id))}
}

func (a viewed) view(id string) (*wire.Job, error) {
	v, err := jobView(id, a.job.Val())
	if err != nil {
		return nil, err
	}
	addStages(v, a.stages.Val(), int(toInt(a.job.Val()["stages"])), time.Now())
	addOut(v, a.out.Val())
	return v, nil
}

// View reads a job with its stages and what is out. ErrNotFound when there is none.
func (s *Store) View(ctx context.Context, id string) (*wire.Job, error) {
	var a viewed
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		a = s.ask(ctx, p, id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	return a.view(id)
}

// Filter says which jobs List shows. The zero value is all of them.
type Filter struct {
	Tenants []string // of these tenants; nil is of all
	Kind    string
	States  []tasks.State
	Labels  map[string]string // all of them
	After   string            // a cursor that List gave; "" is the newest
	Limit   int               // at most; 0 is 50
}

// scanned bounds how many jobs one call of List looks at, so that a filter that matches little does not hold Redis up.
const scanned = 2000

// List reads jobs, newest first, without what is out of them and their stages, and a cursor for those that follow: "" when
// there are none. A page may be short, even empty, and have a cursor: the filter left much out.
func (s *Store) List(ctx context.Context, f Filter) (jobs []*wire.Job, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	index := jobsKey
	if len(f.Tenants) == 1 {
		index = tenantJobsKey(f.Tenants[0])
	}
	score, after, _ := strings.Cut(f.After, ":")
	if f.After == "" {
		score = "+inf"
	}
	jobs = []*wire.Job{}
	skip := int64(0) // entries of the cursor's moment that were seen
	size := 200
	if len(f.States) > 0 || f.Kind != "" { // of most, a word is read
		size = 1000
	}
	for looked := 0; looked < scanned; {
		page, err := s.rdb.ZRevRangeByScoreWithScores(ctx, index, &redis.ZRangeBy{Min: "-inf", Max: score, Offset: skip, Count: int64(size)}).Result()
		if err != nil {
			return nil, "", fmt.Errorf("list jobs: %w", err)
		}
		fresh := page[:0:0]
		for _, z := range page { // those of the same moment as the cursor come again
			if id, _ := z.Member.(string); after == "" || id < after || strconv.FormatInt(int64(z.Score), 10) != score {
				fresh = append(fresh, z)
			}
		}
		if len(fresh) == 0 && len(page) == size { // more of the same moment
			skip += int64(size)
			continue
		}
		skip = 0
		wanted, err := s.likely(ctx, fresh, f)
		if err != nil {
			return nil, "", err
		}
		for len(wanted) > 0 {
			n := min(len(wanted), max(f.Limit-len(jobs), 50)) // no more than may be shown, unless the filter leaves most out
			views, err := s.views(ctx, wanted[:n])
			if err != nil {
				return nil, "", err
			}
			for i, v := range views {
				if v == nil || !f.matches(v) {
					continue
				}
				if jobs = append(jobs, v); len(jobs) == f.Limit {
					return jobs, cursorOf(wanted[i]), nil
				}
			}
			wanted = wanted[n:]
		}
		if looked += len(fresh); len(fresh) > 0 {
			score, after, _ = strings.Cut(cursorOf(fresh[len(fresh)-1]), ":")
		}
		if len(page) < size {
			return jobs, "", nil
		}
	}
	return jobs, score + ":" + after, nil
}

// cursorOf is the cursor behind an index entry.
func cursorOf(z redis.Z) string {
	id, _ := z.Member.(string)
	return strconv.FormatInt(int64(z.Score), 10) + ":" + id
}

// likely leaves out the index entries of jobs in other states, and of other kinds. It reads a word or two of each, so that a filter which
// leaves most out costs little.
func (s *Store) likely(ctx context.Context, entries []redis.Z, f Filter) ([]redis.Z, error) {
	if len(f.States) == 0 && f.Kind == "" || len(entries) == 0 {
		return entries, nil
	}
	read := make([]*redis.SliceCmd, len(entries))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, z := range entries {
			id, _ := z.Member.(string)
			read[i] = p.HMGet(ctx, jobKey(id), "state", "kind")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var list []redis.Z
	for i, z := range entries {
		v := read[i].Val()
		state, _ := v[0].(string)
		kind, known := v[1].(string) // a build before this one did not write it
		if (len(f.States) == 0 || slices.Contains(f.States, tasks.State(state))) && (f.Kind == "" || !known || kind == f.Kind) {
			list = append(list, z)
		}
	}
	return list, nil
}

// views reads the jobs of index entries; nil for an entry without a job.
func (s *Store) views(ctx context.Context, entries []redis.Z) ([]*wire.Job, error) {
	asked := make([]viewed, len(entries))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, z := range entries {
			id, _ := z.Member.(string)
			asked[i] = s.ask(ctx, p, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	list := make([]*wire.Job, len(entries))
	for i, a := range asked {
		id, _ := entries[i].Member.(string)
		v, err := a.view(id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		v.Stages, v.Out, v.Spec, v.Pace = []wire.Stage{}, nil, nil, nil
		list[i] = v
	}
	return list, nil
}

func (f Filter) matches(v *wire.Job) bool {
	if f.Tenants != nil && !slices.Contains(f.Tenants, v.Tenant) || f.Kind != "" && v.Kind != f.Kind || len(f.States) > 0 && !slices.Contains(f.States, v.State) {
		return false
	}
	for name, value := range f.Labels {
		if have, ok := v.Labels[name]; !ok || have != value {
			return false
		}
	}
	return true
}

func jobView(id string, h map[string]string) (*wire.Job, error) {
	if h["json"] == "" {
		return nil, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	var job tasks.Job
	if err := json.Unmarshal([]byte(h["json"]), &job); err != nil {
		return nil, fmt.Errorf("decode job %s: %w", id, err)
	}
	v := &wire.Job{ID: id, Kind: job.Kind, Tenant: job.Tenant, State: tasks.State(h["state"]), Labels: job.Labels, Priority: job.Priority,
		Queue: job.Queue, Protocol: job.Protocol, Held: h["held"], CreatedAt: job.CreatedAt, StartedAt: msTime(h["started"]), EndedAt: msTime(h["ended"]),
		Findings: toInt(h["findings"]), Window: job.Window, Pace: marksOf(h["pace"]), Epoch: toInt(h["epoch"]), TraceID: traceID(job.Trace), Spec: job.Spec, Workers: []string{}, Stages: []wire.Stage{}}
	if v.Queue == "" {
		v.Queue = tasks.DefaultQueue
	}
	if h["error"] != "" {
		v.Error = &wire.JobError{Message: h["error"], Hint: h["hint"]}
	}
	return v, nil
}

// traceID is the second part of a W3C traceparent.
func traceID(parent string) string {
	if p := strings.Split(parent, "-"); len(p) == 4 {
		return p[1]
	}
	return ""
}

func msTime(s string) *time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func addStages(v *wire.Job, h map[string]string, n int, now time.Time) {
	if v.State.Ended() && v.EndedAt != nil { // a stage that was left open does not slow down for ever
		now = *v.EndedAt
	}
	var samples []string
	for i := range n {
		p := strconv.Itoa(i) + ":"
		st := wire.Stage{Name: h[p+"name"], State: h[p+"state"], After: []string{}, Rows: toInt(h[p+"rows"]),
			StartedAt: msTime(h[p+"started"]), EndedAt: msTime(h[p+"ended"]),
			Counters: wire.Counters{StepsKnown: toInt(h[p+"known"]), StepsDone: toInt(h[p+"done"]), StepsFailed: toInt(h[p+"failed"]),
				Counters: tasks.Counters{Read: toInt(h[p+"read"]), Written: toInt(h[p+"written"]), Quarantined: toInt(h[p+"quarantined"]), Skipped: toInt(h[p+"skipped"]),
					Bytes: toInt(h[p+"bytes"])}}}
		for _, k := range strings.Split(h[p+"after"], ",") {
			if k != "" {
				st.After = append(st.After, h[k+":name"])
			}
		}
		st.Rate = pace(st, now)
		samples = append(samples, h[p+"sample"])
		c := &v.Counters
		c.StepsKnown += st.Counters.StepsKnown
		c.StepsDone += st.Counters.StepsDone
		c.StepsFailed += st.Counters.StepsFailed
		c.Counters = c.Counters.Add(st.Counters.Counters)
		v.Stages = append(v.Stages, st)
	}
	forecast(v, samples, now)
}

func addOut(v *wire.Job, h map[string]string) {
	seen := map[string]bool{}
	for key, val := range h {
		p := strings.SplitN(val, "|", 4)
		if len(p) != 4 {
			continue
		}
		o := wire.Out{Worker: p[2], Since: time.UnixMilli(toInt(p[3])).UTC()}
		kind, i, step := ParseKey(key)
		o.Step = step
		if i >= 0 && i < len(v.Stages) {
			o.Stage = v.Stages[i].Name
		}
		switch kind {
		case PlanKey:
			o.Step = "plan"
		case SplitKey:
			o.Step = "split"
		}
		if o.Worker != "" && !seen[o.Worker] {
			seen[o.Worker] = true
			v.Workers = append(v.Workers, o.Worker)
		}
		v.Out = append(v.Out, o)
	}
	sort.Strings(v.Workers)
	sort.Slice(v.Out, func(a, b int) bool { return v.Out[a].Since.Before(v.Out[b].Since) })
}

// Dead lists the steps of a job that failed for good.
func (s *Store) Dead(ctx context.Context, id string) ([]wire.FailedStep, error) {
	h, err := s.rdb.HGetAll(ctx, deadKey(id)).Result()
	if err != nil {
		return nil, fmt.Errorf("read failed steps: %w", err)
	}
	list := make([]wire.FailedStep, 0, len(h))
	for _, body := range h {
		var d wire.FailedStep
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			return nil, fmt.Errorf("decode failed step: %w", err)
		}
		list = append(list, d)
	}
	sort.Slice(list, func(a, b int) bool { return list[a].At < list[b].At })
	return list, nil
}

// Findings lists what the steps of a job reported, in the order of their stages. More than KeptFindings are counted only.
func (s *Store) Findings(ctx context.Context, id string) ([]tasks.Finding, error) {
	h, err := s.rdb.HGetAll(ctx, findingsKey(id)).Result()
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(a, b int) bool {
		_, i, x := ParseKey(keys[a])
		_, j, y := ParseKey(keys[b])
		if i != j {
			return i < j
		}
		if len(x) != len(y) {
			return len(x) < len(y)
		}
		return x < y
	})
	var list []tasks.Finding
	for _, k := range keys {
		if h[k] == "" {
			continue
		}
		var page []tasks.Finding
		if err := json.Unmarshal([]byte(h[k]), &page); err != nil {
			return nil, fmt.Errorf("decode findings: %w", err)
		}
		list = append(list, page...)
	}
	return list, nil
}

// Events lists what happened to a job after the event of that id ("" for all that is kept), at most limit.
func (s *Store) Events(ctx context.Context, id, after string, limit int64) ([]wire.Event, error) {
	msgs, err := s.rdb.XRangeN(ctx, eventsKey(id), afterEvent(after), "+", limit).Result()
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return eventsOf(msgs), nil
}

// News reads where a job stands and, as of no earlier moment, Events, in one round trip. ErrNotFound when there is no such job.
func (s *Store) News(ctx context.Context, id, after string, limit int64) (tasks.State, []wire.Event, error) {
	var state *redis.StringCmd
	var msgs *redis.XMessageSliceCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		state, msgs = p.HGet(ctx, jobKey(id), "state"), p.XRangeN(ctx, eventsKey(id), afterEvent(after), "+", limit)
		return nil
	})
	if errors.Is(err, redis.Nil) {
		return "", nil, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read events: %w", err)
	}
	return tasks.State(state.Val()), eventsOf(msgs.Val()), nil
}

// afterEvent is the beginning of a range of what came after the event of an id; "" for all.
func afterEvent(id string) string {
	if id == "" {
		return "-"
	}
	return "(" + id
}

func eventsOf(msgs []redis.XMessage) []wire.Event {
	list := make([]wire.Event, 0, len(msgs))
	for _, m := range msgs {
		e := wire.Event{ID: m.ID, Fields: map[string]string{}}
		for k, v := range m.Values {
			text, _ := v.(string)
			switch k {
			case "type":
				e.Type = text
			case "at":
				e.At = time.UnixMilli(toInt(text)).UTC()
			default:
				e.Fields[k] = text
			}
		}
		list = append(list, e)
	}
	return list
}

// EventsTrimmed reports whether events after the one of that id were dropped, because more came than are kept.
func (s *Store) EventsTrimmed(ctx context.Context, id, after string) (bool, error) {
	oldest, err := s.rdb.XRangeN(ctx, eventsKey(id), "-", "+", 1).Result()
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	if len(oldest) == 0 {
		return false, nil
	}
	there, err := s.rdb.XRangeN(ctx, eventsKey(id), after, after, 1).Result()
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	return len(there) == 0 && olderThan(after, oldest[0].ID), nil
}

// olderThan compares two ids of a stream.
func olderThan(a, b string) bool {
	am, as := idParts(a)
	bm, bs := idParts(b)
	return am < bm || am == bm && as < bs
}

// idParts takes the id of an entry of a stream apart: its milliseconds, and its number within them.
func idParts(id string) (ms, seq uint64) {
	m, s, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(m, 10, 64)
	seq, _ = strconv.ParseUint(s, 10, 64)
	return ms, seq
}
