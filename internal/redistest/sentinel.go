package redistest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/localredis/redisproc"
)

// MasterName is what the sentinels call the Redis that they watch.
const MasterName = "main"

// quorum is how many of the three sentinels have to miss a master before they look for another.
const quorum = 2

// SentinelServer is a Redis of one test with a replica, and three sentinels that put the one in the place of the other. A
// master that does not answer for half a second is given up.
type SentinelServer struct {
	// Data are the two servers; which of them is the master may change. They can be killed and started again.
	Data      [2]*Server
	t         testing.TB
	sentinels []*Server
	asked     []*redis.SentinelClient // the same, as clients
	client    *redis.Client
}

// NewSentinel starts the servers, waits until the replica follows and the sentinels know each other, which takes some
// seconds, and ends all with the test.
func NewSentinel(t testing.TB) *SentinelServer {
	t.Helper()
	s := &SentinelServer{t: t}
	s.Data[0] = New(t, TCP())
	_, masterPort, _ := net.SplitHostPort(s.Data[0].Addr())
	s.Data[1] = New(t, TCP(), Lines("replicaof 127.0.0.1 "+masterPort, "repl-diskless-sync-delay 0"))
	for range 3 {
		s.sentinels = append(s.sentinels, New(t, TCP(), func(c *redisproc.Config) { c.Sentinel = true }, Lines(
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s %d", MasterName, masterPort, quorum),
			"sentinel down-after-milliseconds "+MasterName+" 500",
			"sentinel failover-timeout "+MasterName+" 5000",
		)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	await(t, ctx, "the replica does not follow", func() (string, bool) {
		info, err := s.Data[1].Client().Info(ctx, "replication").Result()
		return fmt.Sprint(info, err), strings.Contains(info, "master_link_status:up")
	})
	for _, one := range s.sentinels {
		client := redis.NewSentinelClient(one.Options())
		t.Cleanup(func() { _ = client.Close() })
		s.asked = append(s.asked, client)
		await(t, ctx, "the sentinels do not know each other", func() (string, bool) {
			m, err := client.Master(ctx, MasterName).Result()
			return fmt.Sprint(m, err), m["num-other-sentinels"] == "2" && m["num-slaves"] == "1"
		})
	}
	t.Cleanup(func() {
		if s.client != nil {
			_ = s.client.Close()
		}
	})
	return s
}

// Client returns a client that follows the master: the same at each call, closed with the test.
func (s *SentinelServer) Client() *redis.Client {
	if s.client == nil {
		s.client = redis.NewFailoverClient(s.Options())
	}
	return s.client
}

// Options returns how to reach whoever is the master; a fresh value at each call.
func (s *SentinelServer) Options() *redis.FailoverOptions {
	o := &redis.FailoverOptions{MasterName: MasterName}
	for _, one := range s.sentinels {
		o.SentinelAddrs = append(o.SentinelAddrs, one.Addr())
	}
	return o
}

// URL returns how to reach it in the form that redis.url has in the configuration.
func (s *SentinelServer) URL() string {
	return urlOf(s.Options().SentinelAddrs, "master_name="+MasterName)
}

// Master returns the server that all sentinels take for the master; nil while they do not agree.
func (s *SentinelServer) Master(ctx context.Context) *Server {
	var master *Server
	for _, one := range s.asked {
		addr, err := one.GetMasterAddrByName(ctx, MasterName).Result()
		if err != nil || len(addr) != 2 {
			return nil
		}
		for _, d := range s.Data {
			if d.Addr() == net.JoinHostPort(addr[0], addr[1]) && (master == nil || master == d) {
				master = d
			}
		}
		if master == nil || master.Addr() != net.JoinHostPort(addr[0], addr[1]) {
			return nil
		}
	}
	return master
}

// KillMaster ends the master with SIGKILL, and returns when the other is in its place: what the master had not yet passed on is
// lost.
func (s *SentinelServer) KillMaster() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	old := s.master(ctx)
	old.Kill()
	s.replaced(ctx, old)
}

// Failover puts the other server in the place of the master, in order, and returns when it is there.
func (s *SentinelServer) Failover() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	old := s.master(ctx)
	await(s.t, ctx, "the sentinels do not change the master", func() (string, bool) {
		err := s.asked[0].Failover(ctx, MasterName).Err() // they refuse one that comes too soon
		return fmt.Sprint(err), err == nil
	})
	s.replaced(ctx, old)
}

func (s *SentinelServer) master(ctx context.Context) *Server {
	s.t.Helper()
	var m *Server
	await(s.t, ctx, "the sentinels do not agree on a master", func() (string, bool) {
		m = s.Master(ctx)
		return "", m != nil
	})
	return m
}

func (s *SentinelServer) replaced(ctx context.Context, old *Server) {
	s.t.Helper()
	await(s.t, ctx, "no other server became the master", func() (string, bool) {
		m := s.Master(ctx)
		if m == nil || m == old {
			return "", false
		}
		role, err := m.Client().Do(ctx, "ROLE").Slice()
		return fmt.Sprint(role, err), err == nil && role[0] == "master"
	})
}
