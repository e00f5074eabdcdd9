package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks"
)

// counting counts the commands that go to Redis.
type counting struct{ n atomic.Int64 }

func (c *counting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// strangersOf are requests that must not be told apart.
func (h *house) strangersOf() map[string]string {
	good := h.token(wire.NewToken{Role: "admin"})
	i := len(good) - len(strings.SplitN(good, "_", 3)[2]) - 1
	return map[string]string{
		"no token": "", "no such token": "Bearer stint_0123456789ab" + good[i:], "a wrong secret": "Bearer " + good[:i+1] + strings.Repeat("A", len(good)-i-1),
		"an expired one": "Bearer " + h.expired(), "no token at all": "Bearer x", "another scheme": "Basic " + good[i+1:],
	}
}

func TestWhateverIsWrongWithATokenTheSameIsDoneAndSaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := &counting{}
	h.rdb.AddHook(c)
	all := h.strangersOf()
	s := h.serve()
	for _, request := range []struct {
		method, path string
		calls        int64 // the trail of what was refused
	}{{"GET", "/v1/about", 0}, {"POST", "/v1/jobs/x/pause", 1}} {
		var said string
		for _, what := range keysOf(all) {
			h.send("GET", s.at("/v1/about"), nil) // the tokens are read now
			before := c.n.Load()
			got := h.send(request.method, s.at(request.path), nil, "Authorization", all[what], "X-Request-ID", "same")
			after := c.n.Load()
			// The tokens may have been read again, for everybody, when a second had passed in between.
			if n := after - before; n != request.calls && n != request.calls+1 {
				t.Errorf("%s with %s: %d calls of Redis, want %d", request.path, what, n, request.calls)
			}
			text := fmt.Sprint(got.status, got.header.Get("WWW-Authenticate"), string(got.body))
			if said == "" {
				said = text
			}
			if text != said || got.status != 401 {
				t.Errorf("%s with %s: %s, others are told %s", request.path, what, text, said)
			}
		}
		h.apis[0].strangers.forget()
	}
}

func keysOf[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// BenchmarkStrangers prints how long the check of a token takes by what is wrong with it: the medians should be as good as equal.
// Compare them with the duration of one sum of a secret, which all of them contain.
func BenchmarkStrangers(b *testing.B) {
	good, made := MakeToken(wire.NewToken{Name: "x", Role: "admin"}, "test", time.Now())
	over := time.Now().Add(-time.Hour)
	old, madeOld := MakeToken(wire.NewToken{Name: "y", Role: "admin", ExpiresAt: &over}, "test", time.Now())
	tokens := tokensOf(good, old)
	i := len(made.Secret) - len(strings.SplitN(made.Secret, "_", 3)[2]) - 1
	cases := map[string]string{"known and right": made.Secret, "known and wrong": made.Secret[:i+1] + strings.Repeat("A", len(made.Secret)-i-1),
		"expired": madeOld.Secret, "unknown": "stint_0123456789ab" + made.Secret[i:]}
	for _, name := range keysOf(cases) {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				for range 100 {
					match(tokens, cases[name], start)
				}
				took = append(took, time.Since(start)/100)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "ns-median")
		})
	}
	b.Run("one sum", func(b *testing.B) {
		for b.Loop() {
			sha256.Sum256([]byte(made.Secret))
		}
	})
}

func TestWithoutTokensLoopbackIsOpenToThisMachineAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	about := as[wire.About](t, h.send("GET", s.at("/v1/about"), nil))
	if about.Role != "admin" || about.Name != "loopback" || about.Version != "1.2.3" || about.Protocol != tasks.Protocol {
		t.Errorf("about: %+v", about)
	}
	for _, host := range []string{"localhost:1234", "LOCALHOST", "127.0.0.1", "127.9.9.9:80", "[::1]:80", "[::1]"} {
		if got := h.send("GET", s.at("/v1/about"), nil, "Host", host); got.status != 200 {
			t.Errorf("host %s: %s", host, got)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "0.0.0.0:80", "localhost:80:80"} {
		if got := h.send("GET", s.at("/v1/about"), nil, "Host", host); got.status != 403 {
			t.Errorf("a page that made its name %s lead here is let in: %s", host, got)
		} else if got.problem(t).Hint == "" {
			t.Errorf("no hint: %s", got)
		}
	}
	for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
		if got := h.send("GET", s.at("/v1/about"), nil, header, "203.0.113.9"); got.status != 403 || got.problem(t).Hint == "" {
			t.Errorf("what a proxy passed on with %s is let in: %s", header, got)
		}
	}
}

