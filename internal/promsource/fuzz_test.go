package promsource_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/tasks"
)

// FuzzAnyAnswerIsSamplesThatWereAskedForOrAnError holds that whatever a server answers, samples come in order and lie in the window, and
// that it is asked for an end and makes nobody wait for ever.
func FuzzAnyAnswerIsSamplesThatWereAskedForOrAnError(f *testing.F) {
	for _, seed := range []string{`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"i":"0"},"values":[[1699999215,"1"],[1699999230,"NaN"]]},{"metric":{},"values":[[1699999215.000,"+Inf"]]}]}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[]}]}}`, `{"status":"success","warnings":["PromQL info: x"],"data":{"resultType":"matrix","result":[]}}`, `{"status":"success","isPartial":true}`, `{"status":"error","errorType":"bad_data","error":"x"}`,
		`{"status":"error","errorType":"execution","error":"would load too many samples"}`, `{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1e300,"1"],[null,"x"],[]]}]}}`, `{"status":"success","data":{"resultType":"matrix","result":[{"values":[["1","1"]]}]}}`, `{"status":"success","data":{"resultType":"vector","result":null}}`, "\x1b[2J<html>\n", `{"status":"error","error":"\u001b[2J","errorType":"\u0000"}`, "", "\xff"} {
		for _, status := range []int{200, 302, 404, 405, 422, 503} {
			f.Add(status, "30", "/x", seed)
		}
	}
	for _, after := range []string{"", "-1", "99999999999", "9223372036854775807", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 02 Jan 2006 15:04:05 GMT"} {
		f.Add(429, after, "http://u:p@h/\x00", "")
	}
	var answer atomic.Pointer[func(http.ResponseWriter)]
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		(*answer.Load())(w)
	}))
	f.Cleanup(server.Close)
	p, err := promsource.New(promsource.Connection{URL: strings.Replace(server.URL, "://", "://u:zq7hunter2@", 1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	printable := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1
			}
			return r
		}, s)
	}
	f.Fuzz(func(t *testing.T, status int, after, location, body string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		write := func(w http.ResponseWriter) {
			w.Header()["Retry-After"], w.Header()["Location"] = []string{printable(after)}, []string{printable(location)}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
		answer.Store(&write)
		asked.Store(0)
		start, end := t0.Add(-time.Hour), t0
		last, series := start, ""
		err := p.Range(context.Background(), "m", start, end, 15*time.Second, func(s promsource.Sample) error {
			if !s.At.After(start) || s.At.After(end) || s.At.Before(last) || s.At.Equal(last) && s.Series < series || s.At.UnixMilli()%15000 != 0 {
				t.Errorf("a sample at %s of %s, behind one at %s of %s", s.At, s.Series, last, series)
			}
			last, series = s.At, s.Series
			return nil
		})
		if asked.Load() > 20 {
			t.Errorf("it was asked %d times: %v", asked.Load(), err)
		}
		if err == nil {
			return
		}
		if wait, ok := tasks.RetryAfterOf(err); ok && (wait <= 0 || wait > time.Hour) {
			t.Errorf("it is to wait for %s: %v", wait, err)
		}
		if text := err.Error(); len(text) > 5000 || !utf8.ValidString(text) || strings.Contains(text, "zq7hunter2") || strings.ContainsAny(text, "\x00\x1b\r") {
			t.Errorf("%d bytes of error: %.300q", len(text), text)
		}
	})
}
