package source_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/tasks/alert/source"
)

// tables returns the behaviour tables of the original, which lie beside the repository where they are to be had.
func tables(t *testing.T) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		found, err := filepath.Glob(filepath.Join(dir, "shared", "vectors", "alerts", "engine__*.json"))
		if err == nil && len(found) > 0 {
			return found
		}
	}
	t.Skip("there are no behaviour tables here")
	return nil
}

// table is what a test of queries needs of a behaviour table.
type table struct {
	Rule         map[string]any   `json:"rule"`
	Events       []map[string]any `json:"events"`
	ExpectedRuns []struct {
		Now     string `json:"now"`
		Queries []struct {
			Kind string `json:"kind"`
			GT   string `json:"gt"`
			LTE  string `json:"lte"`
			Hits int64  `json:"hits"`
		} `json:"queries"`
	} `json:"expected_runs"`
}

func TestTheQueriesOfTheTablesFindAsManyAsTheOriginalsDid(t *testing.T) {
	t.Parallel()
	s, err := elastictest.Start(elastictest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := elastic.New(elastic.Address{Hosts: []string{s.URL()}}, elastic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	asked := 0
	for _, file := range tables(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v table
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		var filter []map[string]any
		if v.Rule["type"] == "whitelist" {
			var words []string
			for _, w := range v.Rule["whitelist"].([]any) {
				words = append(words, fmt.Sprintf("%s:%q", v.Rule["compare_key"], w))
			}
			filter = append(filter, map[string]any{"query_string": map[string]any{"query": "NOT (" + strings.Join(words, " OR ") + ")"}})
		}
		for n, run := range v.ExpectedRuns {
			now := tableMoment(t, run.Now)
			index := fmt.Sprintf("%s-%d", strings.ToLower(strings.TrimSuffix(filepath.Base(file), ".json")), n)
			var docs []docsearch.Document
			for i, e := range v.Events {
				id, _ := e["_id"].(string)
				if indexed, ok := e["_indexed_at"].(string); ok && tableMoment(t, indexed).After(now) {
					continue
				}
				docs = append(docs, docsearch.Document{Index: index, ID: fmt.Sprint(id, i), Source: e})
			}
			s.Add(docs...)
			for name, src := range map[string]source.Source{"memory": source.NewEvents(source.Events{Documents: docs}), "http": source.NewElastic(c)} {
				for _, q := range run.Queries {
					if q.Kind != "search" {
						continue
					}
					asked++
					got, err := src.Count(t.Context(), source.Query{Index: index, Filter: filter, Field: "@timestamp", Start: tableMoment(t, q.GT), End: tableMoment(t, q.LTE)})
					if err != nil || got != q.Hits {
						t.Errorf("%s, %s, run %d: (%s, %s] has %d, want %d: %v", filepath.Base(file), name, n, q.GT, q.LTE, got, q.Hits, err)
					}
				}
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d queries were asked", asked)
	}
}

func tableMoment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
