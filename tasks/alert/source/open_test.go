package source_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// closing is a source that counts its closings.
type closing struct {
	source.Source
	closed atomic.Int32
}

func (c *closing) Close() error {
	c.closed.Add(1)
	return nil
}

func TestASourceIsChosenByItsConnectionAndOpenedOnce(t *testing.T) {
	t.Parallel()
	db := database(t, sqldb.SQLite, "CREATE TABLE ev (happened datetime)")
	search := &closing{}
	var databases, searches atomic.Int32
	places := map[string]string{"db": "sqlite:x.db", "prom": "prometheus://h", "logs": "elasticsearch://h", "files": "csv:dir", "ids": "redis://h"}
	sources := source.NewSources(source.Options{
		Locate: func(name string) (sqldb.Location, error) {
			if places[name] == "" {
				return sqldb.Location{}, tasks.WithHint(nil, "name it", "the connection %s is not known", name)
			}
			return sqldb.ParseURL(places[name])
		},
		Database: func(context.Context, string) (*sqldb.DB, error) {
			if databases.Add(1) == 1 {
				return nil, errors.New("not yet")
			}
			return db, nil
		},
		Prometheus: func(string) (promsource.Connection, error) { return promsource.Connection{URL: "http://h"}, nil },
		Search: func(context.Context, string) (source.Source, error) {
			searches.Add(1)
			return search, nil
		},
	})
	ctx := context.Background()
	if _, err := sources.Open(ctx, "db"); err == nil {
		t.Error("an opening that fails is none")
	}
	var wg sync.WaitGroup
	opened := make([]source.Source, 8)
	for i := range opened {
		wg.Go(func() {
			var err error
			if opened[i], err = sources.Open(ctx, []string{"db", "logs"}[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if databases.Load() != 2 || searches.Load() != 1 || opened[0] != opened[2] || opened[1] != source.Source(search) || opened[0] == opened[1] {
		t.Errorf("databases were opened %d times, searches %d times: %v", databases.Load(), searches.Load(), opened)
	}
	if n, err := opened[0].Count(ctx, windowOf(0, 1)); err != nil || n != 0 {
		t.Errorf("%d events, %v", n, err)
	}
	if _, err := sources.Open(ctx, "prom"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"files", "ids"} {
		if _, err := sources.Open(ctx, name); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "is no source of events") || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sources.Open(ctx, "nobody"); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("a connection that nobody knows: %v", err)
	}
	if err := sources.Close(); err != nil || search.closed.Load() != 1 {
		t.Errorf("closed %d times, %v", search.closed.Load(), err)
	}
	if _, err := sources.Open(ctx, "db"); err == nil {
		t.Error("closed sources are opened")
	}
}

func TestWhoWaitsForAnOpeningMayGiveUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	sources := source.NewSources(source.Options{
		Locate: func(string) (sqldb.Location, error) { return sqldb.ParseURL("https://h") },
		Search: func(ctx context.Context, _ string) (source.Source, error) {
			<-release
			return &closing{}, ctx.Err()
		},
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	if _, err := sources.Open(ctx, "logs"); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	close(release)
	if _, err := sources.Open(context.Background(), "logs"); err != nil {
		t.Errorf("the opening ended with its first caller: %v", err)
	}
	if err := sources.Close(); err != nil {
		t.Error(err)
	}
}
