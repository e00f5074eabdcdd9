package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// Look says what the sweep looks for in a job. The zero value only hands out what is due.
type Look struct {
	Living  []string // workers that are alive
	Trusted bool     // Living may be used: who is not in it is lost
	AsOf    int64    // when Living was read, ms of Redis' clock: younger leases are left alone; 0 means that none is
	// Unbegun is for how long a step may be out without anybody having begun it.
	Unbegun time.Duration
	// Old is the age from which leases of living workers are listed; 0 means that none is.
	Old time.Duration
}

// Swept is what the sweep found in one job.
type Swept struct {
	Handout
	Lost    map[string]string // step key -> the worker that vanished with it
	Unbegun []Ref             // out for a while without anybody having begun them
	Old     []Lease           // leases of living workers that are old enough to be looked at
	Untold  bool              // there are notes for webhooks; of a job that is gone, too
	line    bool              // it is held, and may have fallen out of line
	Err     error             // why nothing is known of it: ErrNotFound, ErrNewer, or that it could not be asked. Only SweepAll sets it
}

// Lease is a step in the hands of an attempt.
type Lease struct {
	Ref     Ref // without its delivery
	Attempt string
	Worker  string
	Since   int64 // ms of Redis' clock
}

// Sweep looks through one job: gives back what lost workers held and hands out what is due. Any number of processes may
// sweep at the same time.
func (s *Store) Sweep(ctx context.Context, job string, look Look) (Swept, error) {
	v, err := sweepJob.Run(ctx, s.rdb, []string{jobKey(job)}, look.args()...).Result()
	w, err := parseSwept(job, v, err)
	if err == nil && w.line {
		err = s.putBack(ctx, job)[0].err
	}
	return w, err
}

// SweepAll is Sweep for many jobs in one call to Redis; the answers come in the order of the jobs.
func (s *Store) SweepAll(ctx context.Context, jobs []string, look Look) []Swept {
	args := look.args()
	cmds := make([]*redis.Cmd, len(jobs))
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each answer has its own error
		for i, job := range jobs {
			cmds[i] = sweepJob.EvalSha(ctx, p, []string{jobKey(job)}, args...)
		}
		return nil
	})
	all := make([]Swept, len(jobs))
	var held []string
	var at []int // where they stand in the list
	for i, job := range jobs {
		v, err := cmds[i].Result()
		if redis.HasErrorPrefix(err, "NOSCRIPT") { // a Redis that has not seen it yet; the first job brings it there
			v, err = sweepJob.Run(ctx, s.rdb, []string{jobKey(job)}, args...).Result()
		}
		all[i], err = parseSwept(job, v, err)
		if all[i].Err = err; all[i].line {
			held, at = append(held, job), append(at, i)
		}
	}
	for k, p := range s.putBack(ctx, held...) {
		if p.err != nil {
			all[at[k]].Err = fmt.Errorf("put job %s back in line: %w", held[k], p.err)
		}
	}
	return all
}

// args are what the script wants to know.
func (l Look) args() []any {
	flag := "0"
	if l.Trusted {
		flag = "1"
	}
	args := []any{flag, l.AsOf, l.Unbegun.Milliseconds(), l.Old.Milliseconds(), tasks.Protocol}
	for _, w := range l.Living {
		args = append(args, w)
	}
	return args
}

func parseSwept(job string, v any, err error) (Swept, error) {
	code, h, raw, err := parseReply(job, v, err)
	if err != nil {
		return Swept{}, fmt.Errorf("sweep job %s: %w", job, err)
	}
	untold := len(raw) > 8 && toInt(raw[8]) > 0
	switch code {
	case 1:
		return Swept{Untold: untold}, ErrNotFound
	case 2:
		return Swept{Handout: h}, ErrNewer
	}
	w := Swept{Handout: h, Lost: map[string]string{}, Untold: untold, line: raw[9] != ""}
	list := texts(raw[5])
	for i := 0; i+1 < len(list); i += 2 {
		w.Lost[list[i]] = list[i+1]
	}
	epoch, _ := raw[2].(int64)
	list = texts(raw[6])
	for i := 0; i+1 < len(list); i += 2 {
		w.Unbegun = append(w.Unbegun, Ref{Job: job, Epoch: epoch, Key: list[i], Delivery: toInt(list[i+1])})
	}
	list = texts(raw[7])
	for i := 0; i+3 < len(list); i += 4 {
		w.Old = append(w.Old, Lease{Ref{Job: job, Epoch: epoch, Key: list[i]}, list[i+1], list[i+2], toInt(list[i+3])})
	}
	return w, nil
}

// Forgotten reports whether the worker of a lease lives and does not know of it, so that it will never settle it: Redis came
// back as it was before the worker settled it. Its last heartbeat has to be that much younger than the lease, so that what
// it said it holds was put together after the lease was taken.
func (s *Store) Forgotten(ctx context.Context, l Lease, younger time.Duration) (bool, error) {
	v, err := s.rdb.HMGet(ctx, workerKey(l.Worker), "beat", "held").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("read heartbeat: %w", err)
	}
	beat, held := toInt(v[0]), v[1]
	text, ok := held.(string)
	return ok && beat-l.Since >= younger.Milliseconds() && !strings.Contains(text, l.Attempt), nil
}

// Revoke takes a lease back and hands its step out again. tasks.ErrStale when the attempt does not hold it any more.
func (s *Store) Revoke(ctx context.Context, l Lease) (Handout, error) {
	v, err := revoke.Run(ctx, s.rdb, []string{jobKey(l.Ref.Job)}, l.Ref.Key, l.Attempt).Result()
	h, err := fenced(l.Ref.Job, "revoke lease", v, err)
	if errors.Is(err, tasks.ErrStale) {
		return h, tasks.ErrStale
	}
	return h, err
}

// Sweeper returns the scheduler that sweeps the jobs of this build's protocol just now; "" is none.
func (s *Store) Sweeper(ctx context.Context) (string, error) {
	holder, err := s.rdb.Get(ctx, sweeperKey(tasks.Protocol)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read who sweeps: %w", err)
	}
	return holder, nil
}
