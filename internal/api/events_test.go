package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
)

// told is one event of a stream, or a comment.
type told struct{ id, kind, data, comment string }

// reading is a stream that is read.
type reading struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
	stop  context.CancelFunc
}

// listen opens a stream of a job's events after one of them.
func (h *house) listen(s *Server, job, after string, headers ...string) (*reading, error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), enginetest.Patience)
	r, err := http.NewRequestWithContext(ctx, "GET", s.at("/v1/jobs/"+job+"/events"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.client.Do(r)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		h.t.Errorf("stream: %d %v", resp.StatusCode, resp.Header)
	}
	return &reading{h.t, resp.Body, bufio.NewScanner(resp.Body), cancel}, nil
}

// next returns what is told next; false at the end of the stream.
func (r *reading) next() (told, bool) {
	var e told
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "":
			if e != (told{}) {
				return e, true
			}
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		}
		if strings.HasPrefix(r.lines.Text(), ":") {
			e.comment = r.lines.Text()
		}
	}
	return told{}, false
}

func (r *reading) close() {
	r.stop()
	_ = r.body.Close()
}

// ids of all events that are kept of a job.
func (h *house) kept(job string) []string {
	h.t.Helper()
	list, err := h.st.Events(context.Background(), job, "", 10_000)
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestAStreamThatIsCutAgainAndAgainTellsEachEventOnceAndEndsWithTheJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	stays := h.serve()
	leaves := h.serve()
	var gone atomic.Bool
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := range 30 {
			h.events("job-1", 20)
			if i == 15 {
				gone.Store(true)
				if err := leaves.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
		if got, err := h.try("POST", stays.at("/v1/jobs/job-1/cancel"), nil); err != nil || got.status != 200 {
			t.Errorf("cancel: %v %s", err, got)
		}
	})
	var seen []string
	last := ""
	ended := false
	for round := 0; !ended && round < 1000; round++ {
		s := leaves
		if round%2 == 1 || gone.Load() {
			s = stays
		}
		r, err := h.listen(s, "job-1", last)
		if err != nil {
			continue // it is stopping just now
		}
		for range 13 {
			e, more := r.next()
			if !more {
				break
			}
			var event wire.Event
			if err := json.Unmarshal([]byte(e.data), &event); err != nil || event.ID != e.id || event.Type != e.kind {
				t.Errorf("%+v: %v", e, err)
			}
			seen, last = append(seen, e.id), e.id
			ended = e.kind == "cancel"
		}
		if ended {
			if e, more := r.next(); more {
				t.Errorf("after the end of the job: %+v", e)
			}
		}
		r.close()
	}
	busy.Wait()
	if want := h.kept("job-1"); !slices.Equal(seen, want) {
		t.Errorf("%d events were told, of %d", len(seen), len(want))
	}
}

func TestWhoResumesWhereEventsAreNoLongerKeptIsToldSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	h.events("job-1", 5)
	old := h.kept("job-1")[3]
	h.events("job-1", 1500)
	if err := h.rdb.XTrimMaxLen(t.Context(), "stint:{job-1}:events", 1000).Err(); err != nil {
		t.Fatal(err)
	}
	want := h.kept("job-1")
	for after, trimmed := range map[string]bool{old: true, want[0]: false, want[998]: false, "": false} {
		r, err := h.listen(s, "job-1", after)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := r.next()
		if trimmed != (e.kind == "trimmed") {
			t.Errorf("after %q: %+v", after, e)
		}
		if trimmed {
			if e.id != "" {
				t.Errorf("a client would resume at %q", e.id)
			}
			e, _ = r.next()
		}
		if first := want[slices.Index(want, after)+1]; e.id != first {
			t.Errorf("after %q comes %s, want %s", after, e.id, first)
		}
		r.close()
	}
}

func TestAStreamSaysThatItIsStillThereAndOutlivesTheTimeToSendARequest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	a := h.api()
	a.heartbeat = 300 * time.Millisecond
	s := h.start(a, ServerOptions{ReadTimeout: 500 * time.Millisecond})
	r, err := h.listen(s, "job-1", "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if e, _ := r.next(); e.kind != "accepted" {
		t.Fatalf("first: %+v", e)
	}
	for i := range 4 {
		if e, more := r.next(); !more || e.comment == "" {
			t.Fatalf("heartbeat %d: %+v", i, e)
		}
	}
	h.events("job-1", 1)
	if e, more := r.next(); !more || e.kind != "test" {
		t.Errorf("then: %+v", e)
	}
}

