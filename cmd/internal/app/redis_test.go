package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/freeport"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// open makes a process on a Redis, with two databases, "old" and "new".
func open(t *testing.T, r config.Redis) (*app.App, error) {
	t.Helper()
	if r.Topology == "" {
		r.Topology = config.Single
	}
	a, err := app.New(t.Context(), app.Options{
		Redis: r,
		Connections: config.Connections{{Name: "old", URL: config.NewURL(legacy(t, "t"))},
			{Name: "new", URL: config.NewURL("sqlite:" + filepath.Join(t.TempDir(), "new.db"))}},
		Log: slog.New(slog.DiscardHandler), Concurrency: 4, Heartbeat: 100 * time.Millisecond, DrainTimeout: 10 * time.Second,
		Sweep: 100 * time.Millisecond, LostAfter: 3 * time.Second,
	})
	if err == nil {
		t.Cleanup(func() {
			if err := a.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return a, err
}

// migrates sees that a whole migration goes through a Redis.
func migrates(t *testing.T, r config.Redis) {
	t.Helper()
	a, err := open(t, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.StartScheduler(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(migration.Spec{Source: "old", Target: "new", ChunkRows: 100})
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Submit(t, a.Redis, a.Store, tasks.Job{ID: "m", Kind: migration.Kind, Spec: spec, Window: 4})
	v := enginetest.WaitState(t, a.Store, "m", tasks.Succeeded)
	if v.Counters.Written != 1200 {
		t.Errorf("%d rows of 1200", v.Counters.Written)
	}
	if _, err := a.Store.Workers(t.Context(), 3*time.Second); err != nil {
		t.Error(err)
	}
}

// leastRights returns the rights that the documentation gives the user of stint.
func leastRights(t *testing.T) []any {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ACL SETUSER stint on >PASSWORD (.*)$`).FindSubmatch(page)
	if m == nil {
		t.Fatal("docs/configuration.md has no ACL SETUSER line")
	}
	args := []any{"ACL", "SETUSER", "stint", "on", ">s3cret"}
	for _, word := range strings.Fields(string(m[1])) {
		args = append(args, word)
	}
	return args
}

func TestTheRightsThatAreDocumentedSuffice(t *testing.T) {
	t.Parallel()
	as := config.Redis{Username: "stint", Password: config.NewSecret("s3cret")}
	grant := func(t *testing.T, servers ...*redistest.Server) {
		t.Helper()
		for _, s := range servers {
			if err := s.Client().Do(t.Context(), leastRights(t)...).Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.Client().Do(t.Context(), "ACL", "SETUSER", "default", "off").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("single", func(t *testing.T) {
		t.Parallel()
		s := redistest.New(t, redistest.TCP())
		grant(t, s)
		r := as
		r.URL = config.NewURL(s.URL())
		migrates(t, r)
		log, err := s.Client().ACLLog(t.Context(), 10).Result()
		if err != nil || len(log) != 0 {
			t.Errorf("refused: %+v, %v", log, err)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		c := redistest.NewCluster(t, 3)
		grant(t, c.Nodes...)
		r := as
		r.Topology, r.URL = config.Cluster, config.NewURL(c.URL())
		migrates(t, r)
		for _, n := range c.Nodes {
			if log, err := n.Client().ACLLog(t.Context(), 10).Result(); err != nil || len(log) != 0 {
				t.Errorf("refused: %+v, %v", log, err)
			}
		}
	})
	t.Run("beyond", func(t *testing.T) {
		t.Parallel()
		s := redistest.New(t)
		if err := s.Client().Do(t.Context(), leastRights(t)...).Err(); err != nil {
			t.Fatal(err)
		}
		o := s.Options()
		o.Username, o.Password = "stint", "s3cret"
		c := redis.NewClient(o)
		t.Cleanup(func() { _ = c.Close() })
		for _, command := range [][]any{{"SET", "other", "1"}, {"FLUSHALL"}, {"CONFIG", "SET", "save", ""}, {"KEYS", "*"}, {"ACL", "LIST"}, {"PUBLISH", "other", "x"}} {
			if err := c.Do(t.Context(), command...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("%v: %v", command, err)
			}
		}
	})
}

func TestARedisBehindSentinelsIsFoundThroughThem(t *testing.T) {
	t.Parallel()
	migrates(t, config.Redis{Topology: config.Sentinel, URL: config.NewURL(redistest.NewSentinel(t).URL())})
}

func TestARedisThatIsAwayIsNamedWithAHint(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.TCP())
	s.Kill()
	for topology, url := range map[string]string{
		config.Single: s.URL(), config.Cluster: s.URL() + "?addr=127.0.0.1:1", config.Sentinel: s.URL() + "?master_name=main",
	} {
		_, err := open(t, config.Redis{Topology: topology, URL: config.NewURL(url)})
		if !errors.Is(err, app.ErrUnreachable) || tasks.HintOf(err) == "" || !strings.Contains(fmt.Sprint(err), s.Addr()) {
			t.Errorf("%s: %v (%s)", topology, err, tasks.HintOf(err))
		}
	}
}

// certificates makes an authority and a pair that it has signed, for a server named redis.test and for a client alike.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	must := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"redis.test"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	ca = write("ca.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)))
	cert = write("cert.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, leaf, authority, &leafKey.PublicKey, caKey)))
	key = write("key.pem", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(leafKey)))
	return ca, cert, key
}

func TestARedisWithTLSIsReachedByTheNameOfItsCertificateOnly(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	plain := redistest.New(t)
	for name, value := range map[string]string{"tls-ca-cert-file": ca, "tls-cert-file": cert, "tls-key-file": key} {
		if err := plain.Client().ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	free, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free)
	if err := plain.Client().ConfigSet(t.Context(), "tls-port", port).Err(); err != nil {
		t.Fatal(err)
	}
	good := config.Redis{URL: config.NewURL("rediss://127.0.0.1:" + port), CA: ca, Cert: cert, Key: key, ServerName: "redis.test"}
	migrates(t, good)
	for name, change := range map[string]func(*config.Redis){
		"no authority":       func(r *config.Redis) { r.CA = "" },
		"another name":       func(r *config.Redis) { r.ServerName = "other.test" },
		"no certificate":     func(r *config.Redis) { r.Cert, r.Key = "", "" },
		"no TLS":             func(r *config.Redis) { *r = config.Redis{URL: config.NewURL("redis://127.0.0.1:" + port)} },
		"an empty authority": func(r *config.Redis) { r.CA = key },
	} {
		bad := good
		change(&bad)
		if _, err := open(t, bad); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
}
