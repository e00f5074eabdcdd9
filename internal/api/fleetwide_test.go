package api

import (
	"slices"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks/all"
)

// tenantwise are the kinds of jobs that are about what their own tenant has: of all others fleetwide says who may.
var tenantwise = []string{"migration", "verification", "catch-up", "build", "dedupe", "deletion", "restoration"}

// A new family has to say which of both it is.
func TestEachKindOfJobIsAboutAllTenantsOrAboutItsOwn(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, f := range all.Families(all.Options{}) {
		known[f.Kind()] = true
		if _, is := fleetwide[f.Kind()]; is == slices.Contains(tenantwise, f.Kind()) {
			t.Errorf("a %s is about all tenants, or about its own: write it into fleetwide, or into tenantwise", f.Kind())
		}
	}
	for kind := range fleetwide {
		if !known[kind] {
			t.Errorf("there is no kind %s, which fleetwide has", kind)
		}
	}
	for _, kind := range tenantwise {
		if !known[kind] {
			t.Errorf("there is no kind %s, which tenantwise has", kind)
		}
	}
}

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
