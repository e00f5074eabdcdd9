package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// verificationKind is the kind of the jobs that compare.
const verificationKind = "verification"

// compared is what the spec of a migration, or of a verification, says of what belongs together.
type compared struct {
	Source any            `json:"source"`
	Target any            `json:"target"`
	Plan   map[string]any `json:"plan"`
}

func comparedBy(spec json.RawMessage) (c compared) {
	_ = json.Unmarshal(spec, &c)                                                              // a spec that cannot be read names no databases
	for _, name := range []string{"name", "source", "target", "policy", "window", "verify"} { // what says nothing of the rows that come out
		delete(c.Plan, name)
	}
	return c
}

// sameDatabases reports whether two specs name the same source and target.
func (c compared) sameDatabases(other compared) bool {
	from, ok := c.Source.(string)
	to, _ := c.Target.(string)
	return ok && from != "" && to != "" && c.Source == other.Source && c.Target == other.Target
}

// proves reports whether a verification says something of a job: it is of the same tenant, of the same databases, and of the same plan
// unless it takes tables as they are.
func proves(verification, job *wire.Job) bool {
	v, of := comparedBy(verification.Spec), comparedBy(job.Spec)
	return verification.Kind == verificationKind && verification.Tenant == job.Tenant && v.sameDatabases(of) && (v.Plan == nil || reflect.DeepEqual(v.Plan, of.Plan))
}

// mayProve says what is wrong with the job that a verification names. One of another tenant is not there for the caller. A request that
// is sent again is not asked what has become of that job since.
func (a *API) mayProve(ctx context.Context, job tasks.Job) error {
	id := tasks.AboutJob(job.Spec)
	if job.Kind != verificationKind || id == "" || id == sqldb.AnyJob {
		return nil
	}
	kept, err := json.Marshal(job.Spec) // as the store writes it: JSON has two ways to write some signs
	if err != nil {
		return err
	}
	switch there, _, err := a.store.Job(ctx, job.ID); {
	case err == nil && bytes.Equal(there.Spec, kept):
		return nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	const hint = "name a migration that is still there, or write any_job: true in place of job"
	v, err := a.store.View(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !principalOf(ctx).sees(v.Tenant):
		return refused(http.StatusNotFound, hint, "body.spec.job: job %s: %v", id, store.ErrNotFound)
	case err != nil:
		return err
	case v.Tenant != job.Tenant:
		return invalid("body.spec.job", "submit the verification for the tenant of the job", "job %s is of the tenant %q, and the verification of %q", id, v.Tenant, job.Tenant)
	case !comparedBy(job.Spec).sameDatabases(comparedBy(v.Spec)):
		return invalid("body.spec.job", "write source and target as GET /v1/jobs/"+id+" has them, or any_job: true in place of job", "job %s is of another source or target", id)
	}
	return nil
}
