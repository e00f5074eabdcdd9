package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// KeptFindings is how many findings of a job are kept; more are counted only.
const KeptFindings = 1000

// BeginCode is the answer to a worker that wants to run a step.
type BeginCode int

// Answers of Begin.
const (
	Begun      BeginCode = 0 // the lease is the attempt's
	Gone       BeginCode = 1 // it ended, a later delivery superseded it, or its job is over
	NotRunning BeginCode = 2 // the job is paused, is held or has failed; the step was given back
	Held       BeginCode = 3 // another attempt has it
)

// Begin is what a worker gets with a lease.
type Begin struct {
	Code     BeginCode
	Body     json.RawMessage // the step's body
	Cursor   tasks.Cursor    // the last checkpoint; for a split, the split cursor of its stage
	Counters tasks.Counters  // as of the last checkpoint
	Resumed  bool            // there is a checkpoint
	Failed   int             // failed attempts before this one
	Born     int64           // when the job was written, ms of Redis' clock: a job that was removed and submitted again has the same id and epoch
}

// Begin leases a step to a worker under a new attempt id. A crash afterwards is found by the sweep through the worker's
// heartbeats. The worker's version is for the job's report; "" when it has none. The same attempt may ask again, as go-redis does when a reply was lost.
// Steps of a job that are begun at the same time by the same worker are begun by one call of Redis.
func (s *Store) Begin(ctx context.Context, r Ref, attempt, worker, version string) (Begin, error) {
	if strings.Contains(worker, "|") {
		return Begin{}, tasks.Permanent(fmt.Errorf("begin step: worker id %q contains a |", worker))
	}
	return s.begins.do(ctx, beginner{r.Job, worker, version}, beginning{r, attempt})
}

// beginner is a worker that begins steps of a job.
type beginner struct{ job, worker, version string }

// beginning is a step that is to be begun.
type beginning struct {
	r       Ref
	attempt string
}

func (s *Store) beginAll(ctx context.Context, by beginner, list []beginning) ([]Begin, error) {
	args := make([]any, 0, 2+4*len(list))
	args = append(args, by.worker, by.version)
	for _, c := range list {
		args = append(args, c.r.Key, c.r.Delivery, c.r.Epoch, c.attempt)
	}
	v, err := beginStep.Run(ctx, s.rdb, []string{jobKey(by.job)}, args...).Slice()
	if err == nil && len(v) != len(list) {
		err = fmt.Errorf("unexpected reply of a script: %v", v)
	}
	if err != nil {
		return nil, fmt.Errorf("begin step: %w", err)
	}
	all := make([]Begin, len(list))
	for i, answer := range v {
		v, _ := answer.([]any)
		if len(v) == 0 {
			return nil, fmt.Errorf("begin step: unexpected reply of a script: %v", answer)
		}
		all[i] = parseBegin(v)
	}
	return all, nil
}

func parseBegin(v []any) Begin {
	code, _ := v[0].(int64)
	b := Begin{Code: BeginCode(code)}
	if b.Code != Begun {
		return b
	}
	if body, _ := v[1].(string); body != "" {
		b.Body = json.RawMessage(body)
	}
	if saved, _ := v[2].(string); saved != "" {
		b.Counters, b.Cursor = parseSaved(saved)
		b.Resumed = true
	}
	b.Failed = int(toInt(v[3]))
	b.Born = toInt(v[5])
	if extra, _ := v[4].(string); extra != "" {
		b.Cursor = tasks.Cursor(extra)
	}
	return b
}

func parseSaved(s string) (tasks.Counters, tasks.Cursor) {
	p := strings.SplitN(s, "|", 5)
	if len(p) != 5 {
		return tasks.Counters{}, nil
	}
	n := func(i int) int64 { x, _ := strconv.ParseInt(p[i], 10, 64); return x }
	bytes, skipped, _ := strings.Cut(p[3], "+")
	p[3] = bytes
	c := tasks.Counters{Read: n(0), Written: n(1), Quarantined: n(2), Bytes: n(3)}
	c.Skipped, _ = strconv.ParseInt(skipped, 10, 64)
	if p[4] == "" {
		return c, nil
	}
	return c, tasks.Cursor(p[4])
}

