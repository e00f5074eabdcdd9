package publish_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/s3test"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/publish"
)

func art(name, content string) publish.Artifact {
	return publish.Artifact{Product: "widgets", Version: "1.5.57", Channel: "release", Name: name, Size: int64(len(content)), Digest: artifact.DigestOf([]byte(content)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

// stores are the places that artifacts lie in.
func stores(t *testing.T, test func(t *testing.T, s artifact.Store)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) (artifact.Store, error){
		"folder": func(t *testing.T) (artifact.Store, error) { return artifact.NewFolder(t.TempDir()) },
		"s3": func(t *testing.T) (artifact.Store, error) {
			server, bucket := s3test.New(t)
			return artifact.NewS3(artifact.S3Options{Bucket: bucket, Endpoint: server.Endpoint, PathStyle: true, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
		})
	}
}

// places are targets, as every one of them has to behave.
func places(t *testing.T, test func(t *testing.T, target publish.Target)) {
	t.Helper()
	stores(t, func(t *testing.T, s artifact.Store) { test(t, publish.NewStore(s)) })
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		test(t, newFiles(t).target(t))
	})
	t.Run("nuget v3", func(t *testing.T) {
		t.Parallel()
		test(t, newFeed(t).target(t, "/v3/index.json"))
	})
	t.Run("nuget v2", func(t *testing.T) {
		t.Parallel()
		test(t, newFeed(t).target(t, "/"))
	})
}

func TestAPublishedVersionNeverGetsOtherBytes(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, target publish.Target) {
		one, two := nupkg(t, "one"), nupkg(t, "two")
		if err := target.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		at, already, err := target.Publish(t.Context(), one)
		if err != nil || already || at == "" {
			t.Fatalf("%s %v %v (%s)", at, already, err, tasks.HintOf(err))
		}
		if _, already, err := target.Publish(t.Context(), one); err != nil || !already {
			t.Errorf("again: %v %v", already, err)
		}
		_, _, err = target.Publish(t.Context(), two)
		var c *publish.Conflict
		if !errors.As(err, &c) || c.There != one.Digest || c.Offered != two.Digest || !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("other bytes: %v", err)
		}
		if _, already, err := target.Publish(t.Context(), one); err != nil || !already {
			t.Errorf("what was there is gone: %v %v", already, err)
		}
	})
}

func TestOfManyPublishersOneWinsAndTheOthersSeeIt(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, target publish.Target) {
		const rivals = 6
		type result struct {
			already bool
			err     error
		}
		results := make(chan result, rivals)
		packages := []publish.Artifact{nupkg(t, "one"), nupkg(t, "two")}
		for i := range rivals {
			go func() {
				_, already, err := target.Publish(t.Context(), packages[i%2])
				results <- result{already, err}
			}()
		}
		won, conflicts := 0, 0
		for range rivals {
			r := <-results
			var c *publish.Conflict
			switch {
			case r.err == nil && !r.already:
				won++
			case errors.As(r.err, &c):
				conflicts++
			case r.err != nil:
				t.Error(r.err)
			}
		}
		if won != 1 || conflicts != rivals/2 {
			t.Errorf("%d have won, %d have lost", won, conflicts)
		}
	})
}

func TestADamagedArtifactIsNotPublished(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, target publish.Target) {
		good := nupkg(t, "one")
		content := readAll(t, good)
		for what, b := range map[string][]byte{"other": bytes.Repeat([]byte{'x'}, len(content)), "shorter": content[1:], "empty": nil} {
			bad := good
			bad.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
			if _, _, err := target.Publish(t.Context(), bad); !errors.Is(err, publish.ErrSource) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, already, err := target.Publish(t.Context(), good); err != nil || already {
			t.Errorf("something of it is there: %v %v", already, err)
		}
	})
}

func TestAPackageWithASecretInItIsNotPublished(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	found := errors.New("the secret TOKEN is in it")
	target := publish.Scanned(f.target(t), func(_ publish.Artifact, r io.Reader) error {
		b, err := io.ReadAll(r)
		if bytes.Contains(b, []byte("hunter2")) {
			return found
		}
		return err
	})
	if _, _, err := target.Publish(t.Context(), art("a.txt", "my hunter2.")); !errors.Is(err, found) || !tasks.IsPermanent(err) || tasks.HintOf(err) == "" || f.has("/widgets/1.5.57/a.txt") {
		t.Error(err)
	}
	if _, _, err := target.Publish(t.Context(), art("a.txt", "nothing")); err != nil || !f.has("/widgets/1.5.57/a.txt") {
		t.Error(err)
	}
}

func readAll(t *testing.T, a publish.Artifact) []byte {
	t.Helper()
	r, err := a.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lossy is a store that says that it has taken what it has not, or not as it was.
type lossy struct {
	artifact.Store
	change func([]byte) []byte
}

func (l *lossy) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return artifact.Info{}, err
	}
	if b = l.change(b); b == nil {
		return artifact.Info{Key: key}, nil
	}
	return l.Store.Put(ctx, key, bytes.NewReader(b), artifact.PutOptions{IfAbsent: o.IfAbsent})
}

func TestAStoreThatKeepsOtherBytesIsFoundOut(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func([]byte) []byte{"nothing": func([]byte) []byte { return nil }, "other bytes": func(b []byte) []byte { return append([]byte("10000;chunk\n"), b...) }} {
		s, err := artifact.NewFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := publish.NewStore(&lossy{s, change}).Publish(t.Context(), art("a", "x")); !errors.Is(err, publish.ErrNotStored) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAChecksumStandsBesideAPackageEvenIfItsWriterDiedBetweenTheTwo(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s artifact.Store) {
		a := art("W-1.5.57.zip", "zip")
		keys := publish.StoreKeys(a.Product, a.Version, a.Name)
		if _, err := s.Put(t.Context(), keys[0], strings.NewReader("zip"), artifact.PutOptions{}); err != nil { // as far as it came
			t.Fatal(err)
		}
		if _, already, err := publish.NewStore(s).Publish(t.Context(), a); err != nil || !already {
			t.Fatalf("%v %v", already, err)
		}
		r, _, err := s.Get(t.Context(), keys[1], 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != a.Digest.Hex()+"  W-1.5.57.zip\n" {
			t.Errorf("%s, %v", b, err)
		}
	})
}
