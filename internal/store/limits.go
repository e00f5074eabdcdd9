package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Why a job is held: accepted, and nothing of it is started.
const (
	HeldByLimit       = "limit"       // its tenant has as many running jobs as it may have
	HeldByMaintenance = "maintenance" // its kind is under maintenance
)

// AnyTenant is the name under which the limits of tenants stand that have none of their own.
const AnyTenant = "*"

// SetLimits says what a tenant (or AnyTenant) may use at once. The zero limits take away what was said before.
func (s *Store) SetLimits(ctx context.Context, tenant string, l wire.Limits) error {
	if l == (wire.Limits{}) && tenant != AnyTenant {
		return s.rdb.HDel(ctx, limitsKey, tenant).Err()
	}
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode limits: %w", err)
	}
	return s.rdb.HSet(ctx, limitsKey, tenant, body).Err()
}

// Limits reads what tenants may use at once, by tenant; AnyTenant holds for those that are not named.
func (s *Store) Limits(ctx context.Context) (Limits, error) {
	h, err := s.rdb.HGetAll(ctx, limitsKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	list := Limits{}
	for tenant, body := range h {
		var l wire.Limits
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			return nil, fmt.Errorf("decode limits of %q: %w", tenant, err)
		}
		list[tenant] = l
	}
	return list, nil
}

// Limits are what tenants may use at once, by tenant. The zero value limits nobody.
type Limits map[string]wire.Limits

// Of returns what a tenant may use at once; 0 is without limit.
func (l Limits) Of(tenant string) wire.Limits {
	if own, ok := l[tenant]; ok {
		return own
	}
	return l[AnyTenant]
}

// hold says why a new job is not started at once; "" when it is. A job that its tenant's limit may hold is put in line, and
// comes out of it at once when there is room: see Admit.
func (s *Store) hold(ctx context.Context, job tasks.Job, limits wire.Limits, maintenance bool) (held string, err error) {
	switch {
	case maintenance:
		held = HeldByMaintenance
	case limits.RunningJobs > 0:
		held = HeldByLimit
	default:
		return "", nil
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		putInLine(ctx, p, job, held)
		return nil
	})
	return held, err
}

// lineUp puts a job that is about to go on after its end into the line of its tenant, if that has a limit, and says why it is held.
// Without, whoever has many ended jobs could start them all at once. One that cannot go on comes out of the line by itself: whoever
// lets it in finds that nothing holds it, and Reconcile that it has ended.
func (s *Store) lineUp(ctx context.Context, id string) (held string, err error) {
	job, _, err := s.Job(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return "", nil // Control says so
	}
	if err != nil {
		return "", err
	}
	l, err := s.LimitsOf(ctx, job.Tenant)
	if err != nil {
		return "", err
	}
	return s.hold(ctx, job, l, false)
}

// putInLine notes where those who let jobs in find one that is held. Doing it again changes nothing.
func putInLine(ctx context.Context, p redis.Pipeliner, job tasks.Job, held string) {
	switch held {
	case HeldByMaintenance:
		p.SAdd(ctx, maintainedKey, job.Kind+" "+job.ID)
	case HeldByLimit:
		// Higher priority first, older first within one.
		rank := float64(tasks.MaxPriority-job.Priority)*1e13 + float64(job.CreatedAt.UnixMilli())
		p.ZAddNX(ctx, tenantWaitingKey(job.Tenant), redis.Z{Score: rank, Member: job.ID})
		p.SAdd(ctx, limitedKey, job.Tenant) // the second: see passOver
	}
}

// Admit lets jobs of a tenant in while fewer than its limit run. What it returns has to be put on the queue. Any number of
// processes may do so at once; a crash in between leaves a job that was let in and is still held: Reconcile finds it.
func (s *Store) Admit(ctx context.Context, tenant string, limit int) ([]Handout, error) {
	var list []Handout
	for again := true; again; {
		again = false
		ids, err := admitTenant.Run(ctx, s.rdb, []string{tenantWaitingKey(tenant), tenantRunningKey(tenant)}, limit).StringSlice()
		if err != nil && !errors.Is(err, redis.Nil) {
			return list, fmt.Errorf("admit jobs of %q: %w", tenant, err)
		}
		for _, id := range ids {
			h, put, err := s.admitUnlessMaintained(ctx, tenant, id)
			if err != nil {
				return list, err
			}
			list = append(list, h)
			again = again || put // its place is free for the next in line
		}
	}
	return list, nil
}

