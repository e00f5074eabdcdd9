package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Topologies of Redis.
const (
	Single   = "single"
	Cluster  = "cluster"
	Sentinel = "sentinel"
)

var topologies = []string{Single, Cluster, Sentinel}

// Redis says where the queue is.
type Redis struct {
	// Topology is single, cluster or sentinel; it says how URL is read.
	Topology string `key:"topology" jsonschema:"enum=single,enum=cluster,enum=sentinel"`
	// URL is redis://, rediss:// or (single only) unix://; "" means the embedded queue in Data.
	URL URL `key:"url"`
	// Username goes with URL; "" means the one in the URL.
	Username string `key:"username"`
	// Password goes with URL, for those who keep it apart from the URL. "" means the one in the URL.
	Password Secret `key:"password"`
	// SentinelPassword is what the sentinels want; "" means nothing. Username and Password are for the Redis behind them.
	SentinelPassword Secret `key:"sentinel_password"`
	// CA is the path of the certificates (PEM) that the server's is checked against; "" means those of the system.
	CA string `key:"ca"`
	// Cert is the path of the certificate (PEM) that this process shows; "" means none. It goes with Key.
	Cert string `key:"cert"`
	// Key is the path of the key (PEM) of Cert.
	Key string `key:"key"`
	// ServerName is the name that the server's certificate has to be for; "" means the host of URL.
	ServerName string `key:"server_name"`
	// Pool is the most connections that one process keeps to each server; 0 means as many as it needs.
	Pool int `key:"pool"`
	// Mode of the embedded queue: auto, server or inprocess. Ignored with a URL.
	Mode string `key:"mode" jsonschema:"enum=auto,enum=server,enum=inprocess"`
	// Fsync of the embedded queue: everysec or always. Ignored with a URL.
	Fsync string `key:"fsync" jsonschema:"enum=everysec,enum=always"`
}

// RedisTarget says how to reach a Redis with go-redis. Exactly one of its fields is set.
type RedisTarget struct {
	Single   *redis.Options
	Cluster  *redis.ClusterOptions
	Sentinel *redis.FailoverOptions
}

// String returns the addresses to begin with, for messages.
func (t *RedisTarget) String() string {
	switch {
	case t.Single != nil:
		return t.Single.Addr
	case t.Cluster != nil:
		return strings.Join(t.Cluster.Addrs, ", ")
	}
	return fmt.Sprintf("%s of the sentinels %s", t.Sentinel.MasterName, strings.Join(t.Sentinel.SentinelAddrs, ", "))
}

// Target returns how to reach the Redis of URL; nil without a URL. It reads the files of the certificates. The error is an
// *Error and has no secret in it.
func (r Redis) Target() (*RedisTarget, error) {
	if r.URL.IsZero() {
		return nil, nil
	}
	t, problems := r.parse()
	if t != nil {
		problems = append(problems, r.secure(t)...)
	}
	if err := asError(problems); err != nil {
		return nil, err
	}
	return t, nil
}

// redisForms are how a URL is written, by topology.
var redisForms = map[string]string{
	Single:   "write redis://USER@HOST:6379/0, rediss:// for TLS, or unix:///PATH",
	Cluster:  "write redis://USER@HOST1:6379?addr=HOST2:6379&addr=HOST3:6379, or rediss:// for TLS",
	Sentinel: "write redis://USER@SENTINEL1:26379/0?master_name=NAME&addr=SENTINEL2:26379, or rediss:// for TLS",
}

// parse reads URL by the topology. User and password of the URL are those of the Redis, and never the sentinels': so the
// same URL serves when a single Redis becomes one with sentinels.
func (r Redis) parse() (*RedisTarget, []Problem) {
	problem := func(hint, format string, args ...any) []Problem {
		return []Problem{{Key: "redis.url", Message: fmt.Sprintf(format, args...), Hint: hint}}
	}
	form := redisForms[r.Topology]
	u, err := url.Parse(r.URL.Reveal())
	if err != nil {
		return nil, problem(form, "%s is no address of a Redis", r.URL) // the error's own text may quote the URL
	}
	for _, host := range append([]string{u.Host}, u.Query()["addr"]...) {
		if _, port, err := net.SplitHostPort(host); err == nil && !isPort(port) {
			return nil, problem("want 1 to 65535", "%q is no port", port)
		}
	}
	if r.Topology == Sentinel {
		for _, name := range []string{"username", "password"} {
			if u.Query().Has(name) {
				return nil, problem("set redis."+name+" instead", "has a %s in its query", name)
			}
		}
	}
	t := &RedisTarget{}
	switch r.Topology {
	case Cluster:
		if t.Cluster, err = redis.ParseClusterURL(r.URL.Reveal()); err == nil {
			r.identify(&t.Cluster.Username, &t.Cluster.Password)
		}
	case Sentinel:
		if t.Sentinel, err = redis.ParseFailoverURL(r.URL.Reveal()); err == nil {
			t.Sentinel.Username, t.Sentinel.Password = t.Sentinel.SentinelUsername, t.Sentinel.SentinelPassword
			t.Sentinel.SentinelUsername, t.Sentinel.SentinelPassword = "", r.SentinelPassword.Reveal()
			r.identify(&t.Sentinel.Username, &t.Sentinel.Password)
			if t.Sentinel.MasterName == "" {
				return nil, problem(form, "says no master_name")
			}
		}
	case Single:
		if t.Single, err = redis.ParseURL(r.URL.Reveal()); err == nil {
			r.identify(&t.Single.Username, &t.Single.Password)
		}
	default:
		return nil, []Problem{{Key: "redis.topology", Message: fmt.Sprintf("%q is none", r.Topology), Hint: "write single, cluster or sentinel"}}
	}
	if err != nil {
		return nil, problem(form, "%s is no address of a Redis", r.URL)
	}
	return t, nil
}

