package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/internal/strftime"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// both are the two sources of the same documents: in memory, and over HTTP.
func both(t *testing.T, docs []docsearch.Document) (map[string]*source.Documents, *elastictest.Server) {
	t.Helper()
	s, err := elastictest.Start(elastictest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Add(docs...)
	a, err := elastic.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	c, err := elastic.New(a, elastic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return map[string]*source.Documents{"memory": source.NewEvents(source.Events{Documents: docs}), "http": source.NewElastic(c)}, s
}

// number writes a number as documents have it.
func number(n int) json.Number { return json.Number(fmt.Sprint(n)) }

// logs are documents, one each ten seconds after midnight.
func logs(n int) []docsearch.Document {
	docs := make([]docsearch.Document, n)
	for i := range docs {
		at := midnight.Add(time.Duration(i+1) * 10 * time.Second)
		docs[i] = docsearch.Document{Index: "logs-" + at.Format("2006.01.02"), ID: fmt.Sprintf("e%04d", i), Source: map[string]any{
			"@timestamp": at.Format(time.RFC3339), "host": map[string]any{"name": fmt.Sprintf("h%d", i%7)}, "ms": number(i % 100), "user": fmt.Sprintf("u%d", i%40), "message": fmt.Sprintf("request %d done", i)}}
	}
	return docs
}

func term(field string, value any) map[string]any {
	return map[string]any{"term": map[string]any{field: value}}
}

// window is a query of an hour.
func window(filter ...map[string]any) source.Query {
	return source.Query{Index: "logs-*", Filter: filter, Field: "@timestamp", Type: source.ISO, Start: midnight, End: midnight.Add(time.Hour)}
}

// search returns the ids of what is found.
func search(ctx context.Context, s source.Source, q source.Query) (string, source.Found, error) {
	var ids []string
	found, err := s.Search(ctx, q, func(hits []source.Hit) error {
		for _, h := range hits {
			ids = append(ids, h.ID)
		}
		return nil
	})
	return strings.Join(ids, " "), found, err
}

func TestAWindowHasWhatIsAfterItsStartUpToItsEnd(t *testing.T) {
	t.Parallel()
	sources, server := both(t, logs(1000))
	for name, s := range sources {
		q := window()
		q.Start, q.End = midnight.Add(10*time.Second), midnight.Add(40*time.Second)
		ids, found, err := search(t.Context(), s, q)
		if err != nil || ids != "e0001 e0002 e0003" || found != (source.Found{New: 3}) {
			t.Errorf("%s: %s %+v %v", name, ids, found, err)
		}
		q.Known = midnight.Add(30 * time.Second)
		ids, found, err = search(t.Context(), s, q)
		if err != nil || ids != "e0003" || found != (source.Found{Known: 2, New: 1}) {
			t.Errorf("%s, with what is known: %s %+v %v", name, ids, found, err)
		}
		if n, err := s.Count(t.Context(), q); err != nil || n != 3 {
			t.Errorf("%s counts %d, %v", name, n, err)
		}
	}
	if n := server.Requests("search"); n != 2 {
		t.Errorf("two windows took %d searches", n)
	}
}

func TestTheBordersOfAWindowAreExactToTheMillisecond(t *testing.T) {
	t.Parallel()
	var docs []docsearch.Document
	for _, at := range []string{"00:01:00Z", "00:01:00.001Z", "00:01:00.999Z", "00:02:00.000Z", "00:02:00.500Z"} {
		docs = append(docs, docsearch.Document{Index: "logs-x", ID: at, Source: map[string]any{"@timestamp": "2026-03-01T" + at}})
	}
	sources, _ := both(t, docs)
	for name, s := range sources {
		q := window()
		q.Start, q.End = midnight.Add(time.Minute), midnight.Add(2*time.Minute)
		if ids, _, err := search(t.Context(), s, q); err != nil || ids != "00:01:00.001Z 00:01:00.999Z 00:02:00.000Z" {
			t.Errorf("%s: %s, %v", name, ids, err)
		}
	}
}

func TestEventsAreGivenAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	docs := logs(3)
	sources, _ := both(t, docs)
	for name, s := range sources {
		q := window(map[string]any{"query": map[string]any{"query_string": map[string]any{"query": "host.name:h1"}}})
		q.Include = []string{"host.name"}
		_, err := s.Search(t.Context(), q, func(hits []source.Hit) error {
			want := source.Hit{ID: "e0001", Index: "logs-2026.03.01", At: midnight.Add(20 * time.Second), Doc: map[string]any{"_id": "e0001", "_index": "logs-2026.03.01",
				"@timestamp": "2026-03-01T00:00:20Z", "host": map[string]any{"name": "h1"}}}
			if len(hits) != 1 || !hits[0].At.Equal(want.At) || !reflect.DeepEqual(hits[0].Doc, want.Doc) || hits[0].ID != want.ID || hits[0].Index != want.Index {
				t.Errorf("%s gives %+v", name, hits)
			}
			hits[0].Doc["host"].(map[string]any)["name"] = "changed"
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if docs[1].Source["host"].(map[string]any)["name"] != "h1" || docs[1].Source["_id"] != nil {
		t.Errorf("the document has become %v", docs[1].Source)
	}
}

func TestTimesAreReadAndAskedForInEachForm(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 0, 0, 500_000_000, time.UTC)
	for _, c := range []struct {
		kind, format string
		value        any
		want         string
	}{
		{"", "", "2026-03-01T00:00:00.500Z", "2026-03-01T00:00:00.500Z"}, {source.ISO, "", "2026-03-01T02:00:00.500+02:00", "2026-03-01T02:00:00.500000+02:00"}, {source.ISO, "", "2026-03-01T00:00:00.500123Z", "2026-03-01T00:00:00.500123Z"},
		{source.Unix, "", number(int(at.Unix())), "2026-03-01T00:00:00Z"}, {source.UnixMS, "", number(int(at.UnixMilli())), "2026-03-01T00:00:00.500Z"}, {source.ISO, "", number(int(at.UnixMilli())), "2026-03-01T00:00:00.500Z"},
		{source.Custom, "%Y-%m-%d %H:%M:%S", strftime.Format(at, "%Y-%m-%d %H:%M:%S"), "2026-03-01T00:00:00Z"}, {source.Custom, "%d/%b/%Y:%H:%M:%S.%f %z", "01/Mar/2026:02:00:00.5 +0200", "2026-03-01T02:00:00.500000+02:00"},
	} {
		s := source.NewEvents(source.Events{Documents: []docsearch.Document{{Source: map[string]any{"meta": map[string]any{"at": c.value}}}}})
		q := source.Query{Field: "meta.at", Type: c.kind, Format: c.format, Start: at.Add(-time.Minute), End: at.Add(time.Second)}
		got := ""
		_, err := s.Search(t.Context(), q, func(hits []source.Hit) error {
			got, _ = hits[0].Doc["meta"].(map[string]any)["at"].(string)
			return nil
		})
		if err != nil || got != c.want {
			t.Errorf("%v as %s is %q, want %q: %v", c.value, c.kind, got, c.want, err)
		}
		q.Start, q.End = at.Add(time.Second), at.Add(time.Minute)
		if n, err := s.Count(t.Context(), q); err != nil || n != 0 {
			t.Errorf("%v as %s is in the next window too: %d, %v", c.value, c.kind, n, err)
		}
	}
	for _, q := range []source.Query{{Type: "julian"}, {Type: source.Custom, Format: "%V"}} {
		if _, err := source.NewEvents(source.Events{}).Count(t.Context(), q); !tasks.IsPermanent(err) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestTermsAreAllThereOrAnError(t *testing.T) {
	t.Parallel()
	docs := logs(300)
	for i := range 10_050 {
		docs = append(docs, docsearch.Document{Index: "many", ID: fmt.Sprint(i), Source: map[string]any{"@timestamp": "2026-03-01T00:10:00Z", "k": fmt.Sprintf("k%05d", i)}})
	}
	docs = append(docs, docsearch.Document{Index: "many", ID: "more", Source: map[string]any{"@timestamp": "2026-03-01T00:10:00Z", "k": "k00007"}})
	sources, _ := both(t, docs)
	for name, s := range sources {
		buckets, err := s.Terms(t.Context(), window(), "host.name.keyword", 43, 50)
		if err != nil || len(buckets) != 6 || buckets[0].Count != 43 || buckets[0].Key != "h0" {
			t.Errorf("%s: %v, %v", name, buckets, err)
		}
		if _, err := s.Terms(t.Context(), window(), "host.name.keyword", 1, 6); err == nil || !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("%s gives more values than the limit: %v", name, err)
		}
		q := window()
		q.Index = "many"
		all, err := s.Terms(t.Context(), q, "k.keyword", 1, 20_000)
		if err != nil || len(all) != 10_050 || all[0] != (source.Bucket{Key: "k00007", Count: 2}) {
			t.Errorf("%s: %d values, %v", name, len(all), err)
		}
	}
}

func TestAMetricPerValueIsOfAllValues(t *testing.T) {
	t.Parallel()
	sources, _ := both(t, logs(300))
	for name, s := range sources {
		aggs := map[string]any{"bucket_aggs": map[string]any{"terms": map[string]any{"field": "user.keyword", "size": 5}, "aggs": map[string]any{"m": map[string]any{"avg": map[string]any{"field": "ms"}}}}}
		answer, n, err := s.Aggregate(t.Context(), window(), aggs)
		if err != nil || n != 300 || len(answer["bucket_aggs"].(map[string]any)["buckets"].([]any)) != 40 {
			t.Errorf("%s: %d events, %v, %v", name, n, answer, err)
		}
		if size := aggs["bucket_aggs"].(map[string]any)["terms"].(map[string]any)["size"]; size != 5 {
			t.Errorf("the aggregation that was passed has been changed: %v", size)
		}
	}
}

func TestEventsOfAReplayAreSeenFromWhenTheyWereIndexed(t *testing.T) {
	t.Parallel()
	now := midnight
	docs := logs(3)
	docs[2].Source["_indexed_at"] = "2026-03-01T00:05:00Z"
	s := source.NewEvents(source.Events{Documents: docs, Now: func() time.Time { return now }, Visible: func(d docsearch.Document) bool {
		text, _ := d.Source["_indexed_at"].(string)
		at, ok := docsearch.ParseTime(text)
		return !ok || !at.After(now)
	}})
	for _, at := range []struct {
		minute time.Duration
		want   int64
	}{{1, 2}, {5, 3}} {
		now = midnight.Add(at.minute * time.Minute)
		if n, err := s.Count(t.Context(), window()); err != nil || n != at.want {
			t.Errorf("at minute %d there are %d, %v", at.minute, n, err)
		}
	}
	if n, err := s.Count(t.Context(), window(map[string]any{"range": map[string]any{"@timestamp": map[string]any{"gt": "now-280s"}}})); err != nil || n != 1 {
		t.Errorf("by date math there are %d, %v", n, err)
	}
}

// randomQuery returns a query over the fields of logs.
func randomQuery(r *rand.Rand, deep int) map[string]any {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	user := fmt.Sprintf("u%d", r.IntN(45))
	switch n := r.IntN(9 + 2*min(1, deep)); n {
	case 0:
		return term(pick("user", "user.keyword", "host.name.keyword", "nope"), pick(user, "h1", "U1"))
	case 1:
		return map[string]any{"terms": map[string]any{"user.keyword": []any{user, "u3", "u4"}}}
	case 2:
		return map[string]any{"range": map[string]any{"ms": map[string]any{pick("gt", "gte"): r.IntN(100), pick("lt", "lte"): r.IntN(200)}}}
	case 3:
		return map[string]any{"exists": map[string]any{"field": pick("user", "host", "nope")}}
	case 4:
		return map[string]any{"match": map[string]any{"message": fmt.Sprintf("%s %d", pick("request", "nothing"), r.IntN(300))}}
	case 5:
		return map[string]any{pick("prefix", "wildcard", "regexp"): map[string]any{"user": pick("u1", "u1.*", "u*", "u?")}}
	case 6, 7:
		return map[string]any{"query_string": map[string]any{"query": fmt.Sprintf(pick(`user:%s OR message:"request %d"`, `NOT user:%s AND ms:<%d`, `user:(%s OR u1) AND ms:[%d TO *]`, `-user:%s +ms:>=%d`), user, r.IntN(100))}}
	case 8:
		return map[string]any{"match_phrase": map[string]any{"message": fmt.Sprintf("request %d", r.IntN(300))}}
	}
	parts := map[string]any{}
	for _, k := range []string{"filter", "must_not", "should"} {
		for range r.IntN(3) {
			list, _ := parts[k].([]any)
			parts[k] = append(list, randomQuery(r, deep-1))
		}
	}
	return map[string]any{"bool": parts}
}

func FuzzOverHTTPTheAnswersAreThoseOfMemory(f *testing.F) {
	docs := logs(300)
	s, err := elastictest.Start(elastictest.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	s.Add(docs...)
	c, err := elastic.New(elastic.Address{Hosts: []string{s.URL()}}, elastic.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	http, memory := source.NewElastic(c), source.NewEvents(source.Events{Documents: docs})
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := window(randomQuery(r, 3))
		q.Start = midnight.Add(time.Duration(r.IntN(3000)) * time.Second)
		q.End, q.Known, q.PageSize = q.Start.Add(time.Duration(r.IntN(2000))*time.Second), q.Start.Add(time.Duration(r.IntN(1000)-300)*time.Second), 1+r.IntN(100)
		aggs := map[string]any{"t": map[string]any{"terms": map[string]any{"field": "host.name.keyword", "size": 1 + r.IntN(8)}, "aggs": map[string]any{
			"h": map[string]any{"date_histogram": map[string]any{"field": "@timestamp", "fixed_interval": "5m", "offset": "+17s"}, "aggs": map[string]any{"p": map[string]any{"percentiles": map[string]any{"field": "ms", "percents": []float64{50, 95}}}}},
			"a": map[string]any{"avg": map[string]any{"field": "ms"}}, "c": map[string]any{"cardinality": map[string]any{"field": "user.keyword"}}, "s": map[string]any{"extended_stats": map[string]any{"field": "ms"}}}}}
		told := func(s *source.Documents) []string {
			ids, found, err := search(t.Context(), s, q)
			n, err2 := s.Count(t.Context(), q)
			buckets, err3 := s.Terms(t.Context(), q, "user.keyword", 1, 100)
			answer, events, err4 := s.Aggregate(t.Context(), q, aggs)
			text, _ := json.Marshal(answer)
			return []string{ids, fmt.Sprint(found, err, n, err2), fmt.Sprint(buckets, err3), fmt.Sprint(string(text), events, err4)}
		}
		if a, b := told(memory), told(http); !slices.Equal(a, b) {
			t.Errorf("%v\nin memory %q\nover HTTP %q", q.Filter, a, b)
		}
	})
}
