package builder

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/publish"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// KindRetention is the word by which jobs name the family that removes old builds.
const KindRetention = "build-retention"

// What is kept where neither the job nor the pipeline says.
const (
	DefaultKeepBuilds = 20
	DefaultKeepFor    = 30 * 24 * time.Hour
)

// sweepAge is how old a snapshot is at least that may be removed: a step may have put it, and not yet written that it did.
const sweepAge = 48 * time.Hour

// RetentionSpec says what stays: builds that are newer than KeepFor, and of each product and channel the newest KeepBuilds. What is in an
// environment always stays. A pipeline's own keep counts for its product.
type RetentionSpec struct {
	KeepFor    string `json:"keep_for,omitempty"`    // such as 720h; "" is DefaultKeepFor
	KeepBuilds *int   `json:"keep_builds,omitempty"` // absent is DefaultKeepBuilds
}

// Retention removes what old builds have left in the store of artifacts: logs, packages, results, snapshots. The numbers of builds stay, so
// that none is given again. It may stop between any two removals: what is left is removed the next time.
type Retention struct{ f *Family }

// NewRetention makes the family that removes what this one's builds have left.
func NewRetention(f *Family) *Retention { return &Retention{f} }

// Kind returns the family's word.
func (*Retention) Kind() string { return KindRetention }

// Connections lists none.
func (*Retention) Connections(json.RawMessage) ([]string, error) { return nil, nil }

// Check says what is wrong with a spec.
func (*Retention) Check(spec json.RawMessage) error {
	_, err := retentionOf(spec)
	return err
}

func retentionOf(text json.RawMessage) (pipeline.Keep, error) {
	keep := pipeline.Keep{Builds: DefaultKeepBuilds, For: DefaultKeepFor}
	var s RetentionSpec
	if err := tasks.DecodeStrictly(text, &s); err != nil {
		return keep, tasks.WithHint(err, `write {"keep_for": "720h", "keep_builds": 20}`, "the spec cannot be read")
	}
	if s.KeepBuilds != nil {
		if keep.Builds = *s.KeepBuilds; keep.Builds < 1 {
			return keep, tasks.WithHint(nil, "the newest of a channel always stays", "keep_builds has to be 1 or more, and is %d", keep.Builds)
		}
	}
	if s.KeepFor != "" {
		var err error
		if keep.For, err = time.ParseDuration(s.KeepFor); err != nil || keep.For < 0 {
			return keep, tasks.WithHint(nil, "write a duration such as 720h", "keep_for %q is none", s.KeepFor)
		}
	}
	return keep, nil
}

// Plan lists the one stage that there is.
func (*Retention) Plan(context.Context, tasks.Job) ([]tasks.Stage, error) {
	return []tasks.Stage{{Name: "builds"}}, nil
}

// Split lists its one step.
func (*Retention) Split(context.Context, tasks.Job, tasks.Stage, tasks.Cursor, int) ([]tasks.Step, tasks.Cursor, error) {
	return []tasks.Step{{ID: "old"}}, nil, nil
}

// Run removes what is old.
func (r *Retention) Run(ctx context.Context, a *tasks.Attempt) error {
	keep, err := retentionOf(a.Job.Spec)
	if err != nil {
		return tasks.Permanent(err)
	}
	ctx, stop := a.UntilDraining(ctx)
	defer stop()
	files, err := r.f.o.Artifacts()
	if err != nil {
		return err
	}
	s := &sweep{f: r.f, files: files, a: a, keep: keep, now: time.Now()}
	if err := s.run(ctx); err != nil {
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		return fmt.Errorf("remove old builds: %w", err)
	}
	return nil
}

// sweep is one look at all builds.
type sweep struct {
	f      *Family
	files  artifact.Store
	a      *tasks.Attempt
	keep   pipeline.Keep
	now    time.Time
	builds []oldBuild
	count  tasks.Counters
}

// oldBuild is what has to be known of a build to decide whether it stays.
type oldBuild struct {
	id, product, channel string
	began                time.Time
	keep                 pipeline.Keep
	stays                bool
}

func (s *sweep) run(ctx context.Context) error {
	if err := s.list(ctx); err != nil {
		return err
	}
	held, err := s.held(ctx)
	if err != nil {
		return err
	}
	s.decide(held)
	for _, b := range s.builds {
		if !b.stays {
			if err := s.remove(ctx, b.id); err != nil {
				return err
			}
		}
	}
	if err := s.forgetResults(ctx); err != nil {
		return err
	}
	n, size, err := Trees(s.files).Sweep(ctx, s.trees(ctx), sweepAge)
	s.count.Written += int64(n)
	s.count.Bytes += size
	s.a.Count(s.count)
	return err
}

