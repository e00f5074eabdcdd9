package doctor_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/cmd/internal/doctor"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// examined is what there is to examine. Change it before find.
type examined struct {
	t      *testing.T
	config *config.Config
	app    *app.App
	now    func() time.Time
}

// connect connects to a Redis, or to an embedded queue where none is named.
func connect(t *testing.T, r config.Redis) *examined {
	t.Helper()
	if r.Topology == "" {
		r.Topology = config.Single
	}
	e := &examined{t: t, config: &config.Config{Redis: r, Data: t.TempDir()}, now: time.Now}
	a, err := app.New(t.Context(), app.Options{Redis: r, Data: e.config.Data, Version: "1.0.0", Log: slog.New(slog.DiscardHandler), Concurrency: 2,
		Heartbeat: 100 * time.Millisecond, DrainTimeout: 10 * time.Second, Sweep: 100 * time.Millisecond, LostAfter: 3 * time.Second,
		Local: localredis.Options{Dir: e.config.Data, Mode: localredis.Mode(r.Mode), Log: slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	e.app = a
	return e
}

func on(t *testing.T, s *redistest.Server) *examined {
	t.Helper()
	return connect(t, config.Redis{URL: config.NewURL(s.URL())})
}

func (e *examined) find() findings {
	e.t.Helper()
	o := doctor.Options{Config: e.config, App: e.app, Version: "1.0.0", Now: e.now}
	if e.app != nil {
		c, err := e.app.Client()
		if err != nil {
			e.t.Fatal(err)
		}
		o.Client = c
	}
	return doctor.Examine(e.t.Context(), o)
}

type findings []doctor.Finding

// want checks that there is a finding of a check with a verdict and a text, and that what is not ok has a hint.
func (f findings) want(t *testing.T, subject, check string, v doctor.Verdict, text string) {
	t.Helper()
	if !slices.ContainsFunc(f, func(x doctor.Finding) bool {
		return x.Subject == subject && x.Check == check && x.Verdict == v && strings.Contains(x.Message, text) && (v == doctor.OK || x.Hint != "")
	}) {
		t.Errorf("want %s, %s: %s %q among:\n%s", subject, check, v, text, f)
	}
}

func (f findings) String() string {
	var b strings.Builder
	for _, x := range f {
		b.WriteString(strings.Join([]string{string(x.Verdict), x.Subject, x.Check, x.Message, "(" + x.Hint + ")"}, " | ") + "\n")
	}
	return b.String()
}

func TestTheLossWindowOfARedisIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []redistest.Option
		verdict doctor.Verdict
		text    string
	}{
		"always":      {[]redistest.Option{redistest.FsyncAlways()}, doctor.OK, "loses nothing acknowledged"},
		"each second": {[]redistest.Option{redistest.EverySecond()}, doctor.OK, "may lose a second, or two"},
		"no fsync":    {[]redistest.Option{redistest.EverySecond(), redistest.Lines("appendfsync no")}, doctor.Warning, "some 30 s"},
		"snapshots":   {[]redistest.Option{redistest.Lines("save 60 1")}, doctor.Warning, "everything since the last RDB snapshot"},
		"nothing":     {nil, doctor.Warning, "writes nothing to disk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := on(t, redistest.New(t, c.options...)).find()
			found.want(t, "redis", "loss", c.verdict, c.text)
			found.want(t, "redis", "topology", doctor.OK, "single")
			found.want(t, "redis", "version", doctor.OK, "edis")
			found.want(t, "redis", "latency", doctor.OK, "it answers in")
			found.want(t, "redis", "clock", doctor.OK, "agrees")
			found.want(t, "redis", "eviction", doctor.OK, "noeviction")
			found.want(t, "redis", "replicas", doctor.OK, "none")
			found.want(t, "redis", "memory", doctor.OK, "maxmemory is not set")
		})
	}
}

func TestARedisThatEvictsIsAProblemAndIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines   []string
		verdict doctor.Verdict
		refused bool
	}{
		"with a limit":    {[]string{"maxmemory 100mb", "maxmemory-policy allkeys-lru"}, doctor.Problem, true},
		"of expiring":     {[]string{"maxmemory 100mb", "maxmemory-policy volatile-ttl"}, doctor.Problem, true},
		"without a limit": {[]string{"maxmemory-policy allkeys-lru"}, doctor.Warning, false},
		"none":            {[]string{"maxmemory 100mb"}, doctor.OK, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, redistest.Lines(c.lines...))
			on(t, s).find().want(t, "redis", "eviction", c.verdict, "")
			err := doctor.RefuseEvicting(t.Context(), s.Client(), func(m, _ string) { t.Errorf("not seen: %s", m) })
			if (err != nil) != c.refused || c.refused && !strings.Contains(tasks.HintOf(err), "noeviction") {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestAUserWithoutTheRightToAskIsToldSo(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.EverySecond(), redistest.Lines("maxmemory 100mb", "maxmemory-policy allkeys-lru"))
	as := func(user string, rights ...any) *examined {
		if err := s.Client().Do(t.Context(), append([]any{"ACL", "SETUSER", user, "on", ">s3cret", "~*", "&*", "+@all"}, rights...)...).Err(); err != nil {
			t.Fatal(err)
		}
		return connect(t, config.Redis{URL: config.NewURL(s.URL()), Username: user, Password: config.NewSecret("s3cret")})
	}
	blind := as("blind", "-info", "-config", "-time")
	found := blind.find()
	found.want(t, "redis", "eviction", doctor.Warning, "cannot be seen")
	found.want(t, "redis", "loss", doctor.Warning, "cannot be seen")
	found.want(t, "redis", "clock", doctor.Warning, "cannot be seen")
	found.want(t, "redis", "latency", doctor.OK, "")
	told := ""
	if err := doctor.RefuseEvicting(t.Context(), blind.app.Redis, func(m, _ string) { told = m }); err != nil || !strings.Contains(told, "cannot be seen") {
		t.Errorf("unseen: %v, %q", err, told)
	}
	half := as("half", "-config")
	if err := s.Client().Do(t.Context(), "ACL", "LOG", "RESET").Err(); err != nil {
		t.Fatal(err)
	}
	if err := doctor.RefuseEvicting(t.Context(), half.app.Redis, nil); err == nil {
		t.Error("a Redis that evicts is not refused when CONFIG is forbidden")
	}
	if log, err := s.Client().ACLLog(t.Context(), 10).Result(); err != nil || len(log) != 0 {
		t.Errorf("the check at the start asks for what it may not: %v, %v", log, err)
	}
	found = half.find()
	found.want(t, "redis", "eviction", doctor.Problem, "allkeys-lru")
	found.want(t, "redis", "loss", doctor.Warning, "how often it is synced cannot be seen")
}

func TestAFullRedisIsAProblemBeforeItIsFull(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Lines("maxmemory 200mb"))
	e := on(t, s)
	// So much that what connections take makes no difference; made by the server, as what is sent to it is in its memory twice for a while.
	if err := s.Client().SetRange(t.Context(), "ballast", 40<<20, "x").Err(); err != nil {
		t.Fatal(err)
	}
	fill := func(share float64) {
		t.Helper()
		used, err := s.Client().InfoMap(t.Context(), "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseFloat(used["Memory"]["used_memory"], 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Client().ConfigSet(t.Context(), "maxmemory", strconv.FormatInt(int64(n/share), 10)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	fill(0.85)
	e.find().want(t, "redis", "memory", doctor.Warning, "in use")
	fill(1.3)
	e.find().want(t, "redis", "memory", doctor.Problem, "in use")
}

func TestReplicasAreCounted(t *testing.T) {
	t.Parallel()
	master := redistest.New(t, redistest.TCP())
	_, port, _ := net.SplitHostPort(master.Addr())
	replica := redistest.New(t, redistest.Lines("replicaof 127.0.0.1 "+port, "repl-diskless-sync-delay 0"))
	await(t, func() bool {
		info, _ := master.Client().Info(t.Context(), "replication").Result()
		return strings.Contains(info, "connected_slaves:1")
	})
	e := on(t, master)
	e.find().want(t, "redis", "replicas", doctor.Warning, "1 replica; min-replicas-to-write is 0")
	if err := master.Client().ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	e.find().want(t, "redis", "replicas", doctor.OK, "min-replicas-to-write is 1")
	on(t, replica).find().want(t, "redis", "topology", doctor.Problem, "it is a replica")
}

func TestEachMasterOfAClusterIsLookedAt(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, 3)
	for name, value := range map[string]string{"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"} {
		if err := c.Nodes[2].Client().ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	e := connect(t, config.Redis{Topology: config.Cluster, URL: config.NewURL(c.URL())})
	found := e.find()
	found.want(t, "redis", "topology", doctor.OK, "a cluster of 3 masters")
	found.want(t, "redis "+c.Nodes[0].Addr(), "eviction", doctor.OK, "")
	found.want(t, "redis "+c.Nodes[2].Addr(), "eviction", doctor.Problem, "allkeys-lru")
	if err := doctor.RefuseEvicting(t.Context(), e.app.Redis, nil); err == nil || !strings.Contains(err.Error(), c.Nodes[2].Addr()) {
		t.Errorf("refused: %v", err)
	}
	on(t, c.Nodes[0]).find().want(t, "redis", "topology", doctor.Problem, "redis.topology is single")
}

func TestTheMasterBehindSentinelsIsLookedAt(t *testing.T) {
	t.Parallel()
	found := connect(t, config.Redis{Topology: config.Sentinel, URL: config.NewURL(redistest.NewSentinel(t).URL())}).find()
	found.want(t, "redis", "topology", doctor.OK, "sentinel")
	found.want(t, "redis", "replicas", doctor.Warning, "1 replica")
}

func TestAClockThatIsOffIsTold(t *testing.T) {
	t.Parallel()
	e := on(t, redistest.New(t))
	url := pgtest.New(t)
	e.config.Connections = config.Connections{{Name: "cloud", URL: config.NewURL(url)}}
	for off, text := range map[time.Duration]string{time.Minute: "behind", -time.Minute: "ahead of"} {
		e.now = func() time.Time { return time.Now().Add(off) }
		found := e.find()
		found.want(t, "redis", "clock", doctor.Warning, text)
		found.want(t, "connection cloud", "clock", doctor.Warning, text)
	}
}

func TestTheEmbeddedQueueIsNamedAndAloneIsNoProblem(t *testing.T) {
	t.Parallel()
	found := connect(t, config.Redis{}).find()
	found.want(t, "embedded queue", "loss", doctor.OK, "may lose a second")
	found.want(t, "fleet", "workers", doctor.OK, "a command that needs one runs its own")
	found.want(t, "scheduler", "sweep", doctor.OK, "a command that needs one runs its own")
	found.want(t, "tokens", "tokens", doctor.OK, "loopback only")
	found.want(t, "telemetry", "endpoint", doctor.OK, "off")
	if v := doctor.Worst(found); v == doctor.Problem {
		t.Errorf("%s:\n%s", v, found)
	}
	found = connect(t, config.Redis{Mode: "inprocess"}).find()
	found.want(t, "embedded queue", "loss", doctor.Warning, "saved each second")
}

func TestFoldersOfFilesAPIsAndRedisesOfIDsAreLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "customer.csv"), []byte("id,name\n1,Ada\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	key := config.APIAccess{Header: "X-Key", Token: config.NewSecret("s3cret")}
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: dir, Connections: config.Connections{
		{Name: "export", URL: config.NewURL("csv:" + dir)}, {Name: "empty", URL: config.NewURL("dbf:" + dir)}, {Name: "gone", URL: config.NewURL("ndjson:" + dir + "/gone")},
		{Name: "ids", URL: config.NewURL(redistest.New(t).URL())}, {Name: "sure", URL: config.NewURL(redistest.New(t, redistest.EverySecond()).URL())},
		{Name: "evicts", URL: config.NewURL(redistest.New(t, redistest.Lines("maxmemory-policy allkeys-lru")).URL())}, {Name: "noredis", URL: config.NewURL("redis://127.0.0.1:1")},
		{Name: "crm", URL: config.NewURL(api.URL), APIAccess: key}, {Name: "stranger", URL: config.NewURL(api.URL)}, {Name: "away", URL: config.NewURL("http://127.0.0.1:1/x")},
	}}}
	found := e.find()
	found.want(t, "connection export", "reachable", doctor.OK, "1 table in "+dir)
	found.want(t, "connection empty", "reachable", doctor.Warning, "has no files of this form")
	found.want(t, "connection gone", "reachable", doctor.Problem, "there is no "+dir+"/gone")
	found.want(t, "connection ids", "reachable", doctor.OK, "it answers")
	found.want(t, "connection ids", "loss", doctor.Warning, "no append-only file")
	found.want(t, "connection sure", "reachable", doctor.OK, "evicts no ids")
	found.want(t, "connection evicts", "eviction", doctor.Problem, "throws keys away when its memory is full (maxmemory-policy allkeys-lru)")
	found.want(t, "connection noredis", "reachable", doctor.Problem, "the Redis of noredis cannot be reached")
	found.want(t, "connection crm", "reachable", doctor.OK, "it answers with status 200")
	found.want(t, "connection stranger", "credentials", doctor.Warning, "it answers with status 401")
	found.want(t, "connection away", "reachable", doctor.Problem, "the API does not answer")
}

