package redistest_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/redistest"
)

func TestAClusterIsCompleteAndItsURLLeadsToIt(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, 3)
	o, err := redis.ParseClusterURL(c.URL())
	if err != nil || len(o.Addrs) != 3 {
		t.Fatalf("%s: %v, %v", c.URL(), o, err)
	}
	for i := range 100 {
		if err := c.Client().Set(t.Context(), fmt.Sprint("key", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range c.Nodes {
		if size := n.Client().DBSize(t.Context()).Val(); size < 10 {
			t.Errorf("node %d has %d of 100 keys", i, size)
		}
	}
	if err := c.Client().MSet(t.Context(), "a", 1, "b", 2).Err(); err == nil || !strings.Contains(err.Error(), "CROSSSLOT") {
		t.Errorf("keys of two slots in one command: %v", err)
	}
}

func TestAKilledMasterIsReplacedAndTheClientFollows(t *testing.T) {
	t.Parallel()
	s := redistest.NewSentinel(t)
	if o, err := redis.ParseFailoverURL(s.URL()); err != nil || len(o.SentinelAddrs) != 3 || o.MasterName != redistest.MasterName {
		t.Fatalf("%s: %v, %v", s.URL(), o, err)
	}
	if err := s.Client().Set(t.Context(), "a", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Client().Wait(t.Context(), 1, 0).Result(); err != nil || n != 1 {
		t.Fatalf("the replica has not got it: %d, %v", n, err)
	}
	first := s.Master(t.Context())
	s.KillMaster()
	second := s.Master(t.Context())
	if second == nil || second == first {
		t.Fatalf("the master is %v, after %v was killed", second, first)
	}
	if v, err := s.Client().Get(t.Context(), "a").Result(); v != "1" || err != nil {
		t.Errorf("the new master says %q, %v", v, err)
	}
	first.Restart()
	s.Failover()
	if m := s.Master(t.Context()); m != first {
		t.Error("the first is not the master again")
	}
	if err := syscall.Kill(second.Pid(), 0); err != nil {
		t.Errorf("the second is gone: %v", err)
	}
}
