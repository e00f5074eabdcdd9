package doctor_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/doctor"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/prometheustest"
)

func TestAPrometheusIsAskedWhetherItAnswers(t *testing.T) {
	t.Parallel()
	at := "prometheus://" + prometheustest.New(t, prometheustest.Options{})
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: t.TempDir(), Connections: config.Connections{{Name: "prom", URL: config.NewURL(at)},
		{Name: "away", URL: config.NewURL("prometheus://127.0.0.1:1")}, {Name: "prefix", URL: config.NewURL(at + "/gone")}}}}
	found := e.find()
	found.want(t, "connection prom", "reachable", doctor.OK, "it answers in")
	found.want(t, "connection away", "reachable", doctor.Problem, "no answer from")
	found.want(t, "connection prefix", "reachable", doctor.Problem, "has no API of a Prometheus")
}
