package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/tasks"
)

// connectWithin bounds the first contact: the client by itself asks sentinels that are away for more than half a minute.
const connectWithin = 10 * time.Second

// connect opens the Redis of the configuration, or the embedded queue where there is none.
func (a *App) connect(ctx context.Context) error {
	QuietRedis(a.o.Log)
	target, err := a.o.Redis.Target()
	if err != nil {
		return err
	}
	if target == nil {
		local, err := localredis.StartOrJoin(ctx, a.o.Local)
		if err != nil {
			return &unreachable{err}
		}
		a.Local = local
		a.onStop("embedded queue", func(context.Context) error { return local.Close() })
		if notice := local.Notice(); notice != "" && !local.Joined() {
			a.o.Log.Warn(notice)
		}
		a.use(a.client(&config.RedisTarget{Single: local.Options()}))
		return nil
	}
	client := a.client(target)
	a.use(client)
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		return tasks.WithHint(&unreachable{err}, "is it running, and are redis.url and redis.topology right? Without redis.url stint starts a queue of its own", "redis at %s cannot be reached", target)
	}
	return nil
}

func (a *App) use(c redis.UniversalClient) {
	a.Redis = c
	a.onStop("redis", func(context.Context) error {
		if a.Worker != nil && a.Worker.LeftRedis() {
			return nil
		}
		return c.Close()
	})
}

// client makes the client of a topology, with as many connections as the worker needs unless the configuration says how
// many.
func (a *App) client(t *config.RedisTarget) redis.UniversalClient {
	pool := func(inURL int) int {
		switch {
		case a.o.Redis.Pool > 0:
			return a.o.Redis.Pool
		case inURL > 0:
			return inURL
		}
		return max(10, a.o.Concurrency/2)
	}
	switch {
	case t.Cluster != nil:
		o := *t.Cluster
		o.PoolSize, o.DisableIdentity = pool(o.PoolSize), true
		return redis.NewClusterClient(&o)
	case t.Sentinel != nil:
		o := *t.Sentinel
		o.PoolSize, o.DisableIdentity = pool(o.PoolSize), true
		return redis.NewFailoverClient(&o)
	}
	o := *t.Single
	o.PoolSize, o.DisableIdentity = pool(o.PoolSize), true
	return redis.NewClient(&o)
}

// ErrUnreachable: a server that the command needs does not answer.
var ErrUnreachable = errors.New("cannot be reached")

// unreachable is the driver's word for ErrUnreachable.
type unreachable struct{ err error }

func (u *unreachable) Error() string   { return u.err.Error() }
func (u *unreachable) Unwrap() []error { return []error{u.err, ErrUnreachable} }

// QuietRedis lets a log have what the Redis clients of this process say by themselves.
func QuietRedis(log *slog.Logger) { redis.SetLogger(driverLog{log}) }

// driverLog takes what the Redis client says by itself: each attempt to connect of each connection, which nobody wants to read
// besides the error that they lead to.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis client: "+fmt.Sprintf(format, args...))
}