// admitUnlessMaintained lets in one job whose tenant has room for it. One whose kind has come under maintenance while it was in
// line changes into the line of those; LetGo brings it back.
func (s *Store) admitUnlessMaintained(ctx context.Context, tenant, id string) (h Handout, maintained bool, err error) {
	under, err := s.rdb.HKeys(ctx, maintenanceKey).Result()
	if err != nil {
		return h, false, fmt.Errorf("read maintenance: %w", err)
	}
	if len(under) > 0 {
		v, err := s.rdb.HMGet(ctx, jobKey(id), "json", "held").Result()
		if err != nil {
			return h, false, fmt.Errorf("admit job %s: %w", id, err)
		}
		var job tasks.Job
		if body, ok := v[0].(string); ok && v[1] != nil {
			if err := json.Unmarshal([]byte(body), &job); err != nil {
				return h, false, fmt.Errorf("decode job %s: %w", id, err)
			}
		}
		if job.ID != "" && slices.Contains(under, job.Kind) {
			// Into the one line before it leaves the other, so that a crash in between does not lose it.
			err := s.rdb.SAdd(ctx, maintainedKey, job.Kind+" "+id).Err()
			if err == nil {
				err = s.rdb.SRem(ctx, tenantRunningKey(tenant), id).Err()
			}
			if err != nil {
				return h, false, fmt.Errorf("hold job %s: %w", id, err)
			}
			return h, true, nil
		}
	}
	h, err = s.admit(ctx, id)
	return h, false, err
}

// admit lets one job in; one that is gone or not held any more is no error.
func (s *Store) admit(ctx context.Context, id string) (Handout, error) {
	h, err := s.Control(ctx, id, Admit, "stint", "")
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		return Handout{}, nil
	}
	return h, err
}

// Release takes a job that has ended out of its tenant's count. One that has been begun anew meanwhile is back in it, or in line,
// afterwards; who dies in between leaves one that is not counted, or that the sweep puts back in line.
func (s *Store) Release(ctx context.Context, tenant, id string) error {
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SRem(ctx, tenantRunningKey(tenant), id)
		p.ZRem(ctx, tenantWaitingKey(tenant), id)
		return nil
	})
	if err == nil {
		err = s.putBack(ctx, id)[0].err
	}
	if err != nil {
		return fmt.Errorf("release job %s: %w", id, err)
	}
	return nil
}

// place is where a job belongs: why it is held, "" when nothing holds it; or why that is not known.
type place struct {
	held string
	err  error
}

// putBack puts jobs that have not ended where they belong: in line, when they are held, else among those of their tenant that count as
// running. One that moves on meanwhile is in the wrong place then, where Reconcile finds it.
func (s *Store) putBack(ctx context.Context, ids ...string) []place {
	places := make([]place, len(ids))
	seen := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			seen[i] = p.HMGet(ctx, jobKey(id), "state", "held", "json")
		}
		return nil
	})
	if err != nil {
		return slices.Repeat([]place{{err: err}}, len(ids))
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			v := seen[i].Val()
			state, _ := v[0].(string)
			if state == "" || tasks.State(state).Ended() {
				continue
			}
			body, _ := v[2].(string)
			var job tasks.Job
			if err := json.Unmarshal([]byte(body), &job); err != nil {
				places[i].err = fmt.Errorf("decode job %s: %w", id, err)
				continue
			}
			held, _ := v[1].(string)
			if places[i].held = held; held == "" {
				p.SAdd(ctx, tenantRunningKey(job.Tenant), id)
				p.SAdd(ctx, limitedKey, job.Tenant) // the second: see passOver
			} else {
				putInLine(ctx, p, job, held)
			}
		}
		return nil
	})
	for i := range places {
		places[i].err = errors.Join(places[i].err, err)
	}
	return places
}

