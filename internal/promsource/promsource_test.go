package promsource_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/stint-run/stint/internal/prometheustest"
	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/tasks"
)

// t0 is a time on every grid that the tests use.
var t0 = time.Unix(1_700_000_000-1_700_000_000%3600, 0).UTC()

func client(t *testing.T, c promsource.Connection) *promsource.Client {
	t.Helper()
	p, err := promsource.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// samples are those of a range, as text.
func samples(p *promsource.Client, query string, start, end time.Time, step time.Duration) ([]string, error) {
	var all []string
	err := p.Range(context.Background(), query, start, end, step, func(s promsource.Sample) error {
		all = append(all, fmt.Sprintf("%s %v %v", s.At.Sub(t0), s.Labels["i"], s.Value))
		return nil
	})
	return all, err
}

// metrics writes samples of series i at each 15 s; the values count up.
func metrics(series, points int) string {
	var b strings.Builder
	b.WriteString("# TYPE m gauge\n")
	for i := range series {
		for n := range points {
			fmt.Fprintf(&b, "m{i=\"%d\"} %d %d\n", i, n, t0.Unix()+int64(15*n))
		}
	}
	b.WriteString("# EOF\n")
	return b.String()
}

func TestSamplesComeByTimeAndWindowsThatFollowOneAnotherSeeEachOnce(t *testing.T) {
	t.Parallel()
	p := client(t, promsource.Connection{URL: "http://" + prometheustest.New(t, prometheustest.Options{Metrics: metrics(3, 40)})})
	whole, err := samples(p, "m", t0.Add(-time.Second), t0.Add(9*time.Minute), 15*time.Second)
	if err != nil || len(whole) != 3*37 { // up to 9 min
		t.Fatalf("%d samples, %v", len(whole), err)
	}
	var parts []string
	for at := t0.Add(-time.Second); at.Before(t0.Add(9 * time.Minute)); {
		next := at.Add(7 * time.Second) // windows off the grid, some of them with no point at all
		if next.After(t0.Add(9 * time.Minute)) {
			next = t0.Add(9 * time.Minute)
		}
		part, err := samples(p, "m", at, next, 15*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		parts, at = append(parts, part...), next
	}
	if strings.Join(parts, ",") != strings.Join(whole, ",") {
		t.Errorf("in parts: %v\nas a whole: %v", parts, whole)
	}
	edges, err := samples(p, `m{i="1"}`, t0, t0.Add(30*time.Second), 15*time.Second)
	if want := "[15s 1 1 30s 1 2]"; err != nil || fmt.Sprint(edges) != want {
		t.Errorf("(t0, t0+30s] is %v, %v; want %s", edges, err, want)
	}
}

func TestARangeOfMorePointsThanAServerGivesIsAskedForInParts(t *testing.T) {
	t.Parallel()
	p := client(t, promsource.Connection{URL: "http://" + prometheustest.New(t, prometheustest.Options{Metrics: metrics(1, 4)})})
	n := 0
	var last time.Time
	err := p.Range(context.Background(), "vector(7)", t0, t0.Add(25_001*time.Second), time.Second, func(s promsource.Sample) error {
		if n++; s.At != t0.Add(time.Duration(n)*time.Second) || s.Value != 7 {
			return fmt.Errorf("sample %d is %v", n, s)
		}
		last = s.At
		return nil
	})
	if err != nil || n != 25_001 || last != t0.Add(25_001*time.Second) {
		t.Errorf("%d samples up to %v, %v", n, last, err)
	}
}

func TestValuesThatAreNoNumbersComeThrough(t *testing.T) {
	t.Parallel()
	p := client(t, promsource.Connection{URL: "http://" + prometheustest.New(t, prometheustest.Options{})})
	for query, is := range map[string]func(float64) bool{"vector(0)/0": math.IsNaN, "vector(1)/0": func(f float64) bool { return math.IsInf(f, 1) },
		"vector(-1)/0": func(f float64) bool { return math.IsInf(f, -1) }, "-1.5e-300": func(f float64) bool { return f == -1.5e-300 }} {
		seen := 0
		err := p.Range(context.Background(), query, t0, t0.Add(500*time.Millisecond), 250*time.Millisecond, func(s promsource.Sample) error {
			if seen++; !is(s.Value) {
				return fmt.Errorf("got %v", s.Value)
			}
			return nil
		})
		if err != nil || seen != 2 {
			t.Errorf("%s: %d values, %v", query, seen, err)
		}
	}
}

func TestAQueryThatTheServerDoesNotUnderstandIsForGood(t *testing.T) {
	t.Parallel()
	p := client(t, promsource.Connection{URL: "http://" + prometheustest.New(t, prometheustest.Options{Metrics: metrics(2, 4)})})
	_, err := samples(p, "sum(m", t0, t0.Add(time.Minute), 15*time.Second)
	if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("got %v", err)
	}
	// One that fails by what is in the series may work a minute later.
	_, err = samples(p, "m * on() m", t0, t0.Add(time.Minute), 15*time.Second)
	if err == nil || tasks.IsPermanent(err) || !strings.Contains(err.Error(), "many-to-many") {
		t.Errorf("got %v", err)
	}
}

func TestAServerWithUsersLetsInWhoHasThePassword(t *testing.T) {
	t.Parallel()
	secret := rand.Text()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	at := prometheustest.New(t, prometheustest.Options{Web: "basic_auth_users:\n  reader: " + string(hash) + "\n"})
	if err := client(t, promsource.Connection{URL: "http://reader:" + secret + "@" + at}).Check(context.Background()); err != nil {
		t.Error(err)
	}
	err = client(t, promsource.Connection{URL: "http://reader:wrong-word@" + at}).Check(context.Background())
	if err == nil || !strings.Contains(err.Error(), "401") || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "wrong-word") {
		t.Errorf("got %v", err)
	}
	c := promsource.Connection{URL: "http://reader:" + secret + "@" + at}
	for _, shown := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%+v", c), c.String()} {
		if strings.Contains(shown, secret) || !strings.Contains(shown, at) {
			t.Errorf("shown as %s", shown)
		}
	}
}

