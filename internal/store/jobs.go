package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// JobID returns the id of a job. With an idempotency key the id is derived from it, so that a job that is submitted again
// after the loss of everything but its target finds its own ledger there. Without one it is random.
func JobID(kind, tenant, idempotencyKey string) string {
	head := kind
	if len(head) > 3 {
		head = head[:3]
	}
	if idempotencyKey == "" {
		return head + "-" + RandomID()[:16]
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + tenant + "\x00" + idempotencyKey))
	return head + "-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

// Create writes a job that nobody in particular asked for; see CreateBy.
func (s *Store) Create(ctx context.Context, job tasks.Job) (h Handout, created bool, err error) {
	return s.CreateBy(ctx, job, "")
}

// CreateBy writes a job once, with who asked for it, for its report; "" when nobody knows. created is false when it was there already, asked for in the same words; ErrConflict when the
// same id was used for something else. A crash after Create leaves a job that the sweep finds.
func (s *Store) CreateBy(ctx context.Context, job tasks.Job, by string) (h Handout, created bool, err error) {
	if job.Window <= 0 {
		job.Window = tasks.DefaultWindow
	}
	if job.Queue == tasks.DefaultQueue {
		job.Queue = "" // the same words for the same job
	}
	job.Protocol = tasks.Protocol
	sum := sumOf(job)
	if job.CreatedAt.IsZero() {
		job.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
	}
	body, err := json.Marshal(job)
	if err != nil {
		return h, false, fmt.Errorf("encode job: %w", err)
	}
	retries := job.Policy.Retries
	switch {
	case retries == 0:
		retries = tasks.DefaultRetries
	case retries < 0:
		retries = 0
	}
	if err := s.relate(ctx, job); err != nil {
		return h, false, fmt.Errorf("create job: %w", err)
	}
	held, err := s.enlist(ctx, job)
	if err != nil {
		return h, false, fmt.Errorf("create job: %w", err)
	}
	about, err := aboutOf(job)
	if err != nil {
		return h, false, err
	}
	v, err := s.createIndexed(ctx, job, held, string(body), job.Window, sum, job.CreatedAt.UnixMilli(), retries, job.Policy.OnFailure,
		QueueName(job.Queue, job.Protocol, job.Priority), job.Protocol, held, by, about, job.Kind)
	code, h, _, err := parseReply(job.ID, v, err)
	switch {
	case err != nil:
		return h, false, fmt.Errorf("create job: %w", err)
	case code == 2:
		return h, false, fmt.Errorf("job %s: %w: it was created with another spec", job.ID, ErrConflict)
	}
	if code == 1 {
		h.Held = held
	}
	return h, code == 1, nil
}

// createIndexed writes a job and then, once more, its entry in what the sweep looks through and its place in line: a sweep in
// between may have dropped both, for want of the job. Where one server keeps all of it, that is one round trip; a cluster might
// do the second before the first.
func (s *Store) createIndexed(ctx context.Context, job tasks.Job, held string, args ...any) (reply any, err error) {
	keys := []string{jobKey(job.ID)}
	index := func(p redis.Pipeliner) {
		p.SAdd(ctx, activeKey, job.ID)
		putInLine(ctx, p, job, held)
	}
	if _, spread := s.rdb.(*redis.ClusterClient); !spread {
		var created *redis.Cmd
		_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			created = createJob.EvalSha(ctx, p, keys, args...)
			index(p)
			return nil
		})
		if !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return created.Val(), err
		}
	}
	if reply, err = createJob.Run(ctx, s.rdb, keys, args...).Result(); err == nil {
		_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			index(p)
			return nil
		})
	}
	return reply, err
}

