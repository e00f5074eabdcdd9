package elastic_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/tasks"
)

// FuzzAnyAnswerIsWholeOrAnError holds that whatever a server answers, each time, the hits that are given are as many as are said to be
// there, that it is asked for an end, and that it makes nobody wait for ever.
func FuzzAnyAnswerIsWholeOrAnError(f *testing.F) {
	const hit = `{"_index":"logs","_id":"1","_source":{"@timestamp":"2026-03-01T00:00:00Z","n":1e400},"sort":[1,"a"]}`
	for _, seed := range []string{`{"_shards":{"total":1,"failed":0},"hits":{"total":{"value":1,"relation":"eq"},"hits":[` + hit + `]}}`, `{"_shards":{"total":1,"failed":0},"hits":{"total":{"value":2,"relation":"eq"},"hits":[` + hit + `]},"pit_id":"x","id":"x","version":{"number":"8.1.0"}}`,
		`{"_shards":{"failed":1,"failures":[{"index":"a","reason":{"type":"b","reason":"c"}}]}}`, `{"timed_out":true}`, `{"error":{"type":"x","reason":"y","root_cause":[{"type":"a","reason":"b"}]},"status":400}`, `{"error":"x"}`, `{"error":{"reason":"too_many_buckets"}}`, `{"hits":{"total":0,"hits":[]},"_shards":{}}`,
		`{"_shards":{},"hits":{"total":{"value":20000,"relation":"gte"},"hits":[]}}`, `{"_shards":{},"hits":{"total":-1,"hits":null},"count":-1}`, `{"version":{"number":"7.9","distribution":"opensearch"},"pit_id":"\u0000"}`, `<html>`, ``, `[]`, `null`, "\xff\x1b[2J", `{"error":{"type":"\u001b[2J","reason":"\u0000"}}`} {
		for _, status := range []int{200, 400, 429, 503} {
			f.Add(status, "30", seed)
		}
	}
	for _, after := range []string{"", "-1", "99999999999", "9223372036854775807", "Fri, 31 Dec 9999 23:59:59 GMT", "1e3", "Mon, 02 Jan 2006 15:04:05 GMT"} {
		f.Add(429, after, "")
	}
	var answer atomic.Pointer[func(http.ResponseWriter)]
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		(*answer.Load())(w)
	}))
	f.Cleanup(server.Close)
	address, err := elastic.ParseURL(server.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, after, body string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		write := func(w http.ResponseWriter) {
			w.Header()["Retry-After"] = []string{strings.Map(func(r rune) rune {
				if r < ' ' {
					return -1
				}
				return r
			}, after)}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
		answer.Store(&write)
		asked.Store(0)
		c, err := elastic.New(address, elastic.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		n := 0
		a, err := c.Pages(ctx, everything, func(hits []elastic.Hit) error {
			n += len(hits)
			return nil
		})
		if err == nil && int64(n) != a.Total {
			t.Errorf("%d hits of %d, and no error", n, a.Total)
		}
		if asked.Load() > 50 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it was asked %d times: %v", asked.Load(), err)
		}
		check(t, err)
		_, err = c.Aggregate(ctx, elastic.Request{Index: "logs", Aggs: map[string]any{"a": map[string]any{"terms": map[string]any{"field": "x"}, "aggs": map[string]any{"b": map[string]any{"percentiles": map[string]any{"field": "n"}}}}}})
		check(t, err)
		_, err = c.Count(ctx, "logs", nil)
		check(t, err)
		_, err = c.About(ctx)
		check(t, err)
	})
}

// check holds an error to what people and the engine need of it.
func check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if text := err.Error(); len(text) > 5000 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r") {
		t.Errorf("%d bytes of error: %.200q", len(text), text)
	}
	if wait, ok := tasks.RetryAfterOf(err); ok && (wait < 0 || wait > time.Hour) {
		t.Errorf("it is to wait for %s: %v", wait, err)
	}
}

// FuzzAnAddressOfAServerIsReadOrRefusedWithoutItsSecrets holds that an address is hosts that can be asked, or an error with a hint, and
// that neither shows what is secret.
func FuzzAnAddressOfAServerIsReadOrRefusedWithoutItsSecrets(f *testing.F) {
	const secret = "zq7hunter2"
	for _, seed := range []string{"elasticsearch://u:%s@h:9200,h2/p?tls=true&timeout=30s", "opensearch://h?api_key=%s", "https://h/?token=%s", "http://u:%s@[::1]:1,[::2]", "elasticsearch://u:%s@,", "elasticsearch://u:%s@h?timeout=x", "elasticsearch://h?%s=1", "ELASTICSEARCH://u:%s@h#x", "https://u:%s@a@b/%2f", "http://h?insecure=%s"} {
		before, after, _ := strings.Cut(seed, "%s")
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, "ca=") || strings.Contains(before+after, "%") || strings.Contains(before+after, "c%61") { // a file is read
			t.Skip()
		}
		a, err := elastic.ParseURL(before + secret + after)
		if err != nil {
			_, named, _ := strings.Cut(before, "?")
			if tasks.HintOf(err) == "" || strings.Contains(err.Error(), secret) && (strings.Contains(named, "=") || !strings.Contains(before, "?")) {
				t.Errorf("%q: %v (%s)", before+secret+after, err, tasks.HintOf(err))
			}
			return
		}
		if (a.Password == secret || a.APIKey == secret || a.Token == secret) && strings.Contains(a.String(), secret) {
			t.Errorf("%q is shown as %s", before+secret+after, a)
		}
		for _, h := range a.Hosts {
			if _, err := http.NewRequest(http.MethodGet, h, nil); err != nil {
				t.Errorf("%q has the host %q: %v", before+secret+after, h, err)
			}
		}
	})
}

// FuzzAnyPatternNamesIndicesThatARequestCanCarry holds that a list of indices is bounded, and that * stands where it is too long.
func FuzzAnyPatternNamesIndicesThatARequestCanCarry(f *testing.F) {
	for _, seed := range []string{"logs-%Y.%m.%d", "%H%M", "a,%Y", "%", "%%", "logs-%", "%Y-%q", "", "*", "%Y%Y%Y%Y,b-%j"} {
		f.Add(seed, int64(1_700_000_000), int64(90_000), true)
	}
	f.Fuzz(func(t *testing.T, pattern string, from, seconds int64, extra bool) {
		if seconds < 0 || seconds > 40*24*3600 || from < -1<<32 || from > 1<<33 {
			t.Skip()
		}
		start := time.Unix(from, 0)
		list := elastic.Indices(pattern, start, start.Add(time.Duration(seconds)*time.Second), extra)
		if len(list) > 2000+len(pattern)*10 {
			t.Errorf("%q makes %d bytes", pattern, len(list))
		}
		if any := elastic.AnyIndex(pattern); len(any) > len(pattern) || !strings.Contains(pattern, "%") && any != pattern {
			t.Errorf("%q becomes %q", pattern, any)
		}
	})
}