func formatCounters(c tasks.Counters) string {
	b := make([]byte, 0, 48)
	b = strconv.AppendInt(b, max(c.Read, 0), 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, max(c.Written, 0), 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, max(c.Quarantined, 0), 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, max(c.Bytes, 0), 10)
	if c.Skipped > 0 { // protocol 1 does not know it, and has no jobs that skip
		b = strconv.AppendInt(append(b, '+'), c.Skipped, 10)
	}
	return string(b)
}

// Save makes an attempt's counters durable, and its cursor unless keep is set. It returns tasks.ErrStale when the attempt no
// longer holds the step; interrupted says that the job is no longer running and wants its step back.
func (s *Store) Save(ctx context.Context, r Ref, attempt string, cursor tasks.Cursor, keep bool, c tasks.Counters) (interrupted bool, err error) {
	flag := "1"
	if keep {
		flag = "0"
	}
	code, err := saveStep.Run(ctx, s.rdb, []string{jobKey(r.Job)}, r.Key, attempt, formatCounters(c), flag, string(cursor)).Int()
	switch {
	case err != nil:
		return false, fmt.Errorf("save checkpoint: %w", err)
	case code == 1:
		return false, tasks.ErrStale
	}
	return code == 2, nil
}

// End says that a step's effect is complete. tasks.ErrStale when a later attempt holds it, or when it has ended before. Steps of a job
// that end at the same time are ended by one call of Redis; what it hands out is in the answer of the first of them.
func (s *Store) End(ctx context.Context, r Ref, attempt string, c tasks.Counters, findings []tasks.Finding) (Handout, error) {
	list := ""
	if len(findings) > 0 {
		b, err := json.Marshal(findings[:min(len(findings), KeptFindings)])
		if err != nil {
			return Handout{}, fmt.Errorf("encode findings: %w", err)
		}
		list = string(b)
	}
	e, err := s.ends.do(ctx, r.Job, ending{r.Key, attempt, formatCounters(c), list, len(findings)})
	if err == nil && e.stale {
		err = tasks.ErrStale
	}
	return e.Handout, err
}

// ending is a step that is over.
type ending struct {
	key, attempt, counters string
	findings               string // a list in JSON; "" is none
	found                  int
}

// ended is what came of that.
type ended struct {
	Handout
	stale bool
}

func (s *Store) endAll(ctx context.Context, job string, list []ending) ([]ended, error) {
	args := make([]any, 0, 1+5*len(list))
	args = append(args, KeptFindings)
	for _, e := range list {
		args = append(args, e.key, e.attempt, e.counters, e.findings, e.found)
	}
	v, err := endStep.Run(ctx, s.rdb, []string{jobKey(job)}, args...).Result()
	_, h, raw, err := parseReply(job, v, err)
	var codes []any
	if err == nil && len(raw) > 5 {
		codes, _ = raw[5].([]any)
	}
	if err == nil && len(codes) != len(list) {
		err = fmt.Errorf("unexpected reply of a script: %v", v)
	}
	if err != nil {
		return nil, fmt.Errorf("end step: %w", err)
	}
	all := make([]ended, len(list))
	for i := range all {
		all[i] = ended{Handout{State: h.State, Queue: h.Queue}, toInt(codes[i]) != 0}
		if !all[i].stale {
			all[i].Enqueue, h.Enqueue = h.Enqueue, nil
		}
	}
	return all, nil
}

// GiveBack returns a step to be handed out again after d, without spending its retry budget.
func (s *Store) GiveBack(ctx context.Context, r Ref, attempt, worker string, c tasks.Counters, after time.Duration, reason string) (Handout, error) {
	v, err := giveBack.Run(ctx, s.rdb, []string{jobKey(r.Job)}, r.Key, attempt, formatCounters(c), after.Milliseconds(), reason, worker).Result()
	return fenced(r.Job, "give back step", v, err)
}

