package publish_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/publish"
)

var day = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func release(version, channel string, age time.Duration) publish.Release {
	return publish.Release{Product: "widgets", Version: version, Channel: channel, Commit: "c" + version, At: day.Add(-age), Job: "j",
		Packages: []publish.Package{{Name: "w-" + version + ".zip", Size: 3, Digest: artifact.DigestOf([]byte(version)), Keys: publish.StoreKeys("widgets", version, "w.zip")}}}
}

// enter puts a release and its packages.
func enter(t *testing.T, s artifact.Store, list ...publish.Release) {
	t.Helper()
	c := publish.NewCatalogue(s)
	for _, r := range list {
		if already, err := c.Enter(t.Context(), r); err != nil || already {
			t.Fatalf("%s: %v %v", r.Version, already, err)
		}
		for _, p := range r.Packages {
			for _, key := range p.Keys {
				if _, err := s.Put(t.Context(), key, strings.NewReader("zip"), artifact.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func nobody(string, string) bool { return false }

func versions(list []publish.Release) []string {
	var out []string
	for _, r := range list {
		out = append(out, r.Version)
	}
	return out
}

func has(t *testing.T, s artifact.Store, key string) bool {
	t.Helper()
	_, err := s.Stat(t.Context(), key)
	if err != nil && !errors.Is(err, artifact.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestAVersionIsOfOneSetOfBytesForEver(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s artifact.Store) {
		c := publish.NewCatalogue(s)
		r := release("1.5.57", "release", 0)
		r.Packages = append(r.Packages, publish.Package{Name: "a.exe", Digest: artifact.DigestOf([]byte("exe"))})
		enter(t, s, r)
		again := r
		again.At, again.Job = day.Add(time.Hour), "another"
		again.Packages = slices.Clone(r.Packages)
		slices.Reverse(again.Packages)
		if already, err := c.Enter(t.Context(), again); err != nil || !already {
			t.Errorf("the same again: %v %v", already, err)
		}
		for what, change := range map[string]func(r *publish.Release){
			"bytes": func(r *publish.Release) { r.Packages[0].Digest = artifact.DigestOf(nil) }, "one less": func(r *publish.Release) { r.Packages = r.Packages[:1] },
			"commit": func(r *publish.Release) { r.Commit = "x" }, "channel": func(r *publish.Release) { r.Channel = "branch" },
		} {
			other := r
			other.Packages = slices.Clone(r.Packages)
			change(&other)
			var conflict *publish.Conflict
			if _, err := c.Enter(t.Context(), other); !errors.As(err, &conflict) || !tasks.IsPermanent(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
		got, err := c.Get(t.Context(), "widgets", "1.5.57")
		if err != nil || got.Job != "j" || len(got.Packages) != 2 || !got.At.Equal(r.At) {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := c.Get(t.Context(), "widgets", "9.9.9"); !errors.Is(err, publish.ErrUnknown) || tasks.HintOf(err) == "" {
			t.Errorf("an unknown one: %v", err)
		}
	})
}

func TestWhatNobodyKeepsIsRemovedAndItsVersionStaysTaken(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s artifact.Store) {
		c := publish.NewCatalogue(s)
		const d = 24 * time.Hour
		enter(t, s, release("1.0.1", "release", 50*d), release("1.0.2", "release", 40*d), release("1.0.3", "release", 30*d), release("1.0.4", "release", 20*d), release("1.0.5", "release", 2*d),
			release("1.0.6-br.b-x.g1", "branch", 60*d), release("1.0.7-br.b-y.g1", "branch", 55*d))
		held := func(_, version string) bool { return version == "1.0.2" }
		if gone, err := c.Sweep(t.Context(), "widgets", pipeline.Keep{}, held, day); err != nil || len(gone) > 0 {
			t.Fatalf("without a rule: %v, %v", gone, err)
		}
		gone, err := c.Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1, For: 25 * d}, held, day)
		if want := []string{"1.0.6-br.b-x.g1", "1.0.1", "1.0.3"}; err != nil || !slices.Equal(versions(gone), want) {
			t.Fatalf("%v, %v", versions(gone), err)
		}
		for version, stays := range map[string]bool{"1.0.1": false, "1.0.2": true, "1.0.3": false, "1.0.4": true, "1.0.5": true, "1.0.6-br.b-x.g1": false, "1.0.7-br.b-y.g1": true} {
			for _, key := range publish.StoreKeys("widgets", version, "w.zip") {
				if has(t, s, key) != stays {
					t.Errorf("%s is there: %v", key, !stays)
				}
			}
			if tomb, is, err := c.Removed(t.Context(), "widgets", version); err != nil || is == stays || is && tomb.Why == "" {
				t.Errorf("%s: %+v %v %v", version, tomb, is, err)
			}
		}
		if again, err := c.Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1, For: 25 * d}, held, day); err != nil || len(again) > 0 {
			t.Errorf("again: %v, %v", versions(again), err)
		}
		if _, err := c.Enter(t.Context(), release("1.0.1", "release", 50*d)); !errors.Is(err, publish.ErrRemoved) || !tasks.IsPermanent(err) {
			t.Errorf("a removed version is used again: %v", err)
		}
		var conflict *publish.Conflict
		if _, err := c.Enter(t.Context(), release("1.0.1", "branch", 0)); !errors.As(err, &conflict) {
			t.Errorf("a removed version is used again for another: %v", err)
		}
	})
}

func TestPackagesThatALivingReleaseSharesStay(t *testing.T) {
	t.Parallel()
	s, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	old, young := release("1.0.1", "release", time.Hour), release("1.0.2", "release", 0)
	old.Packages[0].Keys = append(old.Packages[0].Keys, "shared/x")
	young.Packages[0].Keys = append(young.Packages[0].Keys, "shared/x")
	enter(t, s, old, young)
	for range 2 { // the second finds the tombstone
		if _, err := publish.NewCatalogue(s).Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1}, nobody, day); err != nil {
			t.Fatal(err)
		}
		if !has(t, s, "shared/x") || has(t, s, old.Packages[0].Keys[0]) {
			t.Error("the wrong ones are gone")
		}
	}
}

