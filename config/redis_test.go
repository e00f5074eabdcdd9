package config_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestTheUserOfTheURLIsTheRedisOnesInEachTopology(t *testing.T) {
	t.Parallel()
	const query = "addr=h2:6380&addr=h3:6381"
	for _, r := range []config.Redis{
		{Topology: config.Single, URL: config.NewURL("redis://alice:old@h1:6379/3")},
		{Topology: config.Cluster, URL: config.NewURL("redis://alice:old@h1:6379?" + query)},
		{Topology: config.Sentinel, URL: config.NewURL("redis://alice:old@h1:6379/3?master_name=main&" + query), SentinelPassword: config.NewSecret("watch")},
	} {
		for _, over := range []bool{false, true} {
			user, password := "alice", "old"
			if over {
				r.Username, r.Password = "bob", config.NewSecret("new")
				user, password = "bob", "new"
			}
			target, err := r.Target()
			if err != nil {
				t.Fatalf("%s: %v", r.Topology, err)
			}
			var got, want []string
			addrs := []string{"h1:6379", "h2:6380", "h3:6381"}
			switch {
			case target.Single != nil:
				o := target.Single
				got, want = []string{o.Username, o.Password, o.Addr, fmt.Sprint(o.DB)}, []string{user, password, addrs[0], "3"}
			case target.Cluster != nil:
				o := target.Cluster
				got, want = append([]string{o.Username, o.Password}, o.Addrs...), append([]string{user, password}, addrs...)
			default:
				o := target.Sentinel
				got = append([]string{o.Username, o.Password, o.SentinelUsername, o.SentinelPassword, o.MasterName, fmt.Sprint(o.DB)}, o.SentinelAddrs...)
				want = append([]string{user, password, "", "watch", "main", "3"}, addrs...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", r.Topology, got, want)
			}
		}
	}
}

func TestTLSIsNoOlderThan12AndAClusterIsNotTiedToOneName(t *testing.T) {
	t.Parallel()
	for topology, want := range map[string]string{config.Single: "h1", config.Cluster: "", config.Sentinel: ""} {
		r := config.Redis{Topology: topology, URL: config.NewURL("rediss://h1:6379?master_name=main")}
		if topology != config.Sentinel {
			r.URL = config.NewURL("rediss://h1:6379")
		}
		for _, name := range []string{want, "redis.test"} {
			if name != want {
				r.ServerName = name
			}
			target, err := r.Target()
			if err != nil {
				t.Fatal(err)
			}
			var c *tls.Config
			switch {
			case target.Single != nil:
				c = target.Single.TLSConfig
			case target.Cluster != nil:
				c = target.Cluster.TLSConfig
			default:
				c = target.Sentinel.TLSConfig
			}
			if c == nil || c.ServerName != name || c.MinVersion != tls.VersionTLS12 || c.InsecureSkipVerify {
				t.Errorf("%s: got %+v, want the name %q", topology, c, name)
			}
		}
	}
}

func TestWithoutAURLThereIsNoTarget(t *testing.T) {
	t.Parallel()
	if target, err := (config.Redis{Topology: config.Single}).Target(); target != nil || err != nil {
		t.Errorf("got %v, %v", target, err)
	}
	var e *config.Error
	target, err := (config.Redis{Topology: "ring", URL: config.NewURL("redis://h")}).Target()
	if target != nil || !errors.As(err, &e) {
		t.Errorf("a topology that is none: %v, %v", target, err)
	}
}