// enlist puts a job into the indexes and says why it is held, "" when it is not. The indexes come before the job: one that is
// in no index would never be swept, and an index entry without a job is dropped by the sweep.
func (s *Store) enlist(ctx context.Context, job tasks.Job) (held string, err error) {
	ms := float64(job.CreatedAt.UnixMilli())
	var maintenance *redis.BoolCmd
	var limits *redis.SliceCmd
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAddNX(ctx, jobsKey, redis.Z{Score: ms, Member: job.ID})
		p.ZAddNX(ctx, tenantJobsKey(job.Tenant), redis.Z{Score: ms, Member: job.ID})
		p.SAdd(ctx, activeKey, job.ID)
		if job.KeepFor > 0 {
			p.ZAddNX(ctx, briefKey, redis.Z{Score: ms + float64(job.KeepFor.Milliseconds()), Member: job.ID})
		}
		maintenance = p.HExists(ctx, maintenanceKey, job.Kind)
		limits = p.HMGet(ctx, limitsKey, job.Tenant, AnyTenant)
		return nil
	})
	if err != nil {
		return "", err
	}
	var l wire.Limits
	for _, v := range limits.Val() {
		if body, ok := v.(string); ok {
			if err := json.Unmarshal([]byte(body), &l); err != nil {
				return "", fmt.Errorf("decode limits: %w", err)
			}
			break
		}
	}
	return s.hold(ctx, job, l, maintenance.Val())
}

// KeepFor is how long an Idempotency-Key is remembered: as long as ended jobs are kept, unless a schedule says otherwise.
const KeepFor = 30 * 24 * time.Hour

// Remember notes under an Idempotency-Key of a tenant which job it stands for, for KeepFor. It returns
// the id that the key stands for: another than id when the key was used before for something else.
func (s *Store) Remember(ctx context.Context, tenant, key, id string) (string, error) {
	at := idempotencyKey(tenant, key)
	ok, err := s.rdb.SetNX(ctx, at, id, KeepFor).Result()
	if err == nil && !ok {
		id, err = s.rdb.Get(ctx, at).Result()
	}
	if err != nil {
		return "", fmt.Errorf("remember idempotency key: %w", err)
	}
	return id, nil
}

// sumOf is the sum of what was asked for, without when, by which build and in which trace.
func sumOf(job tasks.Job) string {
	job.CreatedAt, job.Protocol, job.Trace = time.Time{}, 0, ""
	b, _ := json.Marshal(job)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Verb is what can be done to a job.
type Verb string

// The verbs of Control.
const (
	Pause   Verb = "pause"   // nothing more is handed out; running attempts give back within their checkpoint interval
	Resume  Verb = "resume"  // goes on
	Cancel  Verb = "cancel"  // stops for good; what had taken effect stays
	Retry   Verb = "retry"   // steps that failed for good are tried again, with a new budget
	Restart Verb = "restart" // a job that has ended begins anew; ledgers make what took effect a no-op
	Admit   Verb = "admit"   // what held the job does so no more; only stint itself does this
)

// Control moves a job. One that is retried or begun anew gets into its tenant's line where that has a limit: see Admit, which the
// caller calls then. match is the version (see Version) that the job must have, "" for any. ErrNotFound; ErrConflict (with
// the state in its text) when the job is in no state for it; ErrChanged when it has another version.
func (s *Store) Control(ctx context.Context, id string, verb Verb, who, match string) (Handout, error) {
	held := ""
	if verb == Retry || verb == Restart {
		err := s.announce(ctx, id)
		if err == nil {
			held, err = s.lineUp(ctx, id)
		}
		if err != nil {
			return Handout{}, fmt.Errorf("%s job: %w", verb, err)
		}
	}
	var code int64
	var h Handout
	var err error
	const more = 4
	for wish, from := RandomID(), any("0"); ; {
		var v any
		var raw []any
		v, err = control.Run(ctx, s.rdb, []string{jobKey(id)}, string(verb), who, match, held, wish, from).Result()
		if code, h, raw, err = parseReply(id, v, err); err != nil || code != more {
			break
		}
		from = raw[5]
		if err = s.announce(ctx, id); err != nil { // again: pages may take long
			break
		}
	}
	if err == nil && (verb == Retry || verb == Restart) {
		err = s.announced(ctx, id)
		if err == nil && code == 0 && held != "" {
			now := s.putBack(ctx, id)[0] // again: whoever lets jobs in may have found that this one has ended
			h.Held, err = now.held, now.err
		}
	}
	switch {
	case err != nil:
		return h, fmt.Errorf("%s job: %w", verb, err)
	case code == 1:
		return h, fmt.Errorf("job %s: %w", id, ErrNotFound)
	case code == 2:
		return h, fmt.Errorf("cannot %s job %s, which is %s: %w", verb, id, h.State, ErrConflict)
	case code == 3:
		return h, fmt.Errorf("job %s is %s: %w", id, h.State, ErrChanged)
	}
	return h, nil
}

// announcedFor is longer than it takes to move a job, or to go through a page of a retry.
const announcedFor = time.Minute

// announce has a job that has ended stay among those that the sweep looks through while somebody moves it: who dies with that leaves a job
// that is swept.
func (s *Store) announce(ctx context.Context, id string) error {
	err := s.rdb.Set(ctx, movesKey(id), 1, announcedFor).Err()
	if err == nil {
		err = s.rdb.SAdd(ctx, activeKey, id).Err()
	}
	return err
}

// announced is what follows when the job has moved, or does not: its state says from now on whether it is swept, see Deactivate.
func (s *Store) announced(ctx context.Context, id string) error {
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, activeKey, id)
		p.Unlink(ctx, movesKey(id))
		return nil
	})
	return err
}

