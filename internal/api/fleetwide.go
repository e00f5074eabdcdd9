package api

import (
	"net/http"

	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/builder"
	"github.com/stint-run/stint/tasks/cleanup"
)

// fleetwide are the kinds of jobs that are about all tenants, and what does each of them by itself: rules are everybody's, and people are
// told; old jobs and old builds are removed, whosever they are.
var fleetwide = map[string]string{
	alert.Kind:            "the schedule " + alert.Kind + "s evaluates rules by itself; have somebody do it who has that role",
	cleanup.Kind:          "the schedule cleanup removes old jobs by itself; have somebody do it who has that role",
	builder.KindRetention: "have somebody do it, or make a schedule for it, who has that role",
}

// mayBeFleetwide says what is wrong when the caller may not submit jobs of a kind, retry them or have a schedule do so, since that is about
// all tenants.
func mayBeFleetwide(p principal, kind string) error {
	hint, is := fleetwide[kind]
	switch {
	case !is:
		return nil
	case !p.role.allows(operator):
		return refused(http.StatusForbidden, hint, "a job of kind %s needs the role %s; the token %q has the role %s", kind, operator, p.Name, p.role)
	case p.Tenants != nil:
		return refused(http.StatusForbidden, "use a token that is not of single tenants", "jobs of kind %s are about all tenants; the token %q is for %s alone", kind, p.Name, list(p.Tenants))
	}
	return nil
}