func TestAServerThatIsNotThereIsAskedAgain(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	err = client(t, promsource.Connection{URL: "http://" + at}).Check(context.Background())
	if _, again := tasks.RetryAfterOf(err); !again || tasks.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

// answering makes a client of a server that answers each request so.
func answering(t *testing.T, answer http.HandlerFunc) *promsource.Client {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return client(t, promsource.Connection{URL: s.URL + "/prefix/", Token: "s3cret", Headers: map[string]string{"X-Scope-OrgID": "us"}})
}

func TestAnAnswerThatIsNotWholeIsAnError(t *testing.T) {
	t.Parallel()
	const one = `"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1699999200,"1"]]}]}`
	for name, body := range map[string]string{
		"a warning":                     `{"status":"success","warnings":["store 10.0.0.1 is down"],` + one + `}`,
		"a part":                        `{"status":"success","isPartial":true,` + one + `}`,
		"cut":                           `{"status":"success",` + one[:60],
		"nothing":                       ``,
		"another page":                  `<html>hello</html>`,
		"a vector":                      `{"status":"success","data":{"resultType":"vector","result":[]}}`,
		"a value that nobody asked":     `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1699999199,"1"]]}]}}`,
		"histograms":                    `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[[1699999200,{"count":"1"}]]}]}}`,
		"an error with a status of 200": `{"status":"error","errorType":"execution","error":"broken"}`,
	} {
		p := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		if got, err := samples(p, "m", t0.Add(-time.Second), t0, time.Second); err == nil || len(got) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	p := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success","warnings":["PromQL info: metric might not be a counter"],"infos":["x"],` + one + `}`))
	})
	if got, err := samples(p, "m", t0.Add(-time.Second), t0, time.Second); err != nil || len(got) != 1 {
		t.Errorf("a remark: %v, %v", got, err)
	}
}

func TestAServerThatIsBusySaysHowLongToWait(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": time.Second, "999999999": 10 * time.Minute, "x": time.Second} {
		p := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			http.Error(w, "later", http.StatusTooManyRequests)
		})
		if got, again := tasks.RetryAfterOf(p.Check(context.Background())); !again || got != want {
			t.Errorf("%q: wait %v, %v; want %v", header, got, again, want)
		}
	}
}

func TestRequestsGoBelowThePrefixWithTheTokenAndTheHeaders(t *testing.T) {
	t.Parallel()
	p := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // a proxy that lets reading through alone
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path != "/prefix/api/v1/query_range" || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("X-Scope-OrgID") != "us" ||
			r.FormValue("partial_response") != "false" || r.FormValue("start") != "1699999200.250" || r.FormValue("step") != "0.250" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[]}}`))
	})
	if got, err := samples(p, "m", t0, t0.Add(time.Second), 250*time.Millisecond); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	elsewhere := answering(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	if err := elsewhere.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "leads elsewhere") {
		t.Errorf("a redirection: %v", err)
	}
}

func TestAnAnswerThatIsTooLargeIsAskedForInHalves(t *testing.T) {
	t.Parallel()
	asked := 0
	p := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.FormValue("start") != r.FormValue("end") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`))
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[%s,"1"]]}]}}`, r.FormValue("start"))
	})
	if got, err := samples(p, "m", t0, t0.Add(4*time.Second), time.Second); err != nil || len(got) != 4 || asked != 6 {
		t.Errorf("%v in %d requests, %v", got, asked, err)
	}
}

func TestWhoGivesUpWaitingIsToldSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	p := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // the server sees that a client has gone once it has read what it sent
		cancel(why)
		<-r.Context().Done()
	})
	if err := p.Check(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