// dying is a store whose process dies after so many changes.
type dying struct {
	artifact.Store
	left int
}

var errDied = errors.New("died")

func (d *dying) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	if d.left == 0 {
		return artifact.Info{}, errDied
	}
	d.left--
	return d.Store.Put(ctx, key, r, o)
}

func (d *dying) Delete(ctx context.Context, key string) error {
	if d.left == 0 {
		return errDied
	}
	d.left--
	return d.Store.Delete(ctx, key)
}

func TestASweepThatDiesAnywhereIsEndedByTheNext(t *testing.T) {
	t.Parallel()
	for changes := range 6 {
		s, err := artifact.NewFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		enter(t, s, release("1.0.1", "release", 3*time.Hour), release("1.0.2", "release", 2*time.Hour), release("1.0.3", "release", 0))
		if _, err := publish.NewCatalogue(&dying{s, changes}).Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1}, nobody, day); !errors.Is(err, errDied) {
			t.Fatalf("%d: %v", changes, err)
		}
		if _, err := publish.NewCatalogue(s).Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1}, nobody, day); err != nil {
			t.Fatal(err)
		}
		list, err := s.List(t.Context(), "widgets/", "", 100)
		if err != nil || len(list) != 2 {
			t.Errorf("after %d changes there is left %v, %v", changes, list, err)
		}
	}
}

func TestAPromotionInTheMiddleOfASweepWins(t *testing.T) {
	t.Parallel()
	s, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	enter(t, s, release("1.0.1", "release", time.Hour), release("1.0.2", "release", 0))
	asked := 0
	held := func(string, string) bool { asked++; return asked > 1 }
	gone, err := publish.NewCatalogue(s).Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1}, held, day)
	_, is, _ := publish.NewCatalogue(s).Removed(t.Context(), "widgets", "1.0.1")
	if err != nil || len(gone) > 0 || is || !has(t, s, publish.StoreKeys("widgets", "1.0.1", "w.zip")[0]) {
		t.Errorf("%v %v %v", gone, is, err)
	}
}

func environments(s artifact.Store) *publish.Environments {
	return publish.NewEnvironments(s, publish.EnvironmentsOptions{Order: []publish.Environment{{Name: "ci", Channels: []string{"release", "branch"}}, {Name: "staging", Channels: []string{"release", "branch"}}, {Name: "production"}}})
}

func promotion(environment, version string) publish.Promotion {
	return publish.Promotion{Environment: environment, Product: "widgets", Version: version, By: "ann", Why: "tested", At: day}
}

