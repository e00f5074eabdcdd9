// Package fire puts a whole fleet under fire and looks whether it kept its promises.
//
// A Town is workers, schedulers and API servers as processes, on a real Redis, a real PostgreSQL and, where asked for, a real MariaDB,
// with a link between any two of them. It has work to do: rows to move, records to send to an API, a schedule that fires each second,
// webhooks that tell of it. Faults (faults.go) hit it at moments that follow from a seed. In the end Check compares the target with the
// source, counters with the ledger, events with the state machine, messages with what should have been sent, ticks with the calendar.
package fire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/cmd/internal/rig/fault"
	"github.com/stint-run/stint/internal/freeport"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/internal/localredis/redisproc"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// Options say what a town has beside its usual parts. The zero value is a Redis that keeps a file, and a database on the PostgreSQL of
// the test binary, which nobody hurts.
type Options struct {
	Postgres     bool // a PostgreSQL of its own, as durable as in production
	Standby      bool // with a standby that follows it; implies Postgres
	Replica      bool // Redis has a replica
	RedisDisk    bool // Redis' file is on a disk of its own
	PostgresDisk bool // so are PostgreSQL's; implies Postgres
	Maria        bool // a MariaDB with rows to move
	Soak         bool // databases to be filled again and again, and old jobs are forgotten soon; implies Postgres and Maria
	Rows         int  // of the SQLite source; 0 is 6,000
	Hostile      bool // the API fails, hangs and cuts off requests all the time
}

// DiskSize is what a disk of a town holds, in bytes.
const DiskSize = 256 << 20

// Member is a process of the town, and the ways that it has to the others.
type Member struct {
	Kind  string // worker, scheduler, serve
	N     int
	Links map[string]*fault.Link // redis, cloud, target, hook, maria
	P     *rig.Process
	hurt  bool // a fault has it
}

// Name says which one it is.
func (m *Member) Name() string { return m.Kind + " " + strconv.Itoa(m.N) }

// Town is the fleet and its servers. It belongs to the goroutine of the test.
type Town struct {
	T       testing.TB
	R       *rig.Rig
	O       Options
	Redis   *redistest.Server
	Replica *redistest.Server
	Post    *pgtest.Server // nil when the PostgreSQL is everybody's
	Standby *pgtest.Server
	Maria   *mariadbtest.Server
	API     *apitest.Server
	Members []*Member
	Jobs    []*Job
	Hook    *Hook

	source    rig.Source
	cloud     string // URL of the database, without a link
	maria     string
	redisLink *fault.Link // between Redis and its replica
	postLink  *fault.Link // between PostgreSQL and its standby
	redisDisk *fault.Disk
	postDisk  *fault.Disk
	ports     []string // of the API servers
	admin     string   // where the first worker answers about itself, in a soak
	began     time.Time
	patience  time.Duration
	lost      map[string]bool // what has forgotten what it had confirmed: "redis", "cloud"
}

// New builds a town and waits until all of its processes are there.
func New(t testing.TB, o Options) *Town {
	t.Helper()
	if o.Rows == 0 {
		o.Rows = 6_000
	}
	o.Maria = o.Maria || o.Soak
	o.Postgres = o.Postgres || o.Standby || o.PostgresDisk || o.Soak
	town := &Town{T: t, O: o, source: rig.Legacy(t, o.Rows), admin: freePort(t), patience: patience, Hook: newHook(t), lost: map[string]bool{}}
	town.servers()
	connections := []rig.Connection{{Name: "legacy", URL: town.source.URL()}, {Name: "cloud", URL: "@@CLOUD@@"}, {Name: "lists", URL: "sqlite:" + town.recordSource()}, {Name: "api", URL: "@@TARGET@@"}, {Name: "maria", URL: "@@MARIA@@"}}
	for _, name := range soaked {
		connections = append(connections, rig.Connection{Name: name, URL: "@@" + strings.ToUpper(name) + "@@"})
	}
	town.R = rig.New(t, town.Redis, connections...)
	town.R.Configure("limits: {steps_per_second: 10}\n" +
		"webhooks:\n  - {name: hook, url: '@@HOOK@@', private: true, kinds: [migration], secret: 'env:HOOK_SECRET'}\n" +
		"schedules:\n  - {name: beat, every: 1s, missed: all, deadline: 30s, overlap: allow, tenant: clock, kind: verification, spec: {source: legacy, target: legacy, tables: [customer]}}\n")
	if o.Soak {
		town.R.Configure("  - {name: tidy, every: 20s, tenant: clock, kind: cleanup, spec: {keep_for: 2m, keep: 0}}\n")
	}
	for kind, n := range map[string]int{"worker": 3, "scheduler": 2, "serve": 2} {
		for i := range n {
			m := &Member{Kind: kind, N: i + 1, Links: map[string]*fault.Link{}}
			for name, server := range town.addresses() {
				m.Links[name] = fault.NewLink(t, server)
			}
			if kind == "serve" {
				town.ports = append(town.ports, freePort(t))
			}
			town.Members = append(town.Members, m)
		}
	}
	slices.SortFunc(town.Members, func(a, b *Member) int { return strings.Compare(a.Name(), b.Name()) })
	for _, m := range town.Members {
		town.Start(m)
	}
	town.ready()
	town.R.Until(time.Minute, "the schedule has fired", func(ctx context.Context) (bool, error) {
		town.Supervise()
		all, err := town.Client(0).Schedules(ctx)
		return len(all) > 0 && all[0].LastAt != nil, err
	})
	return town
}