func TestSearchServersAreAskedWhatTheyAre(t *testing.T) {
	t.Parallel()
	s, err := elastictest.Start(elastictest.Options{APIKey: "a2V5"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := config.NewURL(strings.Replace(s.URL(), "http://", "elasticsearch://", 1))
	key := config.APIAccess{Header: "Authorization", Token: config.NewSecret("ApiKey a2V5")}
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: t.TempDir(), Connections: config.Connections{
		{Name: "logs", URL: at, APIAccess: key}, {Name: "stranger", URL: at}, {Name: "away", URL: config.NewURL("opensearch://127.0.0.1:1")},
	}}}
	found := e.find()
	found.want(t, "connection logs", "reachable", doctor.OK, "elasticsearch 8.17.0 answers")
	found.want(t, "connection stranger", "reachable", doctor.Problem, "does not let us in")
	found.want(t, "connection away", "reachable", doctor.Problem, "cannot be asked")
}

func TestEveryConnectionIsOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "legacy.db")
	db, err := sql.Open("sqlite", file)
	if err == nil {
		_, err = db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY)")
	}
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, _ := os.ReadFile(file)
	if err := os.WriteFile(filepath.Join(dir, "no.db"), []byte("this is no database, and long enough to be seen as none"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := pgtest.New(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range []string{"DROP ROLE IF EXISTS doctor_reader", "CREATE ROLE doctor_reader LOGIN", "ALTER ROLE doctor_reader SET synchronous_commit = off",
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC"} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		c, err := pgx.Connect(context.Background(), url)
		if err == nil {
			_, err = c.Exec(context.Background(), "DROP ROLE doctor_reader")
			_ = c.Close(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	c := conn.Config()
	reader := "postgres://doctor_reader@" + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) + "/" + c.Database + "?sslmode=disable"
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: dir, Connections: config.Connections{
		{Name: "legacy", URL: config.NewURL("sqlite:" + file)}, {Name: "none", URL: config.NewURL("sqlite:" + filepath.Join(dir, "none.db"))},
		{Name: "no", URL: config.NewURL("sqlite:" + filepath.Join(dir, "no.db"))}, {Name: "cloud", URL: config.NewURL(url)},
		{Name: "reader", URL: config.NewURL(reader)}, {Name: "away", URL: config.NewURL("postgres://me@127.0.0.1:1/x")},
	}}}
	found := e.find()
	found.want(t, "connection legacy", "reachable", doctor.OK, "SQLite 3")
	found.want(t, "connection legacy", "rights", doctor.OK, "may be written")
	found.want(t, "connection none", "reachable", doctor.Warning, "there is no file")
	found.want(t, "connection no", "reachable", doctor.Problem, "is not an SQLite database")
	found.want(t, "connection cloud", "reachable", doctor.OK, "PostgreSQL ")
	found.want(t, "connection cloud", "rights", doctor.OK, "may make tables in schema public")
	found.want(t, "connection cloud", "clock", doctor.OK, "agrees")
	found.want(t, "connection cloud", "loss", doctor.Warning, "fsync is off")
	found.want(t, "connection reader", "loss", doctor.Warning, "synchronous_commit is off")
	found.want(t, "connection reader", "rights", doctor.OK, "may make no tables")
	found.want(t, "connection away", "reachable", doctor.Problem, "nothing accepts connections")
	found.want(t, "data folder", "writable", doctor.OK, dir)
	if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Check == "space" && strings.HasSuffix(f.Message, "free") }) {
		t.Errorf("the free space is not told:\n%s", found)
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("the file of a source was changed")
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("a database was made")
	}
}

