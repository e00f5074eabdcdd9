package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxConcurrency is the most steps that one worker may run at once. More is a typing error or a second worker.
const MaxConcurrency = 10_000

var labelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// Check returns all that cannot be right in c as an *Error, nil when nothing is wrong. Load has called it already; it is
// for those who change a Config afterwards. It opens no connection.
func (c *Config) Check() error { return asError(c.problems()) }

// checker collects problems by key.
type checker struct{ problems []Problem }

func (k *checker) add(key, hint, format string, args ...any) {
	k.problems = append(k.problems, Problem{Key: key, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (k *checker) positive(key string, d time.Duration) {
	if d <= 0 {
		k.add(key, "", "want more than 0, got %s", d)
	}
}

func (k *checker) oneOf(key, value string, words ...string) {
	if slices.Contains(words, value) {
		return
	}
	hint := ""
	if meant := nearest(value, words); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	k.add(key, hint, "want %s, got %q", strings.Join(words, ", "), value)
}

func (c *Config) problems() []Problem {
	var k checker
	if c.Data == "" {
		k.add("data", "name a folder", "is empty")
	}
	if !c.Redis.URL.IsZero() {
		if _, err := redis.ParseURL(c.Redis.URL.Reveal()); err != nil {
			// The error's own text may quote the URL.
			k.add("redis.url", "write redis://USER@HOST:6379/0, rediss:// for TLS, or unix:///PATH", "%s is no address of a Redis", c.Redis.URL)
		}
	} else if !c.Redis.Password.IsZero() {
		k.add("redis.password", "set redis.url too", "has no redis.url to go with")
	}
	k.oneOf("redis.mode", c.Redis.Mode, "auto", "server", "inprocess")
	k.oneOf("redis.fsync", c.Redis.Fsync, "everysec", "always")
	if n := c.Worker.Concurrency; n < 1 || n > MaxConcurrency {
		k.add("worker.concurrency", "", "want 1 to %d, got %d", MaxConcurrency, n)
	}
	for _, l := range c.Worker.Labels {
		if name, _, found := strings.Cut(l, "="); !found || !labelName.MatchString(name) {
			k.add("worker.labels", "", "want NAME=VALUE, got %q", l)
		}
	}
	k.positive("worker.drain_timeout", c.Worker.DrainTimeout)
	k.positive("worker.heartbeat", c.Worker.Heartbeat)
	k.positive("scheduler.sweep", c.Scheduler.Sweep)
	k.positive("scheduler.lost_after", c.Scheduler.LostAfter)
	if c.Worker.Heartbeat > 0 && c.Scheduler.LostAfter > 0 && c.Scheduler.LostAfter < 2*c.Worker.Heartbeat {
		k.add("scheduler.lost_after", "raise it, or lower worker.heartbeat",
			"%s is less than twice the heartbeat of %s: one that is late would cost a worker its steps", c.Scheduler.LostAfter, c.Worker.Heartbeat)
	}
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		k.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	}
	k.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	c.Connections.check(&k)
	return k.problems
}

func (c Connections) check(k *checker) {
	for _, conn := range c {
		conn.check(k)
	}
}

func (c Connection) check(k *checker) {
	key, scheme := connectionKey(c.Name, "url"), c.URL.Scheme()
	form, known := connectionSchemes[scheme]
	switch {
	case c.URL.IsZero():
		k.add(key, "write one of "+schemeList(), "is missing")
	case slices.Contains(laterSchemes, scheme):
		k.add(key, "write one of "+schemeList(), "the scheme %q is not yet supported", scheme)
	case !known:
		k.add(key, "write one of "+schemeList(), "no connection is made by the scheme %q", scheme)
	case postgresSchemes[scheme]:
		u, err := url.Parse(c.URL.Reveal())
		if err != nil || u.Opaque != "" || u.Host == "" && u.RawQuery == "" {
			// The error's own text may quote the URL.
			k.add(key, "write "+form, "%s is no address", c.URL)
		} else if c.Schema != "" && hasSearchPath(u.Query()) {
			k.add(connectionKey(c.Name, "schema"), "leave one of them away", "the url has a search_path already")
		}
	default: // a file
		if len(c.URL.Reveal()) == len(scheme)+1 {
			k.add(key, "write "+form, "names no path")
		}
		if !c.Password.IsZero() {
			k.add(connectionKey(c.Name, "password"), "remove it", "a path has no password")
		}
		if c.Schema != "" {
			k.add(connectionKey(c.Name, "schema"), "remove it", "only PostgreSQL has schemas")
		}
	}
}
