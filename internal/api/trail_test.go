package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
)

func TestTheTrailSaysWhoDidWhatAndWhatWasRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	boss, guest := h.token(wire.NewToken{Role: "admin", Name: "boss"}), h.token(wire.NewToken{Role: "viewer", Name: "guest"})
	s := h.serve()
	long := "/v1/jobs/" + strings.Repeat("x", 5000) + "/pause"
	want := []wire.AuditEntry{ // newest first
		{By: "unknown", Action: "pause-job", Target: long[:256] + "...", Status: 401},
		{By: "unknown", Action: "cross-site", Target: "/v1/jobs/job-1/cancel", Status: 403},
		{By: "boss", Role: "admin", Action: "submit-job", Target: "/v1/jobs", Status: 422},
		{By: "boss", Role: "admin", Action: "cancel-job", Target: "/v1/jobs/nothing/cancel", Status: 404},
		{By: "guest", Role: "viewer", Action: "cancel-job", Target: "/v1/jobs/job-1/cancel", Status: 403},
		{By: "boss", Role: "admin", Action: "pause-job", Target: "/v1/jobs/job-1/pause", Status: 200},
	}
	requests := []struct {
		method, path, secret string
		body                 any
		headers              []string
	}{
		{"POST", "/v1/jobs/job-1/pause", boss, nil, nil}, {"GET", "/v1/jobs", boss, nil, nil}, {"HEAD", "/v1/jobs", boss, nil, nil}, {"GET", "/v1/tokens", guest, nil, nil}, {"GET", "/v1/jobs", "", nil, nil},
		{"POST", "/v1/jobs/job-1/cancel", guest, nil, nil}, {"POST", "/v1/jobs/nothing/cancel", boss, nil, nil}, {"POST", "/v1/jobs", boss, `{"kind":"none","spec":{}}`, nil},
		{"POST", "/v1/jobs/job-1/cancel", boss, nil, []string{"Sec-Fetch-Site", "cross-site"}}, {"POST", long, "", nil, nil},
	}
	for i, r := range requests {
		h.send(r.method, s.at(r.path), r.body, append(append(bearer(r.secret), "X-Request-ID", fmt.Sprint("r", i)), r.headers...)...)
	}
	got := as[wire.Audit](t, h.send("GET", s.at("/v1/audit"), nil, bearer(boss)...))
	if len(got.Entries) != len(want) || got.Next != "" {
		t.Fatalf("%d entries, want %d: %+v", len(got.Entries), len(want), got)
	}
	// Entries of one millisecond that stand in different streams have no order of their own.
	slices.SortFunc(got.Entries, func(x, y wire.AuditEntry) int { return strings.Compare(y.RequestID, x.RequestID) })
	for i, e := range got.Entries {
		if e.ID == "" || time.Since(e.At) > time.Minute || e.From != "127.0.0.1" || !strings.HasPrefix(e.RequestID, "r") || (e.Role != "") != (e.TokenID != "") {
			t.Errorf("an entry lacks something: %+v", e)
		}
		e.ID, e.At, e.From, e.RequestID, e.TokenID = "", time.Time{}, "", "", ""
		if e != want[i] {
			t.Errorf("entry %d: %+v, want %+v", i, e, want[i])
		}
	}
}

