package app_test

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/s3test"
)

func TestAWorkerRemovesWhatKilledOnesLeftOfArtifacts(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	temp := filepath.Join(data, "artifacts", ".tmp")
	if err := os.MkdirAll(temp, 0o750); err != nil {
		t.Fatal(err)
	}
	old, fresh := filepath.Join(temp, "old"), filepath.Join(temp, "fresh")
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Options{Redis: config.Redis{Topology: config.Single, URL: config.NewURL(redistest.New(t).URL())}, Data: data,
		Log: slog.New(slog.DiscardHandler), Concurrency: 1, Heartbeat: 100 * time.Millisecond, DrainTimeout: time.Second, LostAfter: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := a.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(old); os.IsNotExist(err) {
			break
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("it is still there")
		}
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("one that may still be written is gone: %v", err)
	}
}

func TestArtifactsOpenWhereTheConfigurationSays(t *testing.T) {
	t.Parallel()
	server, bucket := s3test.NewTLS(t)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]config.Artifacts{
		filepath.Join(dir, "data", "artifacts"): {},
		filepath.Join(dir, "else"):              {URL: config.NewURL("file:" + filepath.Join(dir, "else"))},
		"s3://" + bucket + "/p": {URL: config.NewURL("s3://" + bucket + "/p?endpoint=" + server.Endpoint), CA: ca,
			AccessKey: config.NewSecret(s3test.AccessKey), SecretKey: config.NewSecret(s3test.SecretKey)},
	} {
		s, err := app.OpenArtifacts(c, filepath.Join(dir, "data"))
		if err != nil || s.String() != want {
			t.Fatalf("got %v, %v; want %s", s, err, want)
		}
		if _, err := os.Stat(want); err == nil {
			t.Errorf("%s was made before it was needed", want)
		}
		if p, err := artifact.Probe(t.Context(), s); err != nil || !p.Once {
			t.Errorf("%s: %+v, %v", want, p, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := app.OpenArtifacts(config.Artifacts{URL: config.NewURL("ftp://x")}, dir); err == nil || !strings.Contains(err.Error(), "artifacts.url") {
		t.Errorf("got %v", err)
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && path != ca {
			t.Errorf("the probe left %s", path)
		}
		return err
	})
}