// Version names the state of a job, and which run of it that is: what Control may be asked to match.
func Version(v *wire.Job) string { return fmt.Sprintf("%d-%s", v.Epoch, v.State) }

// Job reads a job as it was accepted, and its epoch.
func (s *Store) Job(ctx context.Context, id string) (tasks.Job, int64, error) {
	var job tasks.Job
	v, err := s.rdb.HMGet(ctx, jobKey(id), "json", "epoch").Result()
	if err != nil {
		return job, 0, fmt.Errorf("read job: %w", err)
	}
	body, ok := v[0].(string)
	if !ok {
		return job, 0, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		return job, 0, fmt.Errorf("decode job %s: %w", id, err)
	}
	return job, toInt(v[1]), nil
}

// Stage reads stage i of a job as it was planned.
func (s *Store) Stage(ctx context.Context, id string, i int) (tasks.Stage, error) {
	p := strconv.Itoa(i) + ":"
	v, err := s.rdb.HMGet(ctx, stagesKey(id), p+"name", p+"detail", p+"rows").Result()
	if err != nil {
		return tasks.Stage{}, fmt.Errorf("read stage: %w", err)
	}
	name, ok := v[0].(string)
	if !ok {
		return tasks.Stage{}, fmt.Errorf("stage %d of job %s: %w", i, id, ErrNotFound)
	}
	st := tasks.Stage{Name: name, Rows: toInt(v[2])}
	if d, _ := v[1].(string); d != "" {
		st.Detail = json.RawMessage(d)
	}
	return st, nil
}

// Active lists the ids of the jobs that have not ended.
func (s *Store) Active(ctx context.Context) ([]string, error) {
	return s.rdb.SMembers(ctx, activeKey).Result()
}

// Deactivate takes an ended or vanished job out of what the sweep looks through, and puts it back when it has been retried
// or created since the sweep saw it, is about to be, or has something to tell. Who moves a job out of an ended state announces that before he
// adds it, and adds it once more after the move, so one of both does.
func (s *Store) Deactivate(ctx context.Context, id string) error {
	if err := s.rdb.SRem(ctx, activeKey, id).Err(); err != nil {
		return fmt.Errorf("drop job from the sweep: %w", err)
	}
	var state *redis.StringCmd
	var untold, moves *redis.IntCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		state, untold, moves = p.HGet(ctx, jobKey(id), "state"), p.HLen(ctx, outboxKey(id)), p.Exists(ctx, movesKey(id))
		return nil
	})
	if errors.Is(err, redis.Nil) { // there is no such job any more
		err = cmp.Or(untold.Err(), moves.Err())
	}
	if err == nil && (untold.Val() > 0 || moves.Val() > 0 || state.Err() == nil && !tasks.State(state.Val()).Ended()) {
		err = s.rdb.SAdd(ctx, activeKey, id).Err()
	}
	if err != nil {
		return fmt.Errorf("drop job from the sweep: %w", err)
	}
	return nil
}

// Forget removes a job that has ended, and all that is kept of it; one that is not there is forgotten already. Its ledger in the target
// stays. ErrConflict when it has not ended, or was begun anew meanwhile.
func (s *Store) Forget(ctx context.Context, id string) error {
	done, err := s.forget(ctx, id, "", 0)
	if err == nil && !done {
		err = fmt.Errorf("forget job %s: it has not ended: %w", id, ErrConflict)
	}
	return err
}

