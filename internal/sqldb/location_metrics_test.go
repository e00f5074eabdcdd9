package sqldb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestAPrometheusIsAPlaceForMetricsAndNoDatabase(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"prometheus://h":                            "http://h:9090",
		"prometheus://h:80/prom/":                   "http://h:80/prom",
		"prometheus://me:se%2Fcret@h/prom?tls=true": "https://me:se%2Fcret@h:443/prom",
		"prometheus://h:9443?tls=skip-verify":       "https://h:9443",
		"prometheus://[::1]?tls=false":              "http://[::1]:9090",
	} {
		at, err := sqldb.ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		base, insecure := at.Metrics()
		if base != want || insecure != strings.Contains(url, "skip-verify") || at.IsDatabase() || at.Dialect != sqldb.Metrics || at.Scheme() != "prometheus" {
			t.Errorf("%s is %s, %v", url, base, insecure)
		}
		if text := fmt.Sprintf("%v %#v %s", at, at, at.Redacted()); strings.Contains(text, "cret") {
			t.Errorf("the password is in %s", text)
		}
	}
	one, _ := sqldb.ParseURL("prometheus://H")
	other, _ := sqldb.ParseURL("prometheus://u:p@h:9090/")
	if one.ID() != other.ID() {
		t.Error("the same server is taken for two")
	}
	for url, want := range map[string]string{"prometheus:": "names no host", "prometheus:h:9090": "names no host", "prometheus://h?tls=maybe": "says tls=maybe",
		"prometheus://h?timeout=3": "is not known", "prometheus://:se cret@h": "cannot be read"} {
		if _, err := sqldb.ParseURL(url); err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if at, err := sqldb.ParseURL("sqlite:x.db"); err != nil {
		t.Error(err)
	} else if base, _ := at.Metrics(); base != "" {
		t.Errorf("an SQLite file is a Prometheus: %s", base)
	}
	if _, err := sqldb.ParseURL("promethues://h"); err == nil || !strings.Contains(tasks.HintOf(err), "did you mean prometheus") {
		t.Errorf("a typo: %v", err)
	}
}

func TestASearchServerIsAPlaceForEventsAndNoDatabase(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for url, want := range map[string]string{
		"elasticsearch://me:secret@a:9200,B:9200/x?api_key=secret": "elasticsearch://me@a:9200,b:9200/x",
		"elasticsearch://b:9200,a:9200/x/":                         "elasticsearch://b:9200,a:9200/x/",
		"opensearch://h?token=secret":                              "opensearch://h",
	} {
		at, err := sqldb.ParseURL(url)
		if err != nil || at.Redacted() != want || at.IsDatabase() || at.Dialect != sqldb.Search || strings.Contains(fmt.Sprintf("%v %#v", at, at), "secret") {
			t.Errorf("%s: %v, %v", url, at, err)
		}
		ids[at.ID()] = true
	}
	if len(ids) != 2 {
		t.Errorf("the places are %v", ids)
	}
	for _, url := range []string{"elasticsearch:", "elasticsearch:h", "opensearch://", "opensearch://a,", "elasticsearch://:se cret@h"} {
		if _, err := sqldb.ParseURL(url); err == nil || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
