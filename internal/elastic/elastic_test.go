package elastic_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/tasks"
)

func start(t *testing.T, o elastictest.Options) *elastictest.Server {
	t.Helper()
	s, err := elastictest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, address string) *elastic.Client {
	t.Helper()
	a, err := elastic.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := elastic.New(a, elastic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// fill adds n documents, three to each second.
func fill(s *elastictest.Server, n int) {
	docs := make([]docsearch.Document, n)
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range docs {
		docs[i] = docsearch.Document{Index: "logs", ID: fmt.Sprintf("d%05d", (i*7919)%n), Source: map[string]any{
			"@timestamp": from.Add(time.Duration(i/3) * time.Second).Format(time.RFC3339), "n": json.Number(fmt.Sprint(i)), "host": fmt.Sprintf("h%d", i%5)}}
	}
	s.Add(docs...)
}

var everything = elastic.Request{Index: "logs", Time: "@timestamp", Unmapped: "date"}

// read returns the ids of all hits in their order, and fails where one came twice.
func read(t *testing.T, c *elastic.Client, r elastic.Request) ([]string, elastic.Answer, error) {
	t.Helper()
	var ids []string
	seen := map[string]bool{}
	last := ""
	a, err := c.Pages(t.Context(), r, func(hits []elastic.Hit) error {
		for _, h := range hits {
			at, _ := h.Source["@timestamp"].(string)
			if seen[h.ID] || at < last {
				t.Errorf("%s came twice, or before its time", h.ID)
			}
			seen[h.ID], last = true, at
			ids = append(ids, h.ID)
		}
		return nil
	})
	return ids, a, err
}

func TestAllHitsAreReadWhateverTheServer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]elastictest.Options{
		"elasticsearch 8": {}, "elasticsearch 7.17": {Version: "7.17.3"}, "elasticsearch 7.9, without points in time": {Version: "7.9.0", NoPointInTime: true},
		"opensearch 2": {OpenSearch: true}, "opensearch 1": {OpenSearch: true, Version: "1.3.0", NoPointInTime: true}, "one that refuses them": {NoPointInTime: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, o)
			fill(s, 10_321)
			c := client(t, s.URL())
			sizes := []int{50_000}
			if name == "elasticsearch 8" {
				sizes = append(sizes, 2500)
			}
			for _, size := range sizes {
				r := everything
				r.PageSize = size
				r.Aggs = map[string]any{"hosts": map[string]any{"cardinality": map[string]any{"field": "host.keyword"}}}
				ids, a, err := read(t, c, r)
				if err != nil || len(ids) != 10_321 || a.Total != 10_321 {
					t.Fatalf("pages of %d: %d hits of %d, %v", size, len(ids), a.Total, err)
				}
				if n := a.Aggregations["hosts"].(map[string]any)["value"]; n != json.Number("5") {
					t.Errorf("there are %v hosts", n)
				}
			}
			if n := s.Open(); n != 0 {
				t.Errorf("%d points in time were left open", n)
			}
		})
	}
}

func TestOnePageIsOneRequest(t *testing.T) {
	t.Parallel()
	s := start(t, elastictest.Options{})
	fill(s, 900)
	ids, _, err := read(t, client(t, s.URL()), everything)
	if n := s.Requests("search"); err != nil || len(ids) != 900 || n != 1 || s.Requests("info")+s.Requests("pit") != 0 {
		t.Errorf("%d hits by %d searches, %v", len(ids), n, err)
	}
}