func TestAVersionGoesFromEnvironmentToEnvironment(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s artifact.Store) {
		enter(t, s, release("1.0.1", "release", 0), release("1.0.2", "release", 0), release("1.0.3-br.b-x.g1", "branch", 0))
		e := environments(s)
		for i, c := range []struct {
			to, version string
			already     bool
			err         error
			from        string
		}{
			{"nowhere", "1.0.1", false, publish.ErrGate, ""},
			{"ci", "9.9.9", false, publish.ErrUnknown, ""},
			{"production", "1.0.1", false, publish.ErrGate, ""}, // not in staging yet
			{"ci", "1.0.1", false, nil, ""},
			{"ci", "1.0.1", true, nil, ""},
			{"production", "1.0.1", false, publish.ErrGate, ""}, // no environment is left out
			{"staging", "1.0.1", false, nil, "ci"},
			{"production", "1.0.1", false, nil, "staging"},
			{"ci", "1.0.2", false, nil, ""},
			{"staging", "1.0.2", false, nil, "ci"},
			{"production", "1.0.2", false, nil, "staging"},
			{"production", "1.0.1", false, nil, ""}, // back
			{"ci", "1.0.3-br.b-x.g1", false, nil, ""},
			{"staging", "1.0.3-br.b-x.g1", false, nil, "ci"},
			{"production", "1.0.3-br.b-x.g1", false, publish.ErrGate, ""}, // its channel
		} {
			r, already, err := e.Promote(t.Context(), promotion(c.to, c.version))
			if !errors.Is(err, c.err) || already != c.already || err != nil && (tasks.HintOf(err) == "" || !tasks.IsPermanent(err)) {
				t.Fatalf("%d: %v %v", i, already, err)
			}
			if err == nil && (r.Version != c.version || r.From != c.from || len(r.Packages) != 1 || r.Packages[0].Digest == "" || r.By != "ann") {
				t.Errorf("%d: %+v", i, r)
			}
		}
		now, err := e.Current(t.Context(), "production", "widgets")
		if err != nil || now.Version != "1.0.1" || now.Replaces != "1.0.2" || now.Sequence != 3 {
			t.Errorf("%+v, %v", now, err)
		}
		history, err := e.History(t.Context(), "production", "widgets", 2)
		if err != nil || len(history) != 2 || history[1].Version != "1.0.2" {
			t.Errorf("%+v, %v", history, err)
		}
		standing, err := e.Standing(t.Context(), "widgets")
		if got := fmt.Sprint(standing); err != nil || got != "map[1.0.1:[production] 1.0.3-br.b-x.g1:[ci staging]]" {
			t.Errorf("%s, %v", got, err)
		}
		if _, err := e.Current(t.Context(), "ci", "others"); !errors.Is(err, publish.ErrEmpty) {
			t.Errorf("empty: %v", err)
		}
	})
}

func TestOfManyPromotersOneWinsAndTheOthersSeeIt(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s artifact.Store) {
		const rivals = 8
		for i := range rivals {
			enter(t, s, release(fmt.Sprintf("1.0.%d", i), "release", 0))
		}
		errs := make(chan error, rivals)
		for i := range rivals {
			go func() {
				_, _, err := environments(s).Promote(t.Context(), promotion("ci", fmt.Sprintf("1.0.%d", i)))
				errs <- err
			}()
		}
		won := 0
		for range rivals {
			err := <-errs
			if err == nil {
				won++
			} else if !errors.Is(err, publish.ErrRival) || tasks.HintOf(err) == "" {
				t.Error(err)
			}
		}
		history, err := environments(s).History(t.Context(), "ci", "widgets", 0)
		if err != nil || won == 0 || len(history) != won {
			t.Errorf("%d have won, and there are %d records, %v", won, len(history), err)
		}
		for i, r := range history {
			if r.Sequence != len(history)-i || i+1 < len(history) && r.Replaces != history[i+1].Version {
				t.Errorf("%d: %+v", i, r)
			}
		}
	})
}

func TestARemovedReleaseIsNotPromoted(t *testing.T) {
	t.Parallel()
	s, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	enter(t, s, release("1.0.1", "release", time.Hour), release("1.0.2", "release", 0))
	if _, err := publish.NewCatalogue(s).Sweep(t.Context(), "widgets", pipeline.Keep{Builds: 1}, nobody, day); err != nil {
		t.Fatal(err)
	}
	if _, _, err := environments(s).Promote(t.Context(), promotion("ci", "1.0.1")); !errors.Is(err, publish.ErrRemoved) || !tasks.IsPermanent(err) {
		t.Error(err)
	}
}

func TestAPromotionWhoseAnswerGotLostIsMadeOnce(t *testing.T) {
	t.Parallel()
	s, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	enter(t, s, release("1.0.1", "release", 0))
	if _, _, err := environments(&dying{s, 0}).Promote(t.Context(), promotion("ci", "1.0.1")); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, already, err := environments(s).Promote(t.Context(), promotion("ci", "1.0.1")); err != nil || already != (i == 1) {
			t.Errorf("%d: %v %v", i, already, err)
		}
	}
	if list, err := environments(s).History(t.Context(), "ci", "widgets", 0); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestTheCatalogueNamesItsProducts(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s artifact.Store) {
		c := publish.NewCatalogue(s)
		if got, err := c.Products(t.Context()); err != nil || len(got) > 0 {
			t.Errorf("none: %v, %v", got, err)
		}
		want := []string{"a-b", "a.b", "a", "a0", "b"} // in the order of their keys
		for _, product := range want {
			for _, version := range []string{"1.0.1", "1.0.2"} {
				if _, err := c.Enter(t.Context(), publish.Release{Product: product, Version: version, Channel: "release"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, err := c.Products(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