// forget removes a job that has ended in that way, "" being any, and so long ago. done is false when it was left alone. A crash in the middle
// leaves entries in indexes, which the next Retire finds.
func (s *Store) forget(ctx context.Context, id string, state tasks.State, ago time.Duration) (done bool, err error) {
	job, _, err := s.Job(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	v, err := forgetJob.Run(ctx, s.rdb, []string{jobKey(id)}, string(state), ago.Milliseconds(), untoldKept.Milliseconds()).Slice()
	if err != nil {
		return false, fmt.Errorf("forget job: %w", err)
	}
	switch toInt(v[0]) {
	case 2:
		return false, nil
	case 1: // only its entries are left, if anything is
		_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.ZRem(ctx, jobsKey, id)
			return nil
		})
	default:
		for _, index := range []string{jobsKey, tenantJobsKey(job.Tenant)} {
			if e := unlist.Run(ctx, s.rdb, []string{index}, id, v[1]).Err(); e != nil {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		return false, fmt.Errorf("forget job: %w", err)
	}
	return true, s.Deactivate(ctx, id)
}

// Retire forgets jobs that have ended longer than keepFor ago and are not among the newest keep; the first created first, at most limit
// of them. It returns how many; fewer than limit means that no more are left. Their ledgers in the targets stay: the same
// command would still find that nothing is left to do.
func (s *Store) Retire(ctx context.Context, keepFor time.Duration, keep, limit int) (removed int, err error) {
	all, err := s.rdb.ZCard(ctx, jobsKey).Result()
	if err != nil {
		return 0, fmt.Errorf("retire jobs: %w", err)
	}
	edge := strconv.FormatInt(time.Now().Add(-keepFor).UnixMilli(), 10)
	// Jobs that still run, or ended not so long ago, are passed over, however many and however old.
	for kept := 0; removed < limit; {
		page := min(int(all)-keep-kept-removed, 100, limit-removed)
		if page <= 0 {
			return removed, nil
		}
		old, err := s.rdb.ZRangeByScore(ctx, jobsKey, &redis.ZRangeBy{Min: "-inf", Max: edge, Offset: int64(kept), Count: int64(page)}).Result()
		if err != nil {
			return removed, fmt.Errorf("retire jobs: %w", err)
		}
		if len(old) == 0 {
			return removed, nil
		}
		for _, id := range old {
			done, err := s.forget(ctx, id, "", keepFor)
			if err != nil {
				return removed, fmt.Errorf("retire jobs: %w", err)
			}
			if !done {
				kept++
				continue
			}
			removed++
		}
	}
	return removed, nil
}

// RetireBrief forgets jobs that have succeeded and were to be kept for a short time, and returns how many of those whose time has come
// it has looked at, at most limit.
func (s *Store) RetireBrief(ctx context.Context, limit int) (int, error) {
	now := time.Now()
	ids, err := s.rdb.ZRangeByScore(ctx, briefKey, &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now.UnixMilli(), 10), Count: int64(limit)}).Result()
	if err != nil {
		return 0, fmt.Errorf("retire jobs: %w", err)
	}
	for _, id := range ids {
		state, err := s.rdb.HGet(ctx, jobKey(id), "state").Result()
		switch {
		case err != nil && !errors.Is(err, redis.Nil):
			return 0, fmt.Errorf("retire jobs: %w", err)
		case state == string(tasks.Succeeded):
			done, err := s.forget(ctx, id, tasks.Succeeded, 0)
			if err != nil {
				return 0, fmt.Errorf("retire jobs: %w", err)
			}
			if !done {
				continue // begun anew in this moment: it is looked at again
			}
		case state != "" && !tasks.State(state).Ended():
			if err := s.rdb.ZAdd(ctx, briefKey, redis.Z{Score: float64(now.Add(time.Minute).UnixMilli()), Member: id}).Err(); err != nil {
				return 0, fmt.Errorf("retire jobs: %w", err)
			}
			continue
		}
		if err := s.rdb.ZRem(ctx, briefKey, id).Err(); err != nil {
			return 0, fmt.Errorf("retire jobs: %w", err)
		}
	}
	return len(ids), nil
}
