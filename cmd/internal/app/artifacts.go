package app

import (
	"context"
	"time"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Remains of artifacts that were never finished: how old they are when they are removed, and how often somebody looks. A put
// that is still alive after a day is none that anybody waits for.
const (
	remainsAge   = 24 * time.Hour
	remainsEvery = 24 * time.Hour
)

// OpenArtifacts returns the store that a configuration names; without one it is a folder in data. It opens no connection and makes
// no folder yet. Close it.
func OpenArtifacts(c config.Artifacts, data string) (artifact.Store, error) {
	t, err := c.Target(data)
	if err != nil {
		return nil, err
	}
	if t.Bucket == "" {
		return artifact.NewFolder(t.Dir)
	}
	return artifact.NewS3(artifact.S3Options{Bucket: t.Bucket, Prefix: t.Prefix, Endpoint: t.Endpoint, Region: t.Region, PathStyle: t.PathStyle, CA: t.CA,
		AccessKey: c.AccessKey.Reveal(), SecretKey: c.SecretKey.Reveal()})
}

// ArtifactsLocation returns where the store of artifacts is, as a target of plans.
func ArtifactsLocation(c config.Artifacts, data string) (sqldb.Location, error) {
	store, err := OpenArtifacts(c, data)
	if err != nil {
		return sqldb.Location{}, err
	}
	return sqldb.ArtifactStore(store.String()), store.Close()
}

// startCleaning removes what killed processes have left of artifacts, now and then, until Stop. That it fails costs space and
// no more, so it is logged.
func (a *App) startCleaning() error {
	store, err := OpenArtifacts(a.o.Artifacts, a.o.Data)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(remainsEvery)
		defer tick.Stop()
		for {
			n, err := store.Clean(ctx, remainsAge)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				a.o.Log.Warn("unfinished artifacts cannot be removed", "artifacts", store.String(), "error", err, "hint", tasks.HintOf(err))
			case n > 0:
				a.o.Log.Info("removed unfinished artifacts", "artifacts", store.String(), "count", n)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	a.onStop("cleaning of artifacts", func(context.Context) error {
		cancel()
		<-done
		return store.Close()
	})
	return nil
}