// list reads the start records.
func (s *sweep) list(ctx context.Context) error {
	prefix := path.Join(keyRoot, "jobs") + "/"
	after := ""
	for {
		page, err := s.files.List(ctx, prefix, after, 1)
		if err != nil || len(page) == 0 {
			return err
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(page[0].Key, prefix), "/")
		after = prefix + id + "0" // the next character after the slash
		b := oldBuild{id: id, began: page[0].Modified, keep: s.keep}
		var st start
		found, err := getJSON(ctx, s.files, path.Join(prefix, id, "start.json"), &st)
		if err != nil && !tasks.IsPermanent(err) {
			return err
		}
		if err == nil && found {
			b.began, b.channel = st.Began, string(st.Version.Channel)
			if p, err := pipeline.Decode(st.Pipeline); err == nil {
				b.product = p.Name
				b.keep = pipeline.Keep{Builds: cmp.Or(p.Keep.Builds, s.keep.Builds), For: cmp.Or(p.Keep.For, s.keep.For)}
			}
		}
		s.builds = append(s.builds, b)
		s.count.Read++
		s.a.Count(s.count)
	}
}

// held are the builds that are in an environment.
func (s *sweep) held(ctx context.Context) (map[string]bool, error) {
	held := map[string]bool{}
	err := s.f.eachStanding(ctx, s.files, func(r publish.Record) error {
		entry, err := publish.NewCatalogue(s.files).Get(ctx, r.Product, r.Version)
		if errors.Is(err, publish.ErrUnknown) {
			return nil
		}
		held[artifact.Escape(entry.Job)] = true
		return err
	})
	return held, err
}

// decide says which stay.
func (s *sweep) decide(held map[string]bool) {
	slices.SortFunc(s.builds, func(a, b oldBuild) int { return b.began.Compare(a.began) })
	newer := map[string]int{}
	for i := range s.builds {
		b := &s.builds[i]
		of := b.product + "\x00" + b.channel
		b.stays = held[b.id] || s.now.Sub(b.began) < b.keep.For || b.product != "" && newer[of] < b.keep.Builds
		newer[of]++
	}
}

// remove removes what a build has left, its start record last: what was not removed is found by it the next time.
func (s *sweep) remove(ctx context.Context, id string) error {
	prefix := path.Join(keyRoot, "jobs", id) + "/"
	first := path.Join(prefix, "start.json")
	after := ""
	for {
		page, err := s.files.List(ctx, prefix, after, 1000)
		if err != nil {
			return err
		}
		for _, info := range page {
			after = info.Key
			if info.Key == first {
				continue
			}
			if err := s.delete(ctx, info.Key, info.Size); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			return s.delete(ctx, first, 0)
		}
	}
}

func (s *sweep) delete(ctx context.Context, key string, size int64) error {
	err := s.files.Delete(ctx, key)
	if err != nil && !errors.Is(err, artifact.ErrNotFound) {
		return err
	}
	s.count.Written++
	s.count.Bytes += size
	s.a.Count(s.count)
	return nil
}

// stays are the builds that do.
func (s *sweep) stays() map[string]bool {
	m := map[string]bool{}
	for _, b := range s.builds {
		if b.stays {
			m[b.id] = true
		}
	}
	return m
}

// forgetResults removes the results that other builds could take, of builds that are gone.
func (s *sweep) forgetResults(ctx context.Context) error {
	stays := s.stays()
	prefix := path.Join(keyRoot, "cache") + "/"
	after := ""
	for {
		page, err := s.files.List(ctx, prefix, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, info := range page {
			after = info.Key
			if s.now.Sub(info.Modified) < s.keep.For {
				continue
			}
			var r remembered
			found, err := getJSON(ctx, s.files, info.Key, &r)
			if err != nil && !tasks.IsPermanent(err) {
				return err
			}
			if err == nil && (!found || stays[artifact.Escape(r.Job)]) {
				continue
			}
			if err := s.delete(ctx, info.Key, info.Size); err != nil {
				return err
			}
		}
	}
}

// trees lists the snapshots that are still needed: those of builds that stay, and of results that others can take.
func (s *sweep) trees(ctx context.Context) func(yield func(snapshot.ID) error) error {
	return func(yield func(snapshot.ID) error) error {
		of := func(r result) error { return errors.Join(yield(r.In), yield(r.Out)) }
		for id := range s.stays() {
			err := s.each(ctx, path.Join(keyRoot, "jobs", id, "results")+"/", func(key string) error {
				var r result
				if found, err := getJSON(ctx, s.files, key, &r); err != nil || !found {
					return legible(err)
				}
				return of(r)
			})
			if err != nil {
				return err
			}
		}
		return s.each(ctx, path.Join(keyRoot, "cache")+"/", func(key string) error {
			var r remembered
			if found, err := getJSON(ctx, s.files, key, &r); err != nil || !found {
				return legible(err)
			}
			return of(r.Result)
		})
	}
}

// legible is nil for a record that cannot be read: nobody goes by it.
func legible(err error) error {
	if tasks.IsPermanent(err) {
		return nil
	}
	return err
}

func (s *sweep) each(ctx context.Context, prefix string, do func(key string) error) error {
	after := ""
	for {
		page, err := s.files.List(ctx, prefix, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, info := range page {
			after = info.Key
			if err := do(info.Key); err != nil {
				return err
			}
		}
	}
}