// Reconcile makes the counts of limited tenants true again after crashes, and lets in what there is room for.
func (s *Store) Reconcile(ctx context.Context) ([]Handout, error) {
	tenants, err := s.rdb.SMembers(ctx, limitedKey).Result()
	if err != nil || len(tenants) == 0 {
		return nil, err
	}
	limits, err := s.Limits(ctx)
	if err != nil {
		return nil, err
	}
	var list []Handout
	for _, tenant := range tenants {
		running, err := s.rdb.SMembers(ctx, tenantRunningKey(tenant)).Result()
		if err != nil {
			return list, fmt.Errorf("reconcile tenant %q: %w", tenant, err)
		}
		for _, id := range running {
			v, err := s.rdb.HMGet(ctx, jobKey(id), "state", "held").Result()
			if err != nil {
				return list, fmt.Errorf("reconcile tenant %q: %w", tenant, err)
			}
			state, _ := v[0].(string)
			switch {
			case state == "" || tasks.State(state).Ended():
				err = s.Release(ctx, tenant, id)
			case v[1] != nil:
				var h Handout
				h, _, err = s.admitUnlessMaintained(ctx, tenant, id)
				list = append(list, h)
			}
			if err != nil {
				return list, err
			}
		}
		more, err := s.Admit(ctx, tenant, limits.Of(tenant).RunningJobs)
		list = append(list, more...)
		if err == nil && len(running) == 0 && len(more) == 0 {
			err = s.passOver(ctx, tenant)
		}
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// passOver takes a tenant out of what Reconcile looks through when no job of it waits or is counted. Who puts one in line names
// the tenant after that, and the look here comes after the removal, so one of both does.
func (s *Store) passOver(ctx context.Context, tenant string) error {
	if err := s.rdb.SRem(ctx, limitedKey, tenant).Err(); err != nil {
		return fmt.Errorf("pass over tenant %q: %w", tenant, err)
	}
	n, err := s.rdb.Exists(ctx, tenantWaitingKey(tenant), tenantRunningKey(tenant)).Result()
	if err == nil && n > 0 {
		err = s.rdb.SAdd(ctx, limitedKey, tenant).Err()
	}
	if err != nil {
		return fmt.Errorf("pass over tenant %q: %w", tenant, err)
	}
	return nil
}

// comesBack is how much later than it was told a step may ask again before its job loses its place in line: it goes back to the queue
// meanwhile, and the sweep hands it out.
const comesBack = 2 * time.Second

// Take takes a step of a job from its tenant's rate of so many a second, with a burst of one second's worth. It returns how long to wait
// before asking again; 0 means that the step may run. Jobs that wait are served in turn, however many steps each has. The algorithm
// is GCRA: ITU-T I.371, as Redis users know it from redis-cell.
func (s *Store) Take(ctx context.Context, tenant, job string, perSecond int) (time.Duration, error) {
	us, err := takeRate.Run(ctx, s.rdb, tenantRateKeys(tenant), perSecond, job, comesBack.Microseconds()).Int64()
	if err != nil {
		return 0, fmt.Errorf("take from the rate of %q: %w", tenant, err)
	}
	return time.Duration(us) * time.Microsecond, nil
}

// SetMaintenance puts a kind under maintenance: its jobs are accepted, and nothing of a new one is started. Jobs that have
// started go on.
func (s *Store) SetMaintenance(ctx context.Context, kind string, m wire.Maintenance) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode maintenance: %w", err)
	}
	return s.rdb.HSet(ctx, maintenanceKey, kind, body).Err()
}

// Maintenance lists the kinds under maintenance.
func (s *Store) Maintenance(ctx context.Context) ([]wire.Maintenance, error) {
	h, err := s.rdb.HGetAll(ctx, maintenanceKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read maintenance: %w", err)
	}
	list := []wire.Maintenance{}
	for kind, body := range h {
		m := wire.Maintenance{}
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			return nil, fmt.Errorf("decode maintenance of %q: %w", kind, err)
		}
		m.Kind = kind
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b wire.Maintenance) int { return strings.Compare(a.Kind, b.Kind) })
	return list, nil
}

// EndMaintenance starts what was held. Who dies in the middle of it leaves jobs that are held by no reason: LetGo finds them.
func (s *Store) EndMaintenance(ctx context.Context, kind string) ([]Handout, error) {
	if err := s.rdb.HDel(ctx, maintenanceKey, kind).Err(); err != nil {
		return nil, fmt.Errorf("end maintenance: %w", err)
	}
	return s.LetGo(ctx)
}

// LetGo starts jobs that are held by a maintenance that is over.
func (s *Store) LetGo(ctx context.Context) ([]Handout, error) {
	ids, err := s.rdb.SMembers(ctx, maintainedKey).Result()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	under, err := s.rdb.HKeys(ctx, maintenanceKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read maintenance: %w", err)
	}
	limits, err := s.Limits(ctx)
	if err != nil {
		return nil, err
	}
	var list []Handout
	for _, entry := range ids {
		kind, id, _ := strings.Cut(entry, " ")
		if slices.Contains(under, kind) {
			continue
		}
		job, _, err := s.Job(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return list, err
		case limits.Of(job.Tenant).RunningJobs > 0: // from one line into the other
			if _, err := s.hold(ctx, job, limits.Of(job.Tenant), false); err != nil {
				return list, err
			}
		default:
			h, err := s.admit(ctx, id)
			if err != nil {
				return list, err
			}
			list = append(list, h)
		}
		if err := s.rdb.SRem(ctx, maintainedKey, entry).Err(); err != nil {
			return list, fmt.Errorf("end maintenance: %w", err)
		}
	}
	return list, nil
}
