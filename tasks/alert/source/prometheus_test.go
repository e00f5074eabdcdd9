package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/prometheustest"
	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// prometheus makes a source of a server with these samples.
func prometheus(t *testing.T, metrics string) source.Source {
	t.Helper()
	client, err := promsource.New(promsource.Connection{URL: "http://" + prometheustest.New(t, prometheustest.Options{Metrics: metrics})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return source.NewPrometheus(client)
}

func TestSamplesOfPrometheusAreEventsWithTheirLabels(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# TYPE load gauge\n")
	for i := range 40 { // ten minutes
		at := t0.Unix() + int64(15*i)
		fmt.Fprintf(&b, "load{job=\"api\",instance=\"a\"} %d %d\n", i, at)
		fmt.Fprintf(&b, "load{job=\"db\",instance=\"b\",value=\"v\"} 0.5 %d\n", at)
	}
	src := prometheus(t, b.String()+"# EOF\n")
	q := source.Query{Text: "load", Field: "@timestamp", Start: t0, End: t0.Add(time.Minute), Step: 15 * time.Second, Type: "iso"}
	hits := searchAll(t, src, q)
	if len(hits) != 8 {
		t.Fatalf("%d hits", len(hits))
	}
	docs := map[any]map[string]any{}
	for _, h := range hits[:2] {
		docs[h.Doc["job"]] = h.Doc
		delete(h.Doc, "_id")
	}
	want := map[any]map[string]any{
		"api": {"__name__": "load", "job": "api", "instance": "a", "value": json.Number("1"), "@timestamp": "2026-03-01T12:00:15Z"},
		"db":  {"__name__": "load", "job": "db", "instance": "b", "exported_value": "v", "value": json.Number("0.5"), "@timestamp": "2026-03-01T12:00:15Z"},
	}
	if !reflect.DeepEqual(docs, want) {
		t.Errorf("the documents are %v", docs)
	}
	ids := map[string]bool{}
	for _, h := range hits {
		ids[h.ID] = true
	}
	if again := searchAll(t, src, q); len(ids) != 8 || again[3].ID != hits[3].ID {
		t.Errorf("the ids are %v", ids)
	}
	ctx := context.Background()
	q.End = t0.Add(5 * time.Minute)
	q.Filter = []map[string]any{{"range": map[string]any{"value": map[string]any{"gte": json.Number("10")}}}}
	if n, err := src.Count(ctx, q); err != nil || n != 11 {
		t.Errorf("values of 10 and more: %d, %v", n, err)
	}
	q.Filter = nil
	if terms, err := src.Terms(ctx, q, "job", 1, 5); err != nil || !reflect.DeepEqual(terms, []source.Bucket{{Key: "api", Count: 20}, {Key: "db", Count: 20}}) {
		t.Errorf("the terms are %v, %v", terms, err)
	}
	answer, n, err := src.Aggregate(ctx, q, map[string]any{"m": map[string]any{"max": map[string]any{"field": "value"}}})
	if err != nil || n != 40 || fmt.Sprint(answer) != "map[m:map[value:20]]" && fmt.Sprint(answer) != "map[m:map[value:20.0]]" {
		t.Errorf("the metric is %v of %d, %v", answer, n, err)
	}
	q.Known = t0.Add(4 * time.Minute)
	if rest, found := searched(t, src, q); len(rest) != 8 || found.Known != 32 {
		t.Errorf("after what is known: %d hits, %+v", len(rest), found)
	}
	q.Text = "load{"
	if _, err := src.Count(ctx, q); !tasks.IsPermanent(err) {
		t.Errorf("a query that is none: %v", err)
	}
	q.Text = ""
	if _, err := src.Count(ctx, q); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("no query: %v", err)
	}
}

func TestValuesThatJSONDoesNotHaveAreSaidInWords(t *testing.T) {
	t.Parallel()
	src := prometheus(t, "")
	for query, want := range map[string][2]any{"vector(0)/0": {nil, "NaN"}, "vector(1)/0": {json.Number("1e300"), "+Inf"}, "vector(-1)/0": {json.Number("-1e300"), "-Inf"},
		"vector(0.1)": {json.Number("0.1"), nil}} {
		hits := searchAll(t, src, source.Query{Text: query, Field: "@timestamp", Start: t0, End: t0.Add(15 * time.Second)})
		if len(hits) != 1 || hits[0].Doc["value"] != want[0] || hits[0].Doc["value_text"] != want[1] {
			t.Errorf("%s: %v", query, hits)
			continue
		}
		if _, err := json.Marshal(hits[0].Doc); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestTheStepOfARuleInAHurryIsItsOwn(t *testing.T) {
	t.Parallel()
	for every, want := range map[time.Duration]time.Duration{0: 15 * time.Second, time.Minute: 15 * time.Second, 5 * time.Second: 5 * time.Second, time.Microsecond: time.Millisecond} {
		if got := source.StepFor(every); got != want {
			t.Errorf("every %v: a step of %v, want %v", every, got, want)
		}
	}
}