func TestAnAnswerThatIsNotWholeIsAnError(t *testing.T) {
	t.Parallel()
	s := start(t, elastictest.Options{})
	fill(s, 30)
	c := client(t, s.URL()+"?timeout=30s")
	aggs := map[string]any{"hosts": map[string]any{"terms": map[string]any{"field": "host.keyword"}, "aggs": map[string]any{"m": map[string]any{"max": map[string]any{"field": "n"}}}}}
	for _, f := range []struct {
		fault elastictest.Faults
		want  string
	}{
		{elastictest.Faults{FailedShards: 1}, "1 of 1 shards failed: double: no_shard_available_action_exception: a shard is gone"}, {elastictest.Faults{TimedOut: true}, "ran out of time on the server"},
		{elastictest.Faults{Drop: "hosts"}, "is without the aggregation hosts"}, {elastictest.Faults{ErrorIn200: true}, "answered 200: search_phase_execution_exception: all shards failed"},
		{elastictest.Faults{Cut: true}, "unexpected EOF"}, {elastictest.Faults{Status: 500}, "answered 500: exception: refused on demand"},
	} {
		s.Fail(f.fault)
		_, err := c.Aggregate(t.Context(), elastic.Request{Index: "logs", Aggs: aggs})
		if err == nil || !strings.Contains(err.Error(), f.want) || tasks.IsPermanent(err) {
			t.Errorf("%+v: got %v, want %s", f.fault, err, f.want)
		}
		if f.fault.Drop != "" || f.fault.TimedOut {
			continue
		}
		if _, err := c.Count(t.Context(), "logs", nil); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("count with %+v: got %v, want %s", f.fault, err, f.want)
		}
	}
	s.Fail(elastictest.Faults{Lose: 1})
	for _, size := range []int{100, 10} {
		r := everything
		r.PageSize = size
		if _, _, err := read(t, c, r); err == nil || !strings.Contains(err.Error(), "hits came") {
			t.Errorf("a hit of pages of %d was lost: %v", size, err)
		}
	}
	s.Fail(elastictest.Faults{})
	if a, err := c.Aggregate(t.Context(), elastic.Request{Index: "logs", Aggs: aggs}); err != nil || a.Total != 30 {
		t.Errorf("when all is well: %v, %v", a, err)
	}
}