// identify lays Username and Password over those of the URL.
func (r Redis) identify(username, password *string) {
	if r.Username != "" {
		*username = r.Username
	}
	if !r.Password.IsZero() {
		*password = r.Password.Reveal()
	}
}

// secure puts the certificates in.
func (r Redis) secure(t *RedisTarget) []Problem {
	var problems []Problem
	problem := func(key, hint, format string, args ...any) {
		problems = append(problems, Problem{Key: "redis." + key, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	var c *tls.Config
	switch {
	case t.Single != nil:
		c = t.Single.TLSConfig
	case t.Cluster != nil:
		c = t.Cluster.TLSConfig
	default:
		c = t.Sentinel.TLSConfig
	}
	if c == nil {
		for _, p := range []struct{ key, value string }{{"ca", r.CA}, {"cert", r.Cert}, {"key", r.Key}, {"server_name", r.ServerName}} {
			if p.value != "" {
				problem(p.key, "write rediss:// in redis.url, or remove it", "is for TLS, and redis.url is without")
			}
		}
		return problems
	}
	c.MinVersion = tls.VersionTLS12
	if r.ServerName != "" {
		c.ServerName = r.ServerName
	} else if t.Single == nil {
		c.ServerName = "" // there are several hosts: each certificate has to be for the one that was called
	}
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		pool := x509.NewCertPool()
		if err != nil {
			problem("ca", "give the right path", "cannot be read: %v", errors.Unwrap(err))
		} else if c.RootCAs = pool; !pool.AppendCertsFromPEM(pem) {
			problem("ca", "name a file in PEM form", "%s has no certificate in it", r.CA)
		}
	}
	switch {
	case r.Cert != "" && r.Key != "":
		pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
		if err != nil {
			problem("cert", "certificate and key are files in PEM form and belong together", "cannot be used: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	case r.Cert != "":
		problem("cert", "set redis.key too", "has no redis.key to go with")
	case r.Key != "":
		problem("key", "set redis.cert too", "has no redis.cert to go with")
	}
	return problems
}

func (r Redis) check(k *checker) {
	k.oneOf("redis.topology", r.Topology, topologies...)
	if r.URL.IsZero() {
		for _, p := range []struct {
			key string
			set bool
		}{
			{"username", r.Username != ""}, {"password", !r.Password.IsZero()}, {"sentinel_password", !r.SentinelPassword.IsZero()},
			{"ca", r.CA != ""}, {"cert", r.Cert != ""}, {"key", r.Key != ""}, {"server_name", r.ServerName != ""},
			{"topology", slices.Contains([]string{Cluster, Sentinel}, r.Topology)},
		} {
			if p.set {
				k.add("redis."+p.key, "set redis.url too", "has no redis.url to go with")
			}
		}
	} else if _, err := r.Target(); err != nil && slices.Contains(topologies, r.Topology) { // else it has been told
		k.problems = append(k.problems, err.(*Error).Problems...)
	}
	if !r.SentinelPassword.IsZero() && !r.URL.IsZero() && r.Topology != Sentinel {
		k.add("redis.sentinel_password", "set redis.topology: sentinel, or remove it", "there are no sentinels")
	}
	k.notNegative("redis.pool", r.Pool, "0 is as many as the process needs")
	k.oneOf("redis.mode", r.Mode, "auto", "server", "inprocess")
	k.oneOf("redis.fsync", r.Fsync, "everysec", "always")
}

// isPort reports whether a text is a port that can be called.
func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= 65535
}