func TestThePagesOfTheTrailHaveEachEntryOnceInOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	const n = 250
	for i := range n {
		e := wire.AuditEntry{By: "boss", Role: "admin", Action: fmt.Sprint(i)}
		if i%3 == 0 {
			e.Role = ""
		}
		if err := h.st.Audit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	seen, cursor, pages := []wire.AuditEntry{}, "", 0
	for pages < 100 {
		page := as[wire.Audit](t, h.send("GET", s.at("/v1/audit?limit=7&cursor="+cursor), nil))
		seen = append(seen, page.Entries...)
		pages++
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	found := map[string]int{}
	for i, e := range seen {
		found[e.Action]++
		if i > 0 && e.ID > seen[i-1].ID && len(e.ID) >= len(seen[i-1].ID) {
			t.Errorf("%s comes after %s", e.ID, seen[i-1].ID)
		}
	}
	for i := range n {
		if found[fmt.Sprint(i)] != 1 {
			t.Errorf("entry %d came %d times", i, found[fmt.Sprint(i)])
		}
	}
	for cursor, want := range map[string]int{"0-0": 200, "1-0": 200, "18446744073709551615-18446744073709551615": 422, "x": 422} {
		if got := h.send("GET", s.at("/v1/audit?cursor="+cursor), nil); got.status != want {
			t.Errorf("cursor %s: %s", cursor, got)
		}
	}
}

func TestStrangersCannotPushOutWhatOthersDid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.st.Audit(t.Context(), wire.AuditEntry{By: "boss", Role: "admin", Action: "cancel-job"}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := h.st.Audit(t.Context(), wire.AuditEntry{By: "unknown", Action: "cancel-job"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.rdb.XTrimMaxLen(t.Context(), "stint:audit:strangers", 10).Err(); err != nil {
		t.Fatal(err)
	}
	list, _, err := h.st.AuditTrail(t.Context(), "", 1000)
	if err != nil || len(list) != 11 || list[10].By != "boss" {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

func TestTheSecretOfATokenStandsNowhereButInTheAnswerThatMadeIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	made := as[wire.MadeToken](t, h.send("POST", s.at("/v1/tokens"), wire.NewToken{Name: "first", Role: "admin"}))
	secret := strings.SplitN(made.Secret, "_", 3)[2]
	if len(secret) < 43 {
		t.Fatalf("a secret of %d letters", len(secret))
	}
	var said strings.Builder
	for _, path := range []string{"/v1/tokens", "/v1/audit", "/v1/about", "/v1/jobs", "/v1/nothing", "/v1/jobs?x=1"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			got := h.send(method, s.at(path), nil, bearer(made.Secret)...)
			fmt.Fprint(&said, got)
		}
	}
	fmt.Fprint(&said, h.send("GET", s.at("/v1/about"), nil, "Authorization", "Bearer "+made.Secret+"x"))
	if strings.Contains(said.String(), secret) {
		t.Error("an answer has it")
	}
	if strings.Contains(h.log.String(), secret) {
		t.Error("the log has it")
	}
	if everything := h.everything(); strings.Contains(everything, secret) || !strings.Contains(everything, made.ID) {
		t.Error("Redis has it, or does not have its token")
	}
}

// everything is all keys and values of Redis.
func (h *house) everything() string {
	h.t.Helper()
	var all strings.Builder
	keys := h.rdb.Scan(context.Background(), 0, "*", 1000).Iterator()
	for keys.Next(context.Background()) {
		key := keys.Val()
		all.WriteString(key + "\n")
		kind, err := h.rdb.Type(context.Background(), key).Result()
		if err != nil {
			h.t.Fatal(err)
		}
		read := map[string][]any{"string": {"GET", key}, "hash": {"HGETALL", key}, "set": {"SMEMBERS", key}, "zset": {"ZRANGE", key, 0, -1}, "list": {"LRANGE", key, 0, -1}, "stream": {"XRANGE", key, "-", "+"}}[kind]
		v, err := h.rdb.Do(context.Background(), read...).Result()
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintln(&all, v)
	}
	return all.String()
}

func TestNoPartOfARefusedSpecIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	for _, c := range wrong {
		if c.method == "POST" {
			h.send(c.method, s.at(c.path), c.body, "Content-Type", c.contentType)
		}
	}
	if strings.Contains(h.everything(), canary) {
		t.Error("Redis has what was refused")
	}
}

func TestTheProcessItselfAsksInItsOwnNameAndReadsStreams(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	h.token(wire.NewToken{Role: "admin"}) // with or without tokens
	a := h.api()
	client := &http.Client{Transport: InProcess(a, "alice")}
	ask := func(method, path string, headers ...string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://stint"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	whole := func(resp *http.Response) string { // its end is that of the handler
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %s %v", resp.Status, text, err)
		}
		return string(text)
	}
	whole(ask("POST", "/v1/jobs/job-1/pause"))
	stream := ask("GET", "/v1/jobs/job-1/events", "Accept", "text/event-stream")
	first := make([]byte, 5)
	if n, err := stream.Body.Read(first); n != 5 || err != nil {
		t.Errorf("%q %v", first, err)
	}
	_ = stream.Body.Close()
	whole(ask("POST", "/v1/jobs/job-1/cancel"))
	if text := whole(ask("GET", "/v1/jobs/job-1/events", "Accept", "text/event-stream")); !strings.Contains(text, "event: cancel") {
		t.Errorf("the stream: %s", text)
	}
	trail, _, err := h.st.AuditTrail(t.Context(), "", 10)
	if err != nil || len(trail) != 2 || trail[0].By != "alice" || trail[0].Role != "admin" || trail[0].From != "command line" {
		t.Errorf("%+v %v", trail, err)
	}
	// Nobody gets that right from outside.
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/about", nil))
	if w.Code != 401 {
		t.Errorf("a request that comes in: %d", w.Code)
	}
}