func TestAStoppedServerEndsItsStreamsAtOnceEvenOfWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	var streams []*reading
	for range 10 {
		r, err := h.listen(s, "job-1", "")
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		if _, more := r.next(); !more {
			t.Fatal("ended at once")
		}
		streams = append(streams, r)
	}
	if got := h.send("GET", s.at("/readyz"), nil); got.status != 200 {
		t.Errorf("ready: %s", got)
	}
	h.client.CloseIdleConnections()
	start := time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, r := range streams {
		if e, more := r.next(); more {
			t.Errorf("then: %+v", e)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestAClientThatDoesNotReadHoldsItsConnectionForATimeOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	a := h.api()
	a.unread = 300 * time.Millisecond
	s := h.start(a, ServerOptions{})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = fmt.Fprint(conn, "GET /v1/jobs/job-1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
	enginetest.Eventually(t, "the stream of the silent client ends", func() bool {
		h.events("job-1", 200)
		return h.log.Count("a stream of events ended") > 0
	})
}

func TestATokenThatIsRevokedEndsItsStreams(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	boss := bearer(h.token(wire.NewToken{Role: "admin", Name: "boss"}))
	made := as[wire.MadeToken](t, h.send("POST", s.at("/v1/tokens"), wire.NewToken{Name: "ci", Role: "viewer"}, boss...))
	r, err := h.listen(s, "job-1", "", bearer(made.Secret)...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if _, more := r.next(); !more {
		t.Fatal("ended at once")
	}
	if got := h.send("DELETE", s.at("/v1/tokens/"+made.ID), nil, boss...); got.status != 204 {
		t.Fatal(got)
	}
	start := time.Now()
	if e, more := r.next(); more || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %+v", time.Since(start), e)
	}
}

func TestFiftyStreamsLeaveTheConnectionsOfRedisToOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	var all sync.WaitGroup
	heard := make(chan string, 50)
	for range 50 {
		r, err := h.listen(s, "job-1", "")
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		all.Go(func() {
			for {
				e, more := r.next()
				if !more || e.kind == "cancel" {
					heard <- e.kind
					return
				}
			}
		})
	}
	slowest := time.Duration(0)
	for range 100 {
		start := time.Now()
		if got := h.send("GET", s.at("/v1/jobs/job-1"), nil); got.status != 200 {
			t.Fatalf("beside 50 streams: %s", got)
		}
		slowest = max(slowest, time.Since(start))
	}
	if slowest > 2*time.Second {
		t.Errorf("beside 50 streams a request took %v", slowest)
	}
	if stats := h.rdb.PoolStats(); stats.Timeouts > 0 {
		t.Errorf("connections of Redis ran out: %+v", stats)
	}
	if got := h.send("POST", s.at("/v1/jobs/job-1/cancel"), nil); got.status != 200 {
		t.Fatal(got)
	}
	all.Wait()
	for range 50 {
		if kind := <-heard; kind != "cancel" {
			t.Errorf("a stream ended with %q", kind)
		}
	}
}

func TestEventsAreAListForWhoAsksForNoStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	h.events("job-1", 5)
	s := h.serve()
	all := h.kept("job-1")
	list := as[wire.Events](t, h.send("GET", s.at("/v1/jobs/job-1/events?limit=2"), nil)).Events
	if len(list) != 2 || list[0].ID != all[0] || list[0].Type != "accepted" || list[0].At.IsZero() {
		t.Errorf("first page: %+v", list)
	}
	list = as[wire.Events](t, h.send("GET", s.at("/v1/jobs/job-1/events?after="+all[1]), nil)).Events
	if len(list) != 4 || list[0].ID != all[2] {
		t.Errorf("after the second: %+v", list)
	}
	for _, bad := range []string{"18446744073709551615-18446744073709551615", "1", "1-", "-1", "a-b", strings.Repeat("0", 200) + "1-1", "1-1-1", "$"} {
		if got := h.send("GET", s.at("/v1/jobs/job-1/events"), nil, "Last-Event-ID", bad); got.status != 422 || got.problem(t).Hint == "" {
			t.Errorf("%s: %s", bad, got)
		}
	}
}
