package httpsink_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks"
)

// FuzzAnyAnswerOfAnAPISettlesEachRecordOnce holds that whatever an API answers, to requests and to lookups, each record has at most one
// answer, one that was taken has the id that is wanted, nothing that is shown has the secret in it, and patience has its bound.
func FuzzAnyAnswerOfAnAPISettlesEachRecordOnce(f *testing.F) {
	for _, seed := range []string{`{"id": 7}`, `{"id": "x-1"}`, `{"id": {"a": 1}}`, `{"results": [{"status": 201, "id": 1}, {"status": "taken", "id": "a"}, {"status": 422, "error": "no"}]}`, `{"results": [{"n": 2, "id": 1}, {"n": "0"}, {"n": 1, "error": {"message": "Bearer zq7hunter2"}}]}`, `{"ids": [1, 2, 3]}`, `{"ids": [1]}`, `{"ids": "x"}`,
		`{"error": {"message": "zq7hunter2"}}`, `[]`, `null`, `{`, "\xff", `{"id": 1e999}`, `{"id": 12345678901234567890.10}`, `{"errors": ["a\u0000\u001b"]}`, ``} {
		for mode := range 5 {
			f.Add(201, mode, "", "/v1/c/7", seed, seed)
			f.Add(422, mode, "1", "", seed, "")
			f.Add(503, mode, "99999999999", "https://u:p@h/%zz", seed, seed)
		}
	}
	type said struct {
		status                       int
		after, location, body, found string
	}
	var answer atomic.Pointer[said]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answer.Load()
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(a.found))
			return
		}
		for name, value := range map[string]string{"Retry-After": a.after, "Location": a.location, "Content-Type": "text/plain"} {
			w.Header()[name] = []string{strings.Map(func(r rune) rune {
				if r < ' ' {
					return -1
				}
				return r
			}, value)}
		}
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	f.Cleanup(server.Close)
	endpoints := []httpsink.Endpoint{
		{Path: "/v1/c", ID: "$.id"},
		{Path: "/v1/c", ID: "header:Location"},
		{Path: "/v1/c", ID: "$.ids[*]", Batch: 3},
		{Path: "/v1/c", Batch: 3, Partial: &httpsink.Partial{Items: "$.results", Status: "$.status", ID: "$.id", Match: "$.n"}},
		{Path: "/v1/c", ID: "$.id", IdempotencyHeader: "none", Lookup: &httpsink.Lookup{Path: "/find/{{ .n }}", ID: "$.id"}},
	}
	f.Fuzz(func(t *testing.T, status, mode int, after, location, body, found string) {
		if status < 200 || status > 599 || mode < 0 || mode >= len(endpoints) || strings.TrimSpace(after) == "0" {
			t.Skip()
		}
		answer.Store(&said{status, after, location, body, found})
		e := endpoints[mode]
		s, err := httpsink.New(httpsink.Connection{BaseURL: server.URL, Auth: httpsink.Auth{Type: "bearer", Token: "zq7hunter2"}}, e, httpsink.Options{Backoff: time.Microsecond, Patience: 2 * time.Millisecond, Tries: 2, OpenFor: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var records []httpsink.Record
		for i := range 3 {
			records = append(records, httpsink.Record{Key: fmt.Sprint(i), IdempotencyKey: fmt.Sprint("k", i), Fields: map[string]any{"n": i}})
		}
		seen := map[string]bool{}
		err = s.Deliver(t.Context(), records, func(all []httpsink.Answer) error {
			for _, a := range all {
				if seen[a.Key] {
					t.Errorf("%s has two answers", a.Key)
				}
				seen[a.Key] = true
				taken := a.Outcome == httpsink.Created || a.Outcome == httpsink.Existed
				if taken && (len(a.ID) == 0 || !json.Valid(a.ID) || a.IDText() == "") && status != 409 {
					t.Errorf("it was taken under the id %q: %+v", a.ID, a)
				}
				if !taken && a.Code == "" {
					t.Errorf("it was not taken, and nobody says why: %+v", a)
				}
				shown(t, a.Code+a.Reason+a.Excerpt)
			}
			return nil
		})
		if err == nil && len(seen) != len(records) {
			t.Errorf("%d of %d records have an answer", len(seen), len(records))
		}
		if err != nil {
			shown(t, err.Error()+tasks.HintOf(err))
			if wait, ok := tasks.RetryAfterOf(err); ok && (wait < 0 || wait > time.Hour) {
				t.Errorf("it is to wait for %s: %v", wait, err)
			}
		}
	})
}

// shown holds a text that people read to having no secret, no control characters and an end.
func shown(t *testing.T, text string) {
	t.Helper()
	if len(text) > 20_000 || !utf8.ValidString(text) || strings.Contains(text, "zq7hunter2") || strings.ContainsAny(text, "\x00\x1b") {
		t.Errorf("%d bytes are shown: %.300q", len(text), text)
	}
}
