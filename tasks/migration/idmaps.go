package migration

import (
	"context"
	"fmt"

	"github.com/stint-run/stint/internal/idmap"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// openingMaps is a Redis with maps of ids that is open or being opened.
type openingMaps struct {
	done chan struct{} // closes when maps or err is there
	at   sqldb.Location
	maps *idmap.Maps
	err  error
}

// idMaps returns the maps of ids in the Redis behind a connection's name, and where that is. It is opened once for all who wait.
func (d *Databases) idMaps(ctx context.Context, name string) (*idmap.Maps, sqldb.Location, error) {
	d.mu.Lock()
	o := d.idsOf[name]
	if o == nil {
		o = &openingMaps{done: make(chan struct{})}
		d.idsOf[name] = o
		go func() {
			defer close(o.done)
			if o.at, o.maps, o.err = d.connectMaps(name); o.err != nil {
				d.mu.Lock()
				delete(d.idsOf, name) // the next one tries again
				d.mu.Unlock()
			}
		}()
	}
	d.mu.Unlock()
	select {
	case <-o.done:
		return o.maps, o.at, o.err
	case <-ctx.Done():
		return nil, sqldb.Location{}, fmt.Errorf("wait for the Redis %s: %w", name, context.Cause(ctx))
	}
}

func (d *Databases) connectMaps(name string) (sqldb.Location, *idmap.Maps, error) {
	at, err := d.locate(name)
	if err != nil {
		return at, nil, err
	}
	if at.Dialect != sqldb.Redis {
		return at, nil, tasks.Permanent(noRedis(name, at))
	}
	maps, err := idmap.Open(d.life, at.Redis(), idmap.Options{Name: name, Conns: d.bounds[name].Conns, ConnectTimeout: d.bounds[name].ConnectTimeout})
	return at, maps, err
}

func noRedis(name string, at sqldb.Location) error {
	return tasks.WithHint(nil, "name a connection whose url begins with redis:// or rediss://, or leave ids: away", "ids: the connection %s is no Redis but %s", name, at.Redacted())
}

// ids returns the connection of the Redis that keeps the ids of what an API is sent; "" means that stint_ids does.
func (s *Spec) ids() string {
	switch {
	case s.Plan == nil || s.Plan.IDs == nil:
		return ""
	case s.IDs != "":
		return s.IDs
	}
	return s.Plan.IDs.Connection
}

// misplacedIDs is what is wrong with the connection that ids: names.
func (f *Family) misplacedIDs(spec *Spec) (plan.Problems, error) {
	name := spec.ids()
	if name == "" {
		return nil, nil
	}
	at, err := f.dbs.locate(name)
	if err != nil {
		return nil, err
	}
	if at.Dialect == sqldb.Redis {
		return nil, nil
	}
	err = noRedis(name, at)
	return plan.Problems{{Path: "ids", Message: err.Error(), Hint: tasks.HintOf(err)}}, nil
}

// idNotes opens the Redis that keeps the ids, which refuses one that would lose them, and returns what is to be known of it.
func (f *Family) idNotes(ctx context.Context, spec *Spec) ([]string, error) {
	if spec.ids() == "" {
		return nil, nil
	}
	maps, _, err := f.dbs.idMaps(ctx, spec.ids())
	if err != nil || maps.Durable() {
		return nil, err
	}
	return []string{fmt.Sprintf("The Redis of %s keeps no append-only file (appendonly): the ids that it has are gone when it crashes, and so is what ref() finds.", spec.ids())}, nil
}

// beginIDs notes in the database of stint's own tables which map of ids a scope has, and sees that it is the one of before.
func (f *Family) beginIDs(ctx context.Context, job tasks.Job, spec *Spec, state *sqldb.DB) error {
	if spec.ids() == "" {
		return nil
	}
	maps, at, err := f.dbs.idMaps(ctx, spec.ids())
	if err != nil {
		return err
	}
	token, err := maps.Begin(ctx, job.Tenant)
	if err != nil {
		return err
	}
	scope := scopeOfIDs(job, spec)
	if token, err = sqldb.KeepToken(ctx, state, scope, at.ID(), token, job.ID); err != nil {
		return err
	}
	_, _, err = maps.Of(job.Tenant, scope, token, 0).Look(ctx, "", nil) // with another token it is lost
	return err
}

// idsElsewhere returns the maps of ids of a job's scope; nil when stint_ids has them. Without a token in the state database nothing has
// been kept yet.
func (f *Family) idsElsewhere(ctx context.Context, job tasks.Job, spec *Spec, state *sqldb.DB) (*idmap.Scope, error) {
	if spec.ids() == "" {
		return nil, nil
	}
	maps, at, err := f.dbs.idMaps(ctx, spec.ids())
	if err != nil {
		return nil, err
	}
	scope, token := scopeOfIDs(job, spec), ""
	if state != nil {
		if token, err = sqldb.KeptToken(ctx, state, scope, at.ID()); err != nil {
			return nil, err
		}
	}
	return maps.Of(job.Tenant, scope, token, spec.Plan.IDs.MaxIDs), nil
}

// lookUp finds the ids of keys of a stage, in the map that keeps them.
func (l *load) lookUp(ctx context.Context, stage string, keys []string) (map[string]string, error) {
	if l.ids == nil {
		return sqldb.LookUpIDs(ctx, l.dst, l.scope, stage, keys)
	}
	found, _, err := l.ids.Look(ctx, stage, keys)
	return found, err
}

// elsewhere returns the ids of a batch's records that a map outside of the state database has, and sees that it has room for the
// others before any of them is sent.
func (r *requests) elsewhere(ctx context.Context, keys []string) (map[string]string, error) {
	if r.l.ids == nil {
		return nil, nil
	}
	found, there, err := r.l.ids.Look(ctx, r.l.stage.Name, keys)
	if err != nil {
		return nil, err
	}
	return found, r.l.ids.Room(there, len(keys)-len(found))
}

// keepIDs keeps the ids of records in the map outside of the state database, before that is told that they were answered.
func (s *sent) keepIDs(ctx context.Context, ids []sqldb.Delivered) error {
	if s.l.ids == nil || len(ids) == 0 {
		return nil
	}
	pairs := make([]idmap.Pair, len(ids))
	for i, d := range ids {
		if pairs[i] = (idmap.Pair{Key: d.Key, ID: d.ID}); d.ID == "" {
			pairs[i].ID = sqldb.NoID
		}
		s.kept = append(s.kept, d.Key)
	}
	return s.l.ids.Keep(ctx, s.l.stage.Name, pairs)
}

// moveIDs brings ids that stint_ids has into the map outside of it: an earlier plan had none, and another job of it has sent the records.
func (s *sent) moveIDs(ctx context.Context) error {
	if s.l.ids == nil {
		return nil
	}
	var ids []sqldb.Delivered
	for key, known := range s.before {
		switch {
		case known.ID != "":
			ids = append(ids, sqldb.Delivered{Key: key, ID: known.ID})
		case known.Answered:
			s.kept = append(s.kept, key)
		}
	}
	return s.keepIDs(ctx, ids)
}