func TestAPageOfAnotherSiteCannotSendAnything(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		if got := h.send("POST", s.at("/v1/jobs/job-1/cancel"), nil, headers...); got.status != 403 {
			t.Errorf("%v: %s", headers, got)
		} else if got.problem(t).Hint == "" {
			t.Errorf("no hint: %s", got)
		}
	}
	if v, err := h.st.View(t.Context(), "job-1"); err != nil || v.State.Ended() {
		t.Errorf("the job: %+v %v", v, err)
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", s.at("")}, nil} {
		if got := h.send("POST", s.at("/v1/jobs/job-1/pause"), nil, headers...); got.status != 200 && got.status != 409 {
			t.Errorf("%v is of this server: %s", headers, got)
		}
	}
}

func TestBeyondLoopbackNothingListensWithoutAToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := h.api()
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		s, err := a.Start(t.Context(), ServerOptions{Listen: listen})
		if err == nil {
			_ = s.Stop(t.Context())
			t.Fatalf("%s listens without a token", listen)
		}
		if hint := tasks.HintOf(err); !strings.Contains(hint, "stint tokens create") || !strings.Contains(hint, "127.0.0.1") {
			t.Errorf("%s: the hint is %q", listen, hint)
		}
	}
	admin := bearer(h.token(wire.NewToken{Role: "admin"}))
	// A server as beyond loopback; a test opens no port there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.serve(t.Context(), l, false, ServerOptions{MaxConnections: 10, ReadTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	at := s.at
	if got := h.send("GET", at("/v1/about"), nil); got.status != 401 {
		t.Errorf("without a token: %s", got)
	}
	tokens := as[wire.Tokens](t, h.send("GET", at("/v1/tokens"), nil, admin...))
	if got := h.send("DELETE", at("/v1/tokens/"+tokens.Tokens[0].ID), nil, admin...); got.status != 204 {
		t.Fatalf("revoke the last: %s", got)
	}
	for range 3 {
		if got := h.send("GET", at("/v1/about"), nil); got.status != 401 {
			t.Errorf("the last token was revoked, and everybody is let in: %s", got)
		}
		a.tokens.forget()
	}
}

func TestFromTheFirstTokenOnLoopbackNeedsOneAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	h.job("job-1", "")
	made := h.send("POST", s.at("/v1/tokens"), wire.NewToken{Name: "first", Role: "admin"})
	if made.status != 201 {
		t.Fatalf("make: %s", made)
	}
	if got := h.send("GET", s.at("/v1/about"), nil); got.status != 401 {
		t.Errorf("without the token: %s", got)
	}
	secret := as[wire.MadeToken](t, made).Secret
	for _, scheme := range []string{"Bearer ", "bearer "} {
		if got := h.send("GET", s.at("/v1/about"), nil, "Authorization", scheme+secret); got.status != 200 {
			t.Errorf("with it: %s", got)
		}
	}
	if got := h.send("GET", s.at("/v1/about"), nil, "Authorization", secret); got.status != 401 {
		t.Errorf("without a scheme: %s", got)
	}
}

func TestMetricsAreForThoseWhoMaySeeAllTenants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one, all := h.token(wire.NewToken{Role: "viewer", Tenants: []string{"acme"}}), h.token(wire.NewToken{Role: "viewer"})
	s := h.serve(func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("m 1\n")) })
	})
	for secret, want := range map[string]int{"": 401, one: 403, all: 200} {
		got := h.send("GET", s.at("/metrics"), nil, bearer(secret)...)
		if got.status != want || want == 401 && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("want %d: %s", want, got)
		}
	}
}

func TestATokenHasItsShareOfRequestsAndStrangersHaveLittle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	busy, calm := h.token(wire.NewToken{Role: "viewer", Name: "busy"}), h.token(wire.NewToken{Role: "viewer", Name: "calm"})
	s := h.serve(func(o *Options) { o.RequestsPerSecond = 5 })
	for who, secret := range map[string]string{"busy": busy, "a stranger": "stint_0123456789ab_A"} {
		var last answered
		n := 0
		for start := time.Now(); last.status != 429 && time.Since(start) < enginetest.Patience; n++ {
			last = h.send("POST", s.at("/v1/jobs/x/pause"), nil, bearer(secret)...)
		}
		if last.header.Get("Retry-After") != "1" || last.problem(t).Code != wire.CodeLimited || last.problem(t).Hint == "" {
			t.Errorf("%s: %s", who, last)
		}
		if n < 10 {
			t.Errorf("%s was stopped after %d requests", who, n)
		}
	}
	if got := h.send("GET", s.at("/v1/about"), nil, bearer(calm)...); got.status != 200 {
		t.Errorf("another token suffers: %s", got)
	}
	trail, _, err := h.st.AuditTrail(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range trail {
		if e.Status == 429 {
			t.Errorf("who asks too often fills the trail: %+v", e)
		}
	}
}
