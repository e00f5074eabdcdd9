package api

import (
	"testing"

	"github.com/stint-run/stint/client/wire"
)

// What is about all tenants is done by who may see all of them, and is an operator: rules, and the removal of old jobs and builds.
func TestAJobAboutAllTenantsIsForOperatorsOfAllOfThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		who  principal
		want bool
	}{
		"a submitter":              {principal{role: submitter}, false},
		"a submitter of a tenant":  {principal{Token: wire.Token{Tenants: []string{"acme"}}, role: submitter}, false},
		"an operator of a tenant":  {principal{Token: wire.Token{Tenants: []string{"acme"}}, role: operator}, false},
		"an operator of the fleet": {principal{role: operator}, true},
	} {
		for _, kind := range []string{"alert", "cleanup", "build-retention"} {
			if err := mayBeFleetwide(c.who, kind); (err == nil) != c.want {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
		if err := mayBeFleetwide(c.who, "migration"); err != nil {
			t.Errorf("%s, migration: %v", name, err)
		}
	}
}
