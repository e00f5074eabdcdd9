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
