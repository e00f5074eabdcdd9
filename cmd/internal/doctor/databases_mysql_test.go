package doctor_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/doctor"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/mariadbtest"
)

func TestAMariaDBServerIsLookedAt(t *testing.T) {
	t.Parallel()
	t.Cleanup(mariadbtest.Stop) // the only test of this package that has one
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: t.TempDir(), Connections: config.Connections{{Name: "maria", URL: config.NewURL(mariadbtest.New(t))},
		{Name: "away", URL: config.NewURL("mysql://me@127.0.0.1:1/x")}}}}
	found := e.find()
	found.want(t, "connection maria", "reachable", doctor.OK, "MariaDB")
	found.want(t, "connection maria", "clock", doctor.OK, "agrees")
	found.want(t, "connection maria", "loss", doctor.Warning, "innodb_flush_log_at_trx_commit is 0")
	found.want(t, "connection maria", "rights", doctor.OK, "root@")
	found.want(t, "connection away", "reachable", doctor.Problem, "nothing accepts connections")
}
