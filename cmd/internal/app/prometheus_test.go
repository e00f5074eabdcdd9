package app

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestAPrometheusIsReachedAsItsConnectionSays(t *testing.T) {
	t.Parallel()
	at, err := sqldb.ParseURL("prometheus://me:s3cret@h/prom?tls=skip-verify")
	if err != nil {
		t.Fatal(err)
	}
	got, err := PrometheusConnection(at, config.APIAccess{Headers: config.NewSecret("X-Scope-OrgID: us"), Token: config.NewSecret("t0ken"), Header: "X-Key"})
	want := promsource.Connection{URL: "https://me:s3cret@h:443/prom", Insecure: true, Token: "t0ken", Header: "X-Key", Headers: map[string]string{"X-Scope-OrgID": "us"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := PrometheusConnection(at, config.APIAccess{CA: "gone.pem"}); err == nil || !strings.Contains(err.Error(), "ca") {
		t.Errorf("a file that is not there: %v", err)
	}
	other, err := sqldb.ParseURL("https://h")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PrometheusConnection(other, config.APIAccess{}); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("an API: %v", err)
	}
}