// Supervise starts those again that have ended by themselves, as every platform does: a process that starts while its Redis is away says so
// and ends.
func (t *Town) Supervise() {
	t.T.Helper()
	for _, m := range t.Members {
		if !m.hurt && !m.P.Running() {
			t.Start(m)
		}
	}
}

// ready waits until every member that no fault has is at work.
func (t *Town) ready() {
	t.T.Helper()
	for _, m := range t.Members {
		t.R.Until(time.Minute, m.Name()+" is ready", func(context.Context) (bool, error) {
			if !m.P.Running() {
				t.Start(m)
			}
			return strings.Contains(m.P.Log(), `ready"`), nil
		})
	}
}

// servers starts everything that is not stint.
func (t *Town) servers() {
	t.T.Helper()
	options := []redistest.Option{redistest.TCP(), redistest.EverySecond()}
	if t.O.RedisDisk {
		t.redisDisk = t.disk()
		options = append(options, func(c *redisproc.Config) { c.Dir = t.redisDisk.Dir })
	}
	t.Redis = redistest.New(t.T, options...)
	if t.O.Replica {
		t.redisLink = fault.NewLink(t.T, t.Redis.Addr())
		host, port, _ := net.SplitHostPort(t.redisLink.Addr)
		t.Replica = redistest.New(t.T, redistest.TCP(), redistest.EverySecond(), redistest.Lines("replicaof "+host+" "+port, "repl-diskless-sync-delay 0"))
	}
	t.postgres()
	if t.O.Maria {
		t.mariadb()
	}
	o := apitest.Options{Mode: apitest.ModeKeys, Partial: true, Seed: 1, RetryAfter: time.Second, HangFor: 5 * time.Second}
	if t.O.Hostile {
		o.Faults = apitest.Hostile()
	}
	t.API = apitest.New(o)
	if err := t.API.Start(); err != nil {
		t.T.Fatal(err)
	}
	t.T.Cleanup(t.API.Close)
}

func (t *Town) disk() *fault.Disk {
	t.T.Helper()
	d, err := fault.NewDisk(t.T, DiskSize)
	if errors.Is(err, fault.ErrUnsupported) {
		t.T.Skip(err)
	}
	if err != nil {
		t.T.Fatal(err)
	}
	return d
}

func (t *Town) postgres() {
	t.T.Helper()
	if !t.O.Postgres {
		t.cloud = pgtest.New(t.T)
		return
	}
	dir := ""
	if t.O.PostgresDisk {
		t.postDisk = t.disk()
		dir = t.postDisk.Dir
	}
	ctx := context.Background()
	post, err := pgtest.Start(dir, pgtest.Options{Fsync: true, Settings: map[string]string{"max_wal_size": "96MB", "min_wal_size": "32MB", "wal_sender_timeout": "5s", "wal_receiver_timeout": "5s"}})
	if err != nil {
		t.T.Fatal(err)
	}
	t.Post = post
	t.T.Cleanup(func() {
		if err := post.Stop(); err != nil {
			t.T.Error(err)
		}
	})
	if err := post.CreateDatabase(ctx, "cloud"); err != nil {
		t.T.Fatal(err)
	}
	t.cloud = post.URL("cloud")
	if !t.O.Standby {
		return
	}
	t.postLink = fault.NewLink(t.T, addressOf(t.cloud))
	if t.Standby, err = post.Standby(t.postLink.Addr); err != nil {
		t.T.Fatal(err)
	}
	t.T.Cleanup(func() {
		if err := t.Standby.Stop(); err != nil {
			t.T.Error(err)
		}
	})
}

// mariaRows is how many rows the MariaDB has.
const mariaRows = 3_000