// Failure is what a failed attempt says.
type Failure struct {
	Reason    string
	Hint      string
	Permanent bool          // no retry can help
	After     time.Duration // when to try again, if the budget allows
}

// Fail counts a failed attempt. final says that the step has failed for good.
func (s *Store) Fail(ctx context.Context, r Ref, attempt, worker string, f Failure) (h Handout, final bool, err error) {
	permanent := "0"
	if f.Permanent {
		permanent = "1"
	}
	v, err := failStep.Run(ctx, s.rdb, []string{jobKey(r.Job)}, r.Key, attempt, f.Reason, f.Hint, permanent, f.After.Milliseconds(), worker).Result()
	code, h, _, err := parseReply(r.Job, v, err)
	switch {
	case err != nil:
		return h, false, fmt.Errorf("fail step: %w", err)
	case code == 1:
		return h, false, tasks.ErrStale
	}
	return h, code == 2, nil
}

// PlanDone ends the planning attempt of a job with its stages.
func (s *Store) PlanDone(ctx context.Context, r Ref, attempt string, stages []tasks.Stage) (Handout, error) {
	index := map[string]int{}
	for i, st := range stages {
		if _, twice := index[st.Name]; twice || st.Name == "" {
			return Handout{}, tasks.Permanent(fmt.Errorf("plan: stage name %q is empty or used twice", st.Name))
		}
		index[st.Name] = i
	}
	args := []any{attempt, len(stages)}
	for i, st := range stages {
		var after []string
		for _, name := range st.After {
			k, ok := index[name]
			if !ok || k >= i {
				return Handout{}, tasks.Permanent(fmt.Errorf("plan: stage %q waits for %q, which does not stand before it", st.Name, name))
			}
			after = append(after, strconv.Itoa(k))
		}
		args = append(args, st.Name, strings.Join(after, ","), string(st.Detail), st.Rows)
	}
	v, err := planDone.Run(ctx, s.rdb, []string{jobKey(r.Job)}, args...).Result()
	return fenced(r.Job, "end planning", v, err)
}

// SplitDone ends a split attempt: adds its page of steps, once, and moves the split cursor. A nil next ends the stage's split.
func (s *Store) SplitDone(ctx context.Context, r Ref, attempt string, steps []tasks.Step, next tasks.Cursor) (Handout, error) {
	last := "0"
	switch {
	case next == nil:
		last = "1"
	case len(next) == 0:
		return Handout{}, tasks.Permanent(fmt.Errorf("split: an empty cursor would begin the stage anew; nil ends it"))
	}
	args := []any{r.Key, attempt, string(next), last}
	for _, st := range steps {
		if st.ID == "" {
			return Handout{}, tasks.Permanent(fmt.Errorf("split: a step has no id"))
		}
		args = append(args, st.ID, string(st.Body))
	}
	v, err := splitDone.Run(ctx, s.rdb, []string{jobKey(r.Job)}, args...).Result()
	return fenced(r.Job, "end split", v, err)
}

// fenced reads the reply of a script whose code 1 means that the attempt does not hold the step.
func fenced(job, what string, v any, err error) (Handout, error) {
	code, h, _, err := parseReply(job, v, err)
	switch {
	case err != nil:
		return h, fmt.Errorf("%s: %w", what, err)
	case code == 1:
		return h, tasks.ErrStale
	}
	return h, nil
}

// Redeliver hands a step out again whose task went astray between the queue and Begin.
func (s *Store) Redeliver(ctx context.Context, r Ref) (Handout, error) {
	v, err := redeliver.Run(ctx, s.rdb, []string{jobKey(r.Job)}, r.Key, r.Delivery, r.Epoch).Result()
	_, h, _, err := parseReply(r.Job, v, err)
	if err != nil {
		return h, fmt.Errorf("redeliver step: %w", err)
	}
	return h, nil
}
