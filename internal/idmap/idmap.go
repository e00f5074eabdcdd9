package idmap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// DefaultMax is how many ids of a tenant a map takes when nobody says otherwise: some 40 MB.
const DefaultMax = 1_000_000

// ErrLost: the Redis does not have the maps that were written before.
var ErrLost = errors.New("the map of ids is gone")

// ErrEvicts: the Redis would let go of ids by itself.
var ErrEvicts = errors.New("keys without a time to live are evicted")

// Maps are the maps of ids in one Redis. Close them last.
type Maps struct {
	client  redis.UniversalClient
	name    string // for messages: no secrets
	durable bool
}

// Options say how a Redis is opened.
type Options struct {
	// Name stands for the Redis in messages.
	Name string
	// Conns is the most connections at a time; 0 means the URL's, or ten for each processor.
	Conns int
	// ConnectTimeout is how long one may take to open; 0 means the URL's, or 5 s.
	ConnectTimeout time.Duration
}

// Open connects to the Redis of a URL as redis.url of the configuration has it: redis://, rediss:// or unix://; with addr= in its query
// a cluster, with master_name= one behind sentinels. It refuses a Redis that lets go of keys by itself when its memory is full. An
// error never quotes the URL, which may hold a password.
func Open(ctx context.Context, url string, o Options) (*Maps, error) {
	client, err := o.client(url)
	if err != nil {
		return nil, tasks.Permanent(tasks.WithHint(nil, "write redis://USER@HOST:6379/0, or rediss:// for TLS", "the address of %s is none of a Redis", o.Name))
	}
	m := &Maps{client: client, name: o.Name, durable: true}
	single, ok := client.(*redis.Client)
	if ok && isCluster(ctx, single) { // one address of a cluster is enough to find the others
		s := single.Options()
		m.client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}, Username: s.Username, Password: s.Password, TLSConfig: s.TLSConfig,
			PoolSize: o.Conns, DialTimeout: s.DialTimeout, DisableIdentity: true})
		if err := single.Close(); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	if err := m.look(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (o *Options) client(url string) (redis.UniversalClient, error) {
	bound := func(conns *int, timeout *time.Duration) {
		if o.Conns > 0 {
			*conns = o.Conns
		}
		if o.ConnectTimeout > 0 {
			*timeout = o.ConnectTimeout
		}
	}
	switch query := url[strings.IndexByte(url+"?", '?'):]; {
	case strings.Contains(query, "master_name="):
		f, err := redis.ParseFailoverURL(url)
		if err != nil {
			return nil, err
		}
		f.Username, f.Password, f.SentinelUsername, f.SentinelPassword = f.SentinelUsername, f.SentinelPassword, "", "" // as redis.url has it
		f.DisableIdentity = true
		bound(&f.PoolSize, &f.DialTimeout)
		return redis.NewFailoverClient(f), nil
	case strings.Contains(query, "addr="):
		c, err := redis.ParseClusterURL(url)
		if err != nil {
			return nil, err
		}
		c.DisableIdentity = true
		bound(&c.PoolSize, &c.DialTimeout)
		return redis.NewClusterClient(c), nil
	}
	s, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	s.DisableIdentity = true
	bound(&s.PoolSize, &s.DialTimeout)
	return redis.NewClient(s), nil
}

func isCluster(ctx context.Context, c *redis.Client) bool {
	text, err := c.Info(ctx, "server").Result()
	return err == nil && fieldOf(text, "redis_mode") == "cluster"
}

func fieldOf(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// look sees that no master evicts the keys of the map, and whether each keeps an append-only file. What a service does not tell is
// taken to be right. Policies that evict only keys with a time to live never touch the map, whose keys have none.
func (m *Maps) look(ctx context.Context) error {
	var forgetful atomic.Bool // the masters of a cluster are asked at the same time
	one := func(ctx context.Context, c *redis.Client) error {
		text, err := c.Info(ctx).Result()
		var said redis.Error
		if errors.As(err, &said) && !strings.HasPrefix(said.Error(), "LOADING") && !isDenied(said) {
			return nil
		}
		if err != nil {
			return m.failed("ask about itself", err)
		}
		if policy := fieldOf(text, "maxmemory_policy"); strings.HasPrefix(policy, "allkeys-") {
			return tasks.Permanent(tasks.WithHint(ErrEvicts, "set maxmemory-policy noeviction there, or name another Redis with ids:",
				"the Redis of %s throws keys away when its memory is full (maxmemory-policy %s): ids would be lost without a word", m.name, policy))
		}
		if fieldOf(text, "aof_enabled") == "0" {
			forgetful.Store(true)
		}
		return nil
	}
	var err error
	switch c := m.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, one)
	case *redis.Client:
		err = one(ctx, c)
	}
	m.durable = m.durable && !forgetful.Load()
	return err
}

// isDenied reports whether a server wants other credentials; a user without the right to ask (NOPERM) is let pass.
func isDenied(said error) bool {
	return strings.HasPrefix(said.Error(), "NOAUTH") || strings.HasPrefix(said.Error(), "WRONGPASS")
}

// Durable reports whether what was written outlives a crash of the Redis, as far as it tells: it keeps an append-only file.
func (m *Maps) Durable() bool { return m.durable }

// Close gives the connections back. Once more does nothing.
func (m *Maps) Close() error {
	if err := m.client.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// Begin returns the token of a tenant's maps. The first call makes it.
func (m *Maps) Begin(ctx context.Context, tenant string) (string, error) {
	key := mapsKey(tenant)
	err := m.client.HSetNX(ctx, key, "token", rand.Text()).Err()
	token := ""
	if err == nil {
		token, err = m.client.HGet(ctx, key, "token").Result()
	}
	if err != nil {
		return "", m.failed("begin a map of ids", err)
	}
	return token, nil
}

// Of returns the maps of a tenant whose token is known; "" takes them as they are. max bounds the ids of the tenant; 0 means
// DefaultMax. scope is whose rows they are: the name of a map is scope/entity.
func (m *Maps) Of(tenant, scope, token string, most int64) *Scope {
	if most <= 0 {
		most = DefaultMax
	}
	return &Scope{maps: m, tenant: tenant, scope: scope, token: token, most: most}
}

// failed says what could not be done. A Redis that is away is back in a while, so the step waits for it.
func (m *Maps) failed(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || tasks.IsPermanent(err) {
		return err
	}
	said := err.Error()
	err = fmt.Errorf("%s: %w", what, err)
	switch {
	case strings.HasPrefix(said, "OOM "):
		return tasks.WithHint(err, "give it more memory (maxmemory), then retry", "the Redis of %s is full", m.name)
	case strings.HasPrefix(said, "NOAUTH"), strings.HasPrefix(said, "WRONGPASS"), strings.HasPrefix(said, "NOPERM"):
		return tasks.Permanent(tasks.WithHint(err, "look at the user and the password of the connection; the user needs the keys stint:ids:* and scripts (+eval +evalsha)", "the Redis of %s does not let us", m.name))
	case isAway(err, said):
		return tasks.RetryAfter(tasks.WithHint(err, "is it running, and is the address of the connection right?", "the Redis of %s cannot be reached", m.name), time.Second/2+mathrand.N(time.Second))
	}
	return tasks.WithHint(err, "look at its log", "the Redis of %s refuses", m.name)
}

func isAway(err error, said string) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ENOENT) || errors.Is(err, redis.ErrPoolTimeout) {
		return true
	}
	for _, word := range []string{"LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "READONLY", "BUSY "} {
		if strings.HasPrefix(said, word) {
			return true
		}
	}
	return false
}
