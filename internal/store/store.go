// Package store holds the truth about jobs, steps and workers in Redis. Every transition is one Lua script on keys that
// share the job's hash tag, so that it is atomic, fenced by the attempt's id, and works on a Redis Cluster.
//
// The store says what is to be put on the queue; it never does so itself. A crash between a transition and the enqueue that
// follows it leaves a step that is out and that nobody begins: the sweep sees it and queues it again. The sink's ledger
// stands below the store: when Redis has lost its last second, a step may run twice, and the ledger makes that harmless.
package store

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

// jobScript reads a script of a job, with what it needs of lib.lua in front.
func jobScript(name string) *redis.Script {
	return redis.NewScript(assemble(mustRead("lib"), mustRead(name)))
}

// fleetScript reads a script that is not of one job.
func fleetScript(name string) *redis.Script { return redis.NewScript(mustRead(name)) }

func mustRead(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic("store: script is missing from the binary: " + name)
	}
	return string(b)
}

var (
	createJob  = jobScript("create_job")
	planDone   = jobScript("plan_done")
	splitDone  = jobScript("split_done")
	beginStep  = jobScript("begin")
	saveStep   = jobScript("save")
	endStep    = jobScript("end")
	giveBack   = jobScript("give_back")
	failStep   = jobScript("fail")
	control    = jobScript("control")
	sweepJob   = jobScript("sweep")
	redeliver  = jobScript("redeliver")
	revoke     = jobScript("revoke")
	drainNote  = jobScript("drain")
	forgetJob  = jobScript("forget")
	beatScript = fleetScript("beat")
	living     = fleetScript("living")
	unlist     = fleetScript("unlist")

	admitTenant = fleetScript("admit")
	takeRate    = fleetScript("take")
)

// Errors that callers decide by.
var (
	ErrNotFound = errors.New("no such job")
	// ErrNoSuch: there is none of that name, of what is not a job. It is an ErrNotFound, too.
	ErrNoSuch error = noSuch{}
	// ErrConflict: the job exists, but something else was asked for; or it is in a state in which this cannot be done.
	ErrConflict = errors.New("conflict")
	// ErrChanged: it is not what the caller has seen any more.
	ErrChanged = errors.New("changed meanwhile")
	// ErrNewer: the job was created by a build of a newer protocol, whose schedulers look after it.
	ErrNewer = errors.New("job of a newer protocol")
)

type noSuch struct{}

func (noSuch) Error() string        { return "there is none" }
func (noSuch) Is(target error) bool { return target == ErrNotFound }

// Store is a connection to the truth. It may be used by any number of goroutines.
type Store struct {
	rdb    redis.UniversalClient
	begins together[beginner, beginning, Begin]
	ends   together[string, ending, ended]
}

// New makes a store on a Redis. The client stays the caller's.
func New(rdb redis.UniversalClient) *Store {
	s := &Store{rdb: rdb}
	s.begins.call, s.ends.call = s.beginAll, s.endAll
	return s
}

// Ping asks Redis whether it is there.
func (s *Store) Ping(ctx context.Context) error { return s.rdb.Ping(ctx).Err() }

// HoldSweep takes or keeps the right to sweep for d. At most one holder has it at a time; losing it is harmless, since
// every script of the sweep may run twice.
func (s *Store) HoldSweep(ctx context.Context, holder string, d time.Duration) (bool, error) {
	ok, err := s.rdb.SetNX(ctx, sweeperKey(tasks.Protocol), holder, d).Result()
	if err != nil || ok {
		return ok, err
	}
	cur, err := s.rdb.Get(ctx, sweeperKey(tasks.Protocol)).Result()
	if err == nil && cur != holder {
		// A right that ends later than anybody asks for was taken before Redis' clock was set back.
		if left := s.rdb.PTTL(ctx, sweeperKey(tasks.Protocol)).Val(); left > 2*d {
			err = s.rdb.PExpire(ctx, sweeperKey(tasks.Protocol), d).Err()
		}
		return false, err
	}
	if err != nil {
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		return false, err
	}
	return true, s.rdb.PExpire(ctx, sweeperKey(tasks.Protocol), d).Err()
}

// ReleaseSweep gives the right to sweep up, if holder has it.
func (s *Store) ReleaseSweep(ctx context.Context, holder string) error {
	cur, err := s.rdb.Get(ctx, sweeperKey(tasks.Protocol)).Result()
	if err != nil || cur != holder {
		return nil
	}
	return s.rdb.Del(ctx, sweeperKey(tasks.Protocol)).Err()
}

var idPool = sync.Pool{New: func() any { return new([12]byte) }}

// RandomID returns 24 hex digits from the system's random source; attempts and workers are fenced by such ids.
func RandomID() string {
	b := idPool.Get().(*[12]byte)
	defer idPool.Put(b)
	if _, err := rand.Read(b[:]); err != nil {
		panic("store: no random source: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

// Handout is what a transition leaves to be done: the state of the job after it, and the steps to put on the queue.
type Handout struct {
	State   string
	Queue   string // full name of the job's queue; "" when there is no such job
	Held    string // of a job that was just created, retried or begun anew: why nothing of it is started; "" when nothing holds it
	Enqueue []Ref
}

// parseReply takes {code, state, epoch, {key, delivery, ...}, queue} apart.
func parseReply(job string, v any, err error) (int64, Handout, []any, error) {
	if err != nil {
		return 0, Handout{}, nil, err
	}
	r, ok := v.([]any)
	if !ok || len(r) < 5 {
		return 0, Handout{}, nil, fmt.Errorf("unexpected reply of a script: %v", v)
	}
	code, _ := r[0].(int64)
	state, _ := r[1].(string)
	epoch, _ := r[2].(int64)
	list, _ := r[3].([]any)
	queue, _ := r[4].(string)
	h := Handout{State: state, Queue: queue}
	for i := 0; i+1 < len(list); i += 2 {
		key, _ := list[i].(string)
		h.Enqueue = append(h.Enqueue, Ref{Job: job, Epoch: epoch, Key: key, Delivery: toInt(list[i+1])})
	}
	return code, h, r, nil
}

func toInt(v any) int64 {
	switch x := v.(type) {
	case int64:
		return x
	case string:
		n, _ := strconv.ParseInt(x, 10, 64)
		return n
	}
	return 0
}