func TestAnAggregationThatIsMissingWithinABucketIsAnError(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"_shards": {"total": 1, "failed": 0}, "hits": {"total": {"value": 2, "relation": "eq"}, "hits": []}, "aggregations": {"hosts": {"buckets": [{"key": "a", "doc_count": 1, "m": {"value": null}}, {"key": "b", "doc_count": 1}]}}}`)
	}))
	t.Cleanup(web.Close)
	aggs := map[string]any{"hosts": map[string]any{"terms": map[string]any{"field": "host"}, "aggs": map[string]any{"m": map[string]any{"max": map[string]any{"field": "n"}}}}}
	if _, err := client(t, web.URL).Aggregate(t.Context(), elastic.Request{Aggs: aggs}); err == nil || !strings.Contains(err.Error(), "without the aggregation hosts>m") {
		t.Errorf("got %v", err)
	}
}

func TestWhatAServerRefusesIsToldApart(t *testing.T) {
	t.Parallel()
	s := start(t, elastictest.Options{})
	fill(s, 3)
	c := client(t, s.URL())
	_, err := c.Count(t.Context(), "logs", map[string]any{"query_string": map[string]any{"query": "a AND"}})
	if !tasks.IsPermanent(err) || !elastic.Refused(err) || !strings.Contains(err.Error(), "AND with nothing after it") {
		t.Errorf("a query that cannot be read: %v", err)
	}
	for _, status := range []int{429, 503} {
		s.Fail(elastictest.Faults{Status: status, RetryAfter: 7 * time.Second})
		_, err := c.Count(t.Context(), "logs", nil)
		if d, ok := tasks.RetryAfterOf(err); !ok || d != 7*time.Second || tasks.IsPermanent(err) || elastic.Refused(err) {
			t.Errorf("%d: %v, after %s", status, err, d)
		}
	}
	s.Fail(elastictest.Faults{Status: 503})
	if d, ok := tasks.RetryAfterOf(func() error { _, err := c.Count(t.Context(), "logs", nil); return err }()); !ok || d <= 0 {
		t.Errorf("without Retry-After: %s", d)
	}
	s.Fail(elastictest.Faults{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Count(ctx, "logs", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
	if _, err := client(t, s.URL()+"?timeout=50ms").Count(t.Context(), "logs", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs, by the timeout of its address: %v", err)
	}
}

func TestIndicesThatAreNotThereAreEmpty(t *testing.T) {
	t.Parallel()
	s := start(t, elastictest.Options{})
	fill(s, 5)
	c := client(t, s.URL())
	aggs := map[string]any{"m": map[string]any{"avg": map[string]any{"field": "n"}}, "c": map[string]any{"value_count": map[string]any{"field": "n"}}, "p": map[string]any{"percentiles": map[string]any{"field": "n", "percents": []any{json.Number("95")}}},
		"f": map[string]any{"filters": map[string]any{"other_bucket": true, "filters": map[string]any{"x": map[string]any{"match_all": map[string]any{}}}}}}
	a, err := c.Aggregate(t.Context(), elastic.Request{Index: "nope-*", Aggs: aggs})
	got, _ := json.Marshal(a.Aggregations)
	if want := `{"c":{"value":0},"f":{"buckets":{"_other_":{"doc_count":0},"x":{"doc_count":0}}},"m":{"value":null},"p":{"values":{"95.0":null}}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if n, err := c.Count(t.Context(), "gone,logs", nil); err != nil || n != 5 {
		t.Errorf("%d, %v", n, err)
	}
	r := everything
	r.Index = "gone"
	if ids, _, err := read(t, c, r); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestTheNextHostIsAskedWhereOneCannotAnswer(t *testing.T) {
	t.Parallel()
	a, b := start(t, elastictest.Options{}), start(t, elastictest.Options{})
	fill(a, 3)
	fill(b, 3)
	hosts := strings.TrimPrefix(a.URL(), "http://") + "," + strings.TrimPrefix(b.URL(), "http://")
	c := client(t, "elasticsearch://127.0.0.1:1,"+hosts)
	a.Fail(elastictest.Faults{Status: 503})
	for range 3 {
		if n, err := c.Count(t.Context(), "logs", nil); err != nil || n != 3 {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if n := a.Requests("count"); n != 1 {
		t.Errorf("the host that could not answer was asked %d times", n)
	}
	b.Fail(elastictest.Faults{Status: 429, RetryAfter: 3 * time.Second})
	_, err := c.Count(t.Context(), "logs", nil)
	if _, ok := tasks.RetryAfterOf(err); !ok {
		t.Errorf("when nobody can answer: %v", err)
	}
	gone := client(t, "elasticsearch://u:secret@127.0.0.1:1")
	if _, err := gone.Count(t.Context(), "logs", nil); err == nil || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "secret") || tasks.IsPermanent(err) {
		t.Errorf("when nobody is there: %v", err)
	}
}

func TestCredentialsGoWithEachRequest(t *testing.T) {
	t.Parallel()
	s := start(t, elastictest.Options{User: "stint", Password: "p@ss/w:rd", APIKey: "a2V5"})
	host := strings.TrimPrefix(s.URL(), "http://")
	for address, want := range map[string]bool{
		"elasticsearch://stint:" + url.QueryEscape("p@ss/w:rd") + "@" + host: true, "opensearch://" + host + "?api_key=a2V5": true, "http://" + host: false, "elasticsearch://stint:x@" + host: false, "elasticsearch://" + host + "?token=t": false,
	} {
		about, err := client(t, address).About(t.Context())
		if (err == nil) != want || want && about != "elasticsearch 8.17.0" || !want && tasks.HintOf(err) == "" {
			t.Errorf("%s: %s, %v", address, about, err)
		}
	}
	a, err := elastic.ParseURL("http://" + host)
	if err != nil {
		t.Fatal(err)
	}
	c, err := elastic.New(a, elastic.Options{Headers: map[string]string{"Authorization": "ApiKey a2V5"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.About(t.Context()); err != nil {
		t.Errorf("by a header: %v", err)
	}
}

func TestAServerLeadsNoRequestElsewhere(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		asked := make(chan string, 10)
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked <- r.Method + " " + r.URL.Path }))
		t.Cleanup(elsewhere.Close)
		hostile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/latest/meta-data", status)
		}))
		t.Cleanup(hostile.Close)
		if _, _, err := read(t, client(t, strings.Replace(hostile.URL, "http:", "elasticsearch:", 1)), everything); err == nil {
			t.Errorf("%d: that is no answer", status)
		}
		select {
		case what := <-asked:
			t.Errorf("%d: %s was sent to another server", status, what)
		default:
		}
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/es/" && r.URL.Path != "/es/logs/_count" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, `{"count": 4, "_shards": {"total": 1, "failed": 0}}`)
	}))
	t.Cleanup(web.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(web.URL, "https://")
	for address, want := range map[string]bool{
		"elasticsearch://" + host + "/es/?tls=true&ca=" + url.QueryEscape(ca): true, "https://" + host + "/es?ca=" + url.QueryEscape(ca): true, "https://" + host + "/es?insecure=true": true, "https://" + host + "/es": false,
	} {
		n, err := client(t, address).Count(t.Context(), "logs", nil)
		if (err == nil) != want || want && n != 4 {
			t.Errorf("%s: %d, %v", address, n, err)
		}
	}
}

func TestAddressesAreReadAndShownWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"elasticsearch://es": "http://es:9200", "opensearch://u:p@a:1,b/x/?tls=true": "https://a:1/x,https://b:9200/x", "https://es/": "https://es", "http://[::1]:9200": "http://[::1]:9200", "elasticsearch://[::1]": "http://[::1]:9200",
	} {
		a, err := elastic.ParseURL(address)
		if err != nil || a.String() != want || strings.Contains(fmt.Sprintf("%v %+v %#v", a, a, a), ":p@") {
			t.Errorf("%s is %v, %v; want %s", address, a, err, want)
		}
	}
	for address, want := range map[string]string{
		"redis://h": "no search server is known by this URL", "elasticsearch:///x": "names no host", "elasticsearch://h?tls=maybe": "neither true nor false", "elasticsearch://h?x=1": `has no parameter "x"`, "elasticsearch://h?timeout=0s": "no duration above 0",
		"elasticsearch://u:secret@h?api_key=k": "more than one of user, api_key and token", "elasticsearch://u:secret@h:x": "cannot be read", "elasticsearch://h?ca=/nope/x.pem": "certificates of the search server cannot be read",
	} {
		if _, err := elastic.ParseURL(address); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || tasks.HintOf(err) == "" {
			t.Errorf("%s: got %v, want %s", address, err, want)
		}
	}
}

func TestAPatternWithDatesNamesTheIndicesOfAWindow(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		pattern, start, end string
		extra               bool
		want                string
	}{
		{"logs-*", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", true, "logs-*"},
		{"logs-%Y.%m.%d", "2026-03-01T23:30:00Z", "2026-03-02T00:15:00Z", false, "logs-2026.03.01,logs-2026.03.02"},
		{"logs-%Y.%m.%d", "2026-03-01T01:30:00+02:00", "2026-03-01T03:00:00+02:00", false, "logs-2026.02.28,logs-2026.03.01"},
		{"logs-%Y.%m.%d", "2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z", true, "logs-2026.02.28,logs-2026.03.01"},
		{"logs-%Y.%m.%d.%H", "2026-03-01T22:30:00Z", "2026-03-02T00:00:00Z", false, "logs-2026.03.01.22,logs-2026.03.01.23,logs-2026.03.02.00"},
		{"logs-%Y.%m", "2026-02-27T00:00:00Z", "2026-03-02T00:00:00Z", false, "logs-2026.02,logs-2026.03"},
		{"logs-%Y.%m.%d-x", "2020-01-01T00:00:00Z", "2026-03-02T00:00:00Z", false, "logs-*-x"},
	} {
		if got := elastic.Indices(c.pattern, at(c.start), at(c.end), c.extra); got != c.want {
			t.Errorf("%s from %s to %s is %s, want %s", c.pattern, c.start, c.end, got, c.want)
		}
	}
}

func TestDocumentsArePutInOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, elastictest.Options{})
	post := func(path, body string) string {
		res, err := http.Post(s.URL()+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(out)
		return fmt.Sprint(res.StatusCode, " ", string(text))
	}
	post("/logs/_doc/1", `{"a": 1}`)
	post("/_bulk", `{"index": {"_index": "logs", "_id": "2"}}`+"\n"+`{"a": 2}`+"\n"+`{"create": {"_index": "logs", "_id": "2"}}`+"\n"+`{"a": 3}`+"\n"+`{"delete": {"_index": "logs", "_id": "1"}}`+"\n")
	if got := post("/logs/_search?size=5", `{}`); !strings.Contains(got, `"_id":"2"`) || strings.Contains(got, `"_id":"1"`) || !strings.Contains(got, `"value":1`) {
		t.Errorf("the index has %s", got)
	}
	if got := post("/logs/_search", `{"from": 9000, "size": 1001}`); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "Result window is too large") {
		t.Errorf("beyond the window: %s", got)
	}
	if got := post("/_msearch", `{"index": "logs"}`+"\n"+`{"size": 0}`+"\n"+`{"index": "gone"}`+"\n{}\n"); !strings.Contains(got, `"status":200`) || !strings.Contains(got, "index_not_found_exception") {
		t.Errorf("several at once: %s", got)
	}
	if !strings.Contains(post("/_nope", ""), "no handler found") {
		t.Error("what is not known is answered")
	}
}