func (t *Town) mariadb() {
	t.T.Helper()
	m, err := mariadbtest.StartDurable()
	if err != nil {
		t.T.Fatal(err)
	}
	t.Maria = m
	t.T.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.T.Error(err)
		}
	})
	t.maria = m.URL("shop")
	if err := m.Run("CREATE DATABASE shop"); err != nil {
		t.T.Fatal(err)
	}
	if err := rig.Execute(context.Background(), t.maria, "CREATE TABLE goods (id INT PRIMARY KEY, text VARCHAR(40) NOT NULL, n INT NOT NULL)",
		fmt.Sprintf("INSERT INTO goods SELECT seq, concat('goods ', seq), seq * 7 FROM seq_1_to_%d", mariaRows)); err != nil {
		t.T.Fatal(err)
	}
}

// soaked are the databases, and connections, that a soak fills.
var soaked = []string{"soak1", "soak2", "soak3", "sync"}

// addresses are the servers that members call, by the name of the link.
func (t *Town) addresses() map[string]string {
	all := map[string]string{"redis": t.Redis.Addr(), "cloud": addressOf(t.cloud), "target": addressOf(t.API.URL()), "hook": addressOf(t.Hook.URL)}
	if t.O.Maria {
		all["maria"] = addressOf(t.maria)
	}
	return all
}

// Start starts a member, for the first time or in the place of one that has ended.
func (t *Town) Start(m *Member) {
	t.T.Helper()
	var args []string
	if m.Kind == "serve" {
		args = []string{"--listen", t.ports[m.N-1]}
	}
	m.P = t.R.StartEnv(t.env(m), m.Kind, args...)
}

// env tells a process how to reach the others: through the links of a member, or past them.
func (t *Town) env(m *Member) []string {
	through := func(name, to string) string {
		if m == nil || to == "" {
			return to
		}
		u, err := url.Parse(to)
		if err != nil {
			t.T.Fatal(err)
		}
		u.Host = m.Links[name].Addr
		return u.String()
	}
	maria := t.maria
	if maria == "" {
		maria = "sqlite:" + filepath.Join(t.R.Dir, "none.db")
	} else {
		maria = through("maria", maria)
	}
	list := []string{"STINT_REDIS_URL=" + through("redis", t.Redis.URL()), "CLOUD=" + through("cloud", t.cloud), "TARGET=" + through("target", t.API.URL()),
		"HOOK=" + through("hook", t.Hook.URL), "MARIA=" + maria, "HOOK_SECRET=" + hookSecret}
	for _, name := range soaked {
		to := t.cloud
		if t.O.Soak {
			to = t.Post.URL(name)
		}
		if name != "sync" { // an analysis is of one store: all have to call it by the same address
			to = through("cloud", to)
		}
		list = append(list, strings.ToUpper(name)+"="+to)
	}
	admin := "off"
	if t.O.Soak && m != nil && m.Name() == "worker 1" {
		admin = t.admin
	}
	return append(list, "STINT_WORKER_ADMIN="+admin)
}

// Of lists the members of a kind; "" is all.
func (t *Town) Of(kind string) (list []*Member) {
	for _, m := range t.Members {
		if kind == "" || m.Kind == kind {
			list = append(list, m)
		}
	}
	return list
}

// Client speaks to one of the API servers, past all links.
func (t *Town) Client(i int) *client.Client {
	c, err := client.New(client.Options{Server: "http://" + t.ports[i%len(t.ports)]})
	if err != nil {
		t.T.Fatal(err)
	}
	return c
}

// command runs a command of stint through one of the API servers, and reads what it prints as JSON.
func (t *Town) command(limit time.Duration, args ...string) ([]byte, error) {
	t.T.Helper()
	p := t.R.StartEnv(t.env(nil), args[0], append(args[1:], "--server", "http://"+t.ports[0], "--output", "json")...)
	if code := p.Wait(limit); code != 0 {
		p.Kill()
		return nil, fmt.Errorf("stint %s ended with %d\n%s", strings.Join(args, " "), code, p.Log())
	}
	return p.Out(), nil
}

// End drains every process that is there, as a deployment does, and wants each to end in order.
func (t *Town) End() {
	t.T.Helper()
	t.ready()
	var all sync.WaitGroup
	for _, m := range t.Members {
		if err := m.P.Signal(syscall.SIGTERM); err != nil {
			t.T.Errorf("end %s: %v", m.Name(), err)
		}
		all.Go(func() {
			if code := m.P.Wait(time.Minute); code != 0 {
				t.T.Errorf("%s, told to end, ended with %d\n%s", m.Name(), code, m.P.Log())
			}
		})
	}
	all.Wait()
}

func addressOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // of a server that this package has started
	}
	return u.Host
}

func freePort(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// family are a process and those that it has started.
func family(pid int) []int {
	list := []int{pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return list
	}
	for _, word := range strings.Fields(string(children)) {
		if child, err := strconv.Atoi(word); err == nil {
			list = append(list, child)
		}
	}
	return list
}
