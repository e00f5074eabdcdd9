package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// JobView is a job as people and scripts see it; its JSON is a contract.
type JobView struct {
	ID        string            `json:"id"`
	Kind      string            `json:"kind"`
	Tenant    string            `json:"tenant"`
	State     tasks.State       `json:"state"`
	Labels    map[string]string `json:"labels,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	StartedAt *time.Time        `json:"started_at"`
	EndedAt   *time.Time        `json:"ended_at"`
	Error     *ErrorView        `json:"error"`
	Counters  CountersView      `json:"counters"`
	Findings  int64             `json:"findings"`
	Stages    []StageView       `json:"stages"`
	Workers   []string          `json:"workers"`
	Out       []OutView         `json:"out,omitempty"`
	Window    int               `json:"window"`
	Epoch     int64             `json:"epoch"`
	Spec      json.RawMessage   `json:"spec,omitempty"`
}

// ErrorView is what a person reads when a job failed, and what to do.
type ErrorView struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// CountersView counts steps and rows.
type CountersView struct {
	StepsKnown  int64 `json:"steps_known"`
	StepsDone   int64 `json:"steps_done"`
	StepsFailed int64 `json:"steps_failed"`
	tasks.Counters
}

// StageView is one stage of a job.
type StageView struct {
	Name      string       `json:"name"`
	State     string       `json:"state"` // waiting, open, done
	After     []string     `json:"after"`
	Rows      int64        `json:"rows_estimated"`
	Counters  CountersView `json:"counters"`
	StartedAt *time.Time   `json:"started_at"`
	EndedAt   *time.Time   `json:"ended_at"`
	ETA       *time.Time   `json:"eta"`
}

// OutView is a step that is on the queue (no worker yet) or under a lease.
type OutView struct {
	Stage  string    `json:"stage"`
	Step   string    `json:"step"`
	Worker string    `json:"worker,omitempty"`
	Since  time.Time `json:"since"`
}

// DeadView is a step that failed for good.
type DeadView struct {
	Stage  string `json:"stage"`
	Step   string `json:"step"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
	Worker string `json:"worker"`
	Failed int    `json:"failed"`
	At     int64  `json:"at_ms"`
}

// View reads a job with its stages and what is out. ErrNotFound when there is none.
func (s *Store) View(ctx context.Context, id string) (*JobView, error) {
	var job, stages, out *redis.MapStringStringCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		job, stages, out = p.HGetAll(ctx, jobKey(id)), p.HGetAll(ctx, stagesKey(id)), p.HGetAll(ctx, outKey(id))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	v, err := jobView(id, job.Val())
	if err != nil {
		return nil, err
	}
	v.addStages(stages.Val(), int(toInt(job.Val()["stages"])))
	v.addOut(out.Val())
	return v, nil
}

// List reads the newest jobs, without their stages; at most limit of them.
func (s *Store) List(ctx context.Context, limit int) ([]*JobView, error) {
	ids, err := s.rdb.ZRevRange(ctx, jobsKey, 0, int64(limit)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs := make([]*JobView, 0, len(ids))
	for _, id := range ids {
		v, err := s.View(ctx, id)
		if err != nil {
			continue // an index entry without a job
		}
		v.Stages, v.Out, v.Spec = []StageView{}, nil, nil
		jobs = append(jobs, v)
	}
	return jobs, nil
}

func jobView(id string, h map[string]string) (*JobView, error) {
	if h["json"] == "" {
		return nil, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	var job tasks.Job
	if err := json.Unmarshal([]byte(h["json"]), &job); err != nil {
		return nil, fmt.Errorf("decode job %s: %w", id, err)
	}
	v := &JobView{ID: id, Kind: job.Kind, Tenant: job.Tenant, State: tasks.State(h["state"]), Labels: job.Labels, CreatedAt: job.CreatedAt,
		StartedAt: msTime(h["started"]), EndedAt: msTime(h["ended"]), Findings: toInt(h["findings"]), Window: job.Window,
		Epoch: toInt(h["epoch"]), Spec: job.Spec, Workers: []string{}, Stages: []StageView{}}
	if h["error"] != "" {
		v.Error = &ErrorView{Message: h["error"], Hint: h["hint"]}
	}
	return v, nil
}

func msTime(s string) *time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func (v *JobView) addStages(h map[string]string, n int) {
	for i := range n {
		p := strconv.Itoa(i) + ":"
		st := StageView{Name: h[p+"name"], State: h[p+"state"], After: []string{}, Rows: toInt(h[p+"rows"]),
			StartedAt: msTime(h[p+"started"]), EndedAt: msTime(h[p+"ended"]),
			Counters: CountersView{toInt(h[p+"known"]), toInt(h[p+"done"]), toInt(h[p+"failed"]),
				tasks.Counters{Read: toInt(h[p+"read"]), Written: toInt(h[p+"written"]), Quarantined: toInt(h[p+"quarantined"]), Bytes: toInt(h[p+"bytes"])}}}
		for _, k := range strings.Split(h[p+"after"], ",") {
			if k != "" {
				st.After = append(st.After, h[k+":name"])
			}
		}
		st.ETA = eta(st, time.Now())
		c := &v.Counters
		c.StepsKnown += st.Counters.StepsKnown
		c.StepsDone += st.Counters.StepsDone
		c.StepsFailed += st.Counters.StepsFailed
		c.Counters = c.Counters.Add(st.Counters.Counters)
		v.Stages = append(v.Stages, st)
	}
}

// eta says when an open stage will have read its estimated rows at the rate it has had so far; nil when that is unknown.
func eta(st StageView, now time.Time) *time.Time {
	read := st.Counters.Read
	if st.State != "open" || st.StartedAt == nil || st.Rows <= read || read == 0 {
		return nil
	}
	t := now.Add(time.Duration(float64(now.Sub(*st.StartedAt)) * float64(st.Rows-read) / float64(read))).UTC().Truncate(time.Second)
	return &t
}

func (v *JobView) addOut(h map[string]string) {
	seen := map[string]bool{}
	for key, val := range h {
		p := strings.SplitN(val, "|", 4)
		if len(p) != 4 {
			continue
		}
		o := OutView{Worker: p[2], Since: time.UnixMilli(toInt(p[3])).UTC()}
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
func (s *Store) Dead(ctx context.Context, id string) ([]DeadView, error) {
	h, err := s.rdb.HGetAll(ctx, deadKey(id)).Result()
	if err != nil {
		return nil, fmt.Errorf("read failed steps: %w", err)
	}
	list := make([]DeadView, 0, len(h))
	for _, body := range h {
		var d DeadView
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

// Event is one entry of a job's event log.
type Event struct {
	ID     string            `json:"id"`
	Type   string            `json:"type"`
	At     time.Time         `json:"at"`
	Fields map[string]string `json:"fields,omitempty"`
}

// Events lists what happened to a job after the event of that id ("" for all that is kept), at most limit.
func (s *Store) Events(ctx context.Context, id, after string, limit int64) ([]Event, error) {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	msgs, err := s.rdb.XRangeN(ctx, eventsKey(id), from, "+", limit).Result()
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	list := make([]Event, 0, len(msgs))
	for _, m := range msgs {
		e := Event{ID: m.ID, Fields: map[string]string{}}
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
	return list, nil
}
