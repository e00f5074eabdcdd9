package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxConcurrency is the most steps that one worker may run at once. More is a typing error or a second worker.
const MaxConcurrency = 10_000

var (
	labelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	queueName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
)

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
		k.add(key, "write a duration such as 500ms, 30s or 5m", "want more than 0, got %s", d)
	}
}

func (k *checker) oneOf(key, value string, words ...string) {
	if slices.Contains(words, value) {
		return
	}
	hint := "write one of them"
	if meant := nearest(value, words); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	k.add(key, hint, "want %s, got %q", strings.Join(words, ", "), value)
}

func (k *checker) notNegative(key string, n int, hint string) {
	if n < 0 {
		k.add(key, hint, "want 0 or more, got %d", n)
	}
}

func (k *checker) within(key string, n, least, most int) {
	if n < least || n > most {
		k.add(key, "write a number between them", "want %d to %d, got %d", least, most, n)
	}
}

// listen checks an address that this machine listens on: port 0 takes a free one, no host is every address.
func (k *checker) listen(key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		k.add(key, "write HOST:PORT, such as 127.0.0.1:7800", "%q is no address to listen on", address)
	} else if port != "0" && !isPort(port) {
		k.add(key, "want 0 (a free one) to 65535", "%q is no port", port)
	}
}

// web checks the address of a server that speaks HTTP.
func (k *checker) web(key string, address URL, form string) {
	if address.IsZero() {
		return
	}
	u, err := url.Parse(address.Reveal())
	switch {
	case !strings.Contains(address.Reveal(), "://"):
		k.add(key, "write "+form, "the address of a server begins with http:// or https://")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		// The error's own text may quote the address.
		k.add(key, "write "+form, "%s is no address of a server", address)
	case u.Port() != "" && !isPort(u.Port()):
		k.add(key, "want 1 to 65535", "%q is no port", u.Port())
	}
}

func (k *checker) queue(key, name string) {
	if !queueName.MatchString(name) {
		k.add(key, "begin with a-z, go on with a-z, digits, _ and -, at most 40", "%q is no name for a queue", name)
	}
}

func (k *checker) labels(key string, labels []string) {
	for _, l := range labels {
		if name, _, found := strings.Cut(l, "="); !found || !labelName.MatchString(name) {
			k.add(key, "write it as zone=a", "want NAME=VALUE, got %q", l)
		}
	}
}

func (c *Config) problems() []Problem {
	var k checker
	k.web("server", c.Server, "http://HOST:PORT or https://HOST:PORT")
	if c.Data == "" {
		k.add("data", "name a folder", "is empty")
	}
	c.Redis.check(&k)
	c.Worker.check(&k)
	k.positive("scheduler.sweep", c.Scheduler.Sweep)
	k.positive("scheduler.lost_after", c.Scheduler.LostAfter)
	if c.Worker.Heartbeat > 0 && c.Scheduler.LostAfter > 0 && c.Scheduler.LostAfter < 2*c.Worker.Heartbeat {
		k.add("scheduler.lost_after", "raise it, or lower worker.heartbeat",
			"%s is less than twice the heartbeat of %s: one that is late would cost a worker its steps", c.Scheduler.LostAfter, c.Worker.Heartbeat)
	}
	c.API.check(&k)
	c.Limits.check(&k, "limits.")
	c.Artifacts.check(&k)
	c.Dedupe.check(&k)
	c.Alerts.check(&k, c.Connections)
	c.Builds.check(&k)
	c.Telemetry.check(&k)
	var level slog.Level
	if level.UnmarshalText([]byte(c.Log.Level)) != nil {
		k.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	}
	k.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	for _, conn := range c.Connections {
		conn.check(&k)
	}
	for _, t := range c.Tenants {
		t.check(&k, itemKey("tenants", t.Name, ""))
	}
	for _, s := range c.Schedules {
		s.check(&k)
	}
	for _, w := range c.Webhooks {
		w.check(&k)
	}
	return k.problems
}

func (w Worker) check(k *checker) {
	k.within("worker.concurrency", w.Concurrency, 1, MaxConcurrency)
	k.labels("worker.labels", w.Labels)
	k.positive("worker.drain_timeout", w.DrainTimeout)
	k.positive("worker.heartbeat", w.Heartbeat)
	if len(w.Queues) == 0 {
		k.add("worker.queues", "name one, or leave the key away", "is empty: the worker would take nothing")
	}
	for i, name := range w.Queues {
		k.queue("worker.queues", name)
		if slices.Contains(w.Queues[:i], name) {
			k.add("worker.queues", "leave one of them away", "%q is there twice", name)
		}
	}
	if w.Admin != "auto" && w.Admin != "off" {
		k.listen("worker.admin", w.Admin)
	}
}

func (a API) check(k *checker) {
	k.listen("api.listen", a.Listen)
	if a.TLSCert != "" && a.TLSKey == "" {
		k.add("api.tls_cert", "set api.tls_key too", "has no api.tls_key to go with")
	}
	if a.TLSKey != "" && a.TLSCert == "" {
		k.add("api.tls_key", "set api.tls_cert too", "has no api.tls_cert to go with")
	}
	k.within("api.max_body", a.MaxBody, 1<<10, 64<<20)
	k.within("api.max_connections", a.MaxConnections, 1, 1_000_000)
	k.positive("api.read_timeout", a.ReadTimeout)
	k.notNegative("api.requests_per_second", a.RequestsPerSecond, "0 is no limit")
}

func (t Telemetry) check(k *checker) {
	k.web("telemetry.endpoint", t.Endpoint, "http://HOST:4317 for grpc, http://HOST:4318 for http, or https:// for TLS")
	k.oneOf("telemetry.protocol", t.Protocol, "grpc", "http")
	if t.Sample < 0 || t.Sample > 1 {
		k.add("telemetry.sample", "1 traces every job, 0.1 one of ten, 0 none", "want 0 to 1, got %v", t.Sample)
	}
	if t.Service == "" {
		k.add("telemetry.service", "name it, or leave the key away", "is empty")
	}
}
