package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// FuzzWhatAClientMakesUp sends a text wherever the API takes one apart: as cursor, as event, as ETag, as token, as label and as id.
// Nothing but a token that there is lets it in, and nothing makes a fault of the server.
func FuzzWhatAClientMakesUp(f *testing.F) {
	rdb := redis.NewClient(redistest.New(f).Options())
	f.Cleanup(func() { _ = rdb.Close() })
	st := store.New(rdb)
	enginetest.Submit(f, rdb, st, enginetest.Job("job-1", 1))
	if err := st.Audit(context.Background(), wire.AuditEntry{By: "x", Role: "admin"}); err != nil {
		f.Fatal(err)
	}
	token, made := MakeToken(wire.NewToken{Name: "x", Role: "admin"}, "test", time.Now())
	if err := st.PutToken(context.Background(), token); err != nil {
		f.Fatal(err)
	}
	log := &enginetest.Log{}
	a := New(Options{Store: st, Producer: queue.NewProducer(rdb), Families: []tasks.Family{&enginetest.Family{Effects: rdb}}, Log: log.Logger()})
	for _, seed := range []string{"", "0-0", "1-1", "0-1", "18446744073709551615-18446744073709551615", "18446744073709551615-18446744073709551614", "9223372036854775808-0", "00000000000000000001-1", "-", "+", "(1-1", "$", ">", "*",
		`"1-accepted"`, `W/"1-accepted"`, `""`, "1700000000000:job-1", ":", "1:", ":x", "99999999999999999999999999:x", "1e5:x", "stint_", "stint__", "stint_" + token.ID + "_", "Bearer", "a=b", "=", "a=", "job-1", "..", "%2e%2e", "fleet}:tokens", "{x}",
		"\x00", "\xff\xfe", "a\r\nb: c", "é", made.Secret[:len(made.Secret)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q := url.QueryEscape(text)
		for _, r := range []struct{ method, path, header string }{
			{"GET", "/v1/jobs?cursor=" + q, ""}, {"GET", "/v1/audit?cursor=" + q, ""}, {"GET", "/v1/jobs?label=" + q, ""}, {"GET", "/v1/jobs?tenant=" + q, ""}, {"GET", "/v1/jobs?kind=" + q, ""},
			{"GET", "/v1/jobs/job-1/events?after=" + q, ""}, {"GET", "/v1/jobs/job-1/events", "Last-Event-ID"}, {"POST", "/v1/jobs/job-1/pause", "If-Match"}, {"POST", "/v1/jobs/job-1/resume", ""},
			{"GET", "/v1/about", "X-Request-ID"}, {"GET", "/v1/jobs/" + url.PathEscape(text), ""}, {"GET", "/v1/workers/" + url.PathEscape(text), ""}, {"GET", "/v1/queues/" + url.PathEscape(text), ""},
		} {
			in := httptest.NewRequest(r.method, "http://127.0.0.1/", nil)
			u, err := url.Parse(r.path)
			if err != nil {
				t.Fatalf("%s: %v", r.path, err)
			}
			in.URL = u
			in.Header.Set("Authorization", "Bearer "+made.Secret)
			if r.header != "" {
				in.Header[http.CanonicalHeaderKey(r.header)] = []string{text}
			}
			out := httptest.NewRecorder()
			a.Handler().ServeHTTP(out, in)
			if out.Code >= 500 || out.Code == http.StatusUnauthorized {
				t.Errorf("%s %s with %s %q: %d %s\n%s", r.method, r.path, r.header, text, out.Code, out.Body, log)
			}
		}
		in := httptest.NewRequest("GET", "http://127.0.0.1/v1/about", nil)
		in.Header["Authorization"] = []string{"Bearer " + text}
		out := httptest.NewRecorder()
		a.strangers.forget()
		a.Handler().ServeHTTP(out, in)
		if out.Code != http.StatusUnauthorized && text != made.Secret {
			t.Errorf("the token %q: %d %s", text, out.Code, out.Body)
		}
	})
}