// beat puts workers into the fleet, as their heartbeats would.
func beat(t *testing.T, s *store.Store, ws ...wire.Worker) {
	t.Helper()
	for _, w := range ws {
		if _, err := s.Beat(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatTheFleetLacksIsAProblem(t *testing.T) {
	t.Parallel()
	e := on(t, redistest.New(t))
	found := e.find()
	found.want(t, "fleet", "workers", doctor.Warning, "none runs")
	found.want(t, "scheduler", "sweep", doctor.Problem, "none runs")

	enginetest.Submit(t, e.app.Redis, e.app.Store, tasks.Job{ID: "m", Kind: migration.Kind, Spec: []byte(`{}`), Window: 4})
	found = e.find()
	found.want(t, "fleet", "workers", doctor.Problem, "none runs, and 1 steps wait")

	w := wire.Worker{Protocol: tasks.Protocol, Reads: tasks.OldestProtocol, State: wire.WorkerActive, Queues: []string{"other"}, Kinds: []string{"dedupe"}, Concurrency: 1}
	one, two, drained := w, w, w
	one.ID, one.Version, two.ID, two.Version = "one", "1.0.0", "two", "2.0.0"
	drained.ID, drained.Version, drained.State = "three", "1.0.0", wire.WorkerDrained
	beat(t, e.app.Store, one, two, drained)
	if err := e.app.Store.SetMaintenance(t.Context(), migration.VerifyKind, wire.Maintenance{By: "ada", Reason: "upgrade", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := e.app.StartScheduler(t.Context()); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := e.app.Store.PutToken(t.Context(), store.StoredToken{Token: wire.Token{ID: "abc", Name: "old", Role: "viewer", ExpiresAt: &past}}); err != nil {
		t.Fatal(err)
	}
	found = e.find()
	found.want(t, "fleet", "workers", doctor.Warning, "3 workers of 2 versions: 1.0.0 (2), 2.0.0 (1)")
	found.want(t, "fleet", "drained", doctor.Warning, "1 worker drained or draining, which claim nothing: three")
	found.want(t, "fleet", "queues", doctor.Problem, "no active worker serves the queue default")
	found.want(t, "fleet", "kinds", doctor.Problem, "no worker can carry out jobs of kind migration, and there are some: m")
	found.want(t, "fleet", "kinds", doctor.Warning, "verification is held")
	found.want(t, "fleet", "kinds", doctor.Warning, "no worker can carry out jobs of kind verification")
	found.want(t, "scheduler", "sweep", doctor.OK, "looks for what was lost")
	found.want(t, "tokens", "tokens", doctor.Warning, "1 of 1 have expired: abc (old)")
}

func TestACollectorThatDoesNotListenIsAWarning(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: filepath.Join(t.TempDir(), "later"), Telemetry: config.Telemetry{Endpoint: config.NewURL("http://" + l.Addr().String())}}}
	found := e.find()
	found.want(t, "telemetry", "endpoint", doctor.OK, "a collector listens")
	found.want(t, "data folder", "writable", doctor.OK, "not there yet")
	l.Close()
	e.config.Telemetry.Endpoint = config.NewURL("http://127.0.0.1:1") // a port that another test may not take
	e.find().want(t, "telemetry", "endpoint", doctor.Warning, "nothing takes traces")
}

// await polls until something is so.
func await(t *testing.T, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it never was so")
		}
	}
}
