package redistest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/localredis/redisproc"
)

// slots is how many hash slots the masters of a cluster share.
const slots = 16384

// busOffset is how far above its port a node of a cluster listens for the others.
const busOffset = 10_000

// ClusterServer is a Redis Cluster of one test, of masters only.
type ClusterServer struct {
	// Nodes are its masters, in the order of their slots. They can be killed and started again.
	Nodes  []*Server
	t      testing.TB
	client *redis.ClusterClient
}

// NewCluster starts a cluster of so many masters, waits until each of them says that it is complete, and ends it with the
// test.
func NewCluster(t testing.TB, masters int) *ClusterServer {
	t.Helper()
	c := &ClusterServer{t: t}
	for range masters {
		node := Lines("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")
		c.Nodes = append(c.Nodes, New(t, TCP(), node, port(clusterPort(t))))
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for i, n := range c.Nodes {
		err := n.Client().ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err()
		if err == nil {
			err = n.Client().Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err() // else they would have to find it out
		}
		if err == nil && i > 0 {
			host, port, _ := net.SplitHostPort(c.Nodes[0].Addr())
			err = n.Client().ClusterMeet(ctx, host, port).Err()
		}
		if err != nil {
			t.Fatalf("join node %d to the cluster: %v", i, err)
		}
	}
	for _, n := range c.Nodes {
		await(t, ctx, "the cluster is not complete", func() (string, bool) {
			info, err := n.Client().ClusterInfo(ctx).Result()
			return fmt.Sprint(info, err), strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", masters))
		})
	}
	t.Cleanup(func() {
		if c.client != nil {
			_ = c.client.Close()
		}
	})
	return c
}

// Client returns the cluster's client: the same at each call, closed with the test.
func (c *ClusterServer) Client() *redis.ClusterClient {
	if c.client == nil {
		c.client = redis.NewClusterClient(c.Options())
	}
	return c.client
}

// Options returns how to reach the cluster; a fresh value at each call.
func (c *ClusterServer) Options() *redis.ClusterOptions {
	o := &redis.ClusterOptions{}
	for _, n := range c.Nodes {
		o.Addrs = append(o.Addrs, n.Addr())
	}
	return o
}

// URL returns how to reach the cluster in the form that redis.url has in the configuration.
func (c *ClusterServer) URL() string { return urlOf(c.Options().Addrs, "") }

// urlOf writes the first address as the host, and the others into the query.
func urlOf(addrs []string, query string) string {
	u := "redis://" + addrs[0] + "?" + query
	for _, a := range addrs[1:] {
		u += "&addr=" + a
	}
	return strings.TrimSuffix(strings.Replace(u, "?&", "?", 1), "?")
}

// Lines adds to the configuration of a server, in the words of redis.conf; a later line counts.
func Lines(list ...string) Option {
	return func(c *redisproc.Config) { c.Lines = append(slices.Clone(c.Lines), list...) }
}

func port(n int) Option { return func(c *redisproc.Config) { c.Port = n } }

// clusterPort finds a free port whose counterpart for the cluster's own connections is free too.
func clusterPort(t testing.TB) int {
	t.Helper()
	for range 100 {
		p := freePort(t)
		if p+busOffset > 65535 {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p+busOffset)))
		if err == nil {
			l.Close()
			return p
		}
	}
	t.Fatal("no free pair of ports for a node of a cluster")
	return 0
}

// await repeats a check until it holds, and fails the test with what the check saw last when ctx ends before.
func await(t testing.TB, ctx context.Context, what string, check func() (saw string, ok bool)) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		saw, ok := check()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s in time: %s", what, saw)
		}
	}
}
