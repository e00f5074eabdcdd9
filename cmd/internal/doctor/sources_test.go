package doctor_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/doctor"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/firebirdtest"
)

func TestAFirebirdServerIsLookedAt(t *testing.T) {
	t.Parallel()
	t.Cleanup(firebirdtest.Stop) // the only test of this package that has one
	none, utf8 := firebirdtest.New(t), firebirdtest.New(t, "DEFAULT CHARACTER SET UTF8")
	e := &examined{t: t, now: time.Now, config: &config.Config{Data: t.TempDir(), Connections: config.Connections{
		{Name: "none", URL: config.NewURL(none)}, {Name: "said", URL: config.NewURL(none + "?charset=WIN1252")}, {Name: "utf8", URL: config.NewURL(utf8)},
		{Name: "away", URL: config.NewURL("firebird://me@127.0.0.1:1/x")}, {Name: "other", URL: config.NewURL("sqlserver://me@127.0.0.1:1?database=x")}}}}
	found := e.find()
	found.want(t, "connection none", "reachable", doctor.OK, "Firebird 3.0")
	found.want(t, "connection none", "text", doctor.Warning, "character set is NONE")
	found.want(t, "connection none", "rights", doctor.OK, "SYSDBA")
	found.want(t, "connection said", "text", doctor.OK, "text of NONE is read as WIN1252")
	found.want(t, "connection utf8", "text", doctor.OK, "character set is UTF8")
	found.want(t, "connection away", "reachable", doctor.Problem, "nothing accepts connections")
	found.want(t, "connection other", "reachable", doctor.Problem, "nothing accepts connections")
}
