package sqldb

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// redisSchemes are those of a Redis, which keeps the ids of plans with ids: and is no database that rows go to.
var redisSchemes = []string{"redis", "rediss", "unix"}

// parseRedis reads the URL of a Redis in the form that redis.url of the configuration has.
func parseRedis(scheme, s string) (Location, error) {
	const form = "write redis://USER@HOST:6379/0, rediss:// for TLS, or unix:///PATH"
	u, err := url.Parse(s)
	if err != nil { // its text may quote the URL
		return Location{}, tasks.WithHint(nil, form, "the URL of the Redis cannot be read")
	}
	at := Location{Dialect: Redis, scheme: scheme, dsn: s, redacted: redactURL(u)}
	if scheme == "unix" {
		if u.Path == "" {
			return Location{}, tasks.WithHint(nil, form, "the URL of the Redis names no socket")
		}
		at.identity = "redis\n" + u.Path + "\n" + u.Query().Get("db")
		return at, nil
	}
	db := strings.Trim(u.Path, "/")
	if n, err := strconv.Atoi(db); db != "" && (err != nil || n < 0) {
		return Location{}, tasks.WithHint(nil, form, "the URL of the Redis names a database that is no number")
	}
	if u.Hostname() == "" {
		return Location{}, tasks.WithHint(nil, form, "the URL of the Redis names no host")
	}
	hosts := []string{}
	for _, host := range append([]string{u.Host}, u.Query()["addr"]...) {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "6379")
		}
		hosts = append(hosts, strings.ToLower(host))
	}
	slices.Sort(hosts)
	if db == "" {
		db = "0"
	}
	at.identity = "redis\n" + strings.Join(hosts, ",") + "\n" + db + "\n" + u.Query().Get("master_name")
	return at, nil
}

// Redis returns the URL of a Redis with its password, for its driver alone; "" for everything else.
func (l Location) Redis() string {
	if l.Dialect != Redis {
		return ""
	}
	return l.dsn
}
