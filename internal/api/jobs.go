package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// aliases are paths under which jobs of one kind are submitted, without naming it.
var aliases = map[string]string{"migration": "/v1/migrations", "verification": "/v1/verifications", "dedupe": "/v1/dedupes", "build": "/v1/builds"}

type submitInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"300" doc:"The same key stands for the same job: sending it again makes no second one"`
	Body wire.Submission
}

type submitOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"true when the job was there already; else left out"`
	Body     wire.Submitted
}

// submitted answers a submission.
func submitted(done *wire.Submitted, err error) (*submitOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	out := &submitOutput{Location: "/v1/jobs/" + done.ID, Body: *done}
	if done.Outcome != wire.OutcomeCreated {
		out.Replayed = "true"
	}
	return out, nil
}

func (a *API) jobRoutes() {
	look, submit := needs{role: viewer}, needs{role: submitter}
	post := func(path, id, summary, kind string) {
		op := a.route(submit, http.MethodPost, path, id, summary, "Writes the job and answers; workers carry it out. With an Idempotency-Key the same request may be sent any number of times, from anywhere: it stands for one job. Another body under the same key is a conflict.")
		op.DefaultStatus = http.StatusAccepted
		op.Errors = append(op.Errors, http.StatusConflict)
		huma.Register(a.huma, op, func(ctx context.Context, in *submitInput) (*submitOutput, error) {
			if kind != "" {
				in.Body.Kind = kind
			}
			return submitted(a.submit(ctx, in.Key, in.Body))
		})
	}
	post("/v1/jobs", "submit-job", "Submit a job", "")
	for kind := range a.families {
		if path := aliases[kind]; path != "" {
			post(path, "submit-"+kind, "Submit a "+kind, kind)
		}
	}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/jobs", "list-jobs", "List jobs, newest first", "A page may be short and still have a next one: filters leave jobs out."), a.listJobs)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/jobs/{id}", "get-job", "Show a job", "Its ETag names its state and which run of it this is; send it as If-Match to act on what you have seen."), a.getJob)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/jobs/counts", "count-jobs", "Count jobs by kind and state", "Those that have not ended, and those that have of the newest 1000."), a.countJobs)
	a.reportRoute()
	a.outputRoutes()
	a.logRoutes()
	a.buildRoutes()
	huma.Register(a.huma, a.route(needs{role: viewer, long: true}, http.MethodGet, "/v1/jobs/{id}/rejects", "list-rejects", "List what a job has set aside", "In the form of its family."), a.listRejects)
	huma.Register(a.huma, a.route(needs{role: submitter, long: true}, http.MethodPost, "/v1/drafts", "draft-job", "Say what a job would do", "Reads what it needs to; writes nothing."), a.draft)
	for _, v := range []struct {
		verb    store.Verb
		summary string
	}{
		{store.Pause, "Hand out nothing more of a job"}, {store.Resume, "Go on with a paused job"},
		{store.Cancel, "Stop a job for good"}, {store.Retry, "Try again what failed for good"}, {store.Restart, "Begin a job anew that has ended"},
	} {
		op := a.route(submit, http.MethodPost, "/v1/jobs/{id}/"+string(v.verb), string(v.verb)+"-job", v.summary, "A conflict when the job is in no state for it.")
		op.Errors = append(op.Errors, http.StatusConflict, http.StatusPreconditionFailed)
		huma.Register(a.huma, op, func(ctx context.Context, in *controlInput) (*controlOutput, error) { return a.control(ctx, v.verb, in) })
	}
}

// submit writes a job. It is on its way when this returns, whatever dies afterwards.
func (a *API) submit(ctx context.Context, key string, s wire.Submission) (done *wire.Submitted, err error) {
	ctx, span := a.traceSubmission(ctx)
	job, err := a.jobOf(ctx, key, s)
	if err == nil {
		done, err = a.accept(ctx, key, s, job)
	}
	endSubmission(span, job, done, err)
	return done, err
}

// accept writes a job that was checked.
func (a *API) accept(ctx context.Context, key string, s wire.Submission, job tasks.Job) (*wire.Submitted, error) {
	if key != "" {
		// The id follows from kind, tenant and key; a key that stands for another kind's job was used for something else.
		there, err := a.store.Remember(ctx, job.Tenant, key, job.ID)
		if err != nil {
			return nil, err
		}
		if there != job.ID {
			return nil, refused(http.StatusConflict, "use a key of its own for each request", "this Idempotency-Key stands for job %s", there)
		}
	}
	h, created, err := a.store.CreateBy(ctx, job, principalOf(ctx).Name)
	if errors.Is(err, store.ErrConflict) {
		if !s.Continue {
			return nil, refused(http.StatusConflict, "use a key of its own for each request, or send what was sent before", "job %s was submitted with another body under this Idempotency-Key", job.ID)
		}
		return a.adapt(ctx, job)
	}
	if err != nil {
		return nil, err
	}
	a.hand(h)
	done := &wire.Submitted{ID: job.ID, State: tasks.State(h.State), Outcome: wire.OutcomeExists, Held: h.Held}
	switch {
	case created:
		done.Outcome = wire.OutcomeCreated
		return done, a.letIn(ctx, job, done)
	case s.Continue:
		return a.goOn(ctx, done)
	}
	v, err := a.store.View(ctx, job.ID)
	if err != nil {
		return nil, err
	}
	done.Held = v.Held
	return done, a.letIn(ctx, job, done)
}

// letIn starts a job at once that was put in line and finds room.
func (a *API) letIn(ctx context.Context, job tasks.Job, done *wire.Submitted) error {
	if done.Held != store.HeldByLimit {
		return nil
	}
	if err := a.admit(ctx, job.Tenant); err != nil {
		return err
	}
	v, err := a.store.View(ctx, job.ID)
	if err != nil {
		return err
	}
	done.Held = v.Held
	return nil
}

// admit lets in what a tenant's limit has room for.
func (a *API) admit(ctx context.Context, tenant string) error {
	limits, err := a.store.Limits(ctx)
	if err != nil {
		return err
	}
	list, err := a.store.Admit(ctx, tenant, limits.Of(tenant).RunningJobs)
	a.hand(list...)
	return err
}

// jobOf checks a submission and makes a job of it.
func (a *API) jobOf(ctx context.Context, key string, s wire.Submission) (tasks.Job, error) {
	f, err := a.family(s.Kind)
	if err != nil {
		return tasks.Job{}, err
	}
	if len(s.Spec) == 0 {
		return tasks.Job{}, invalid("body.spec", "docs/cli-json.md has the form of a spec", "is missing")
	}
	if err := noPassword("body", s.Spec, s.Labels); err != nil {
		return tasks.Job{}, err
	}
	if s.Tenant == store.AnyTenant {
		return tasks.Job{}, invalid("body.tenant", "leave it away, or name one", "* stands for all tenants that are not named")
	}
	if c, ok := f.(tasks.Checker); ok {
		if err := c.Check(s.Spec); err != nil {
			return tasks.Job{}, invalid("body.spec", tasks.HintOf(err), "%v", err)
		}
	}
	var spec bytes.Buffer
	if err := json.Compact(&spec, s.Spec); err != nil {
		return tasks.Job{}, invalid("body.spec", "", "%v", err)
	}
	p := principalOf(ctx)
	if s.Tenant == "" && len(p.Tenants) == 1 {
		s.Tenant = p.Tenants[0]
	}
	if !p.sees(s.Tenant) {
		return tasks.Job{}, refused(http.StatusForbidden, "submit for one of "+list(p.Tenants), "the token %q may not submit for the tenant %q", p.Name, s.Tenant)
	}
	if err := a.allowed(ctx, "body.spec", tasks.Job{Kind: s.Kind, Tenant: s.Tenant, Spec: spec.Bytes()}); err != nil {
		return tasks.Job{}, err
	}
	if err := mayBeFleetwide(p, s.Kind); err != nil {
		return tasks.Job{}, err
	}
	if err := approve(ctx, &s); err != nil {
		return tasks.Job{}, err
	}
	if err := a.notifying(ctx, &s); err != nil {
		return tasks.Job{}, err
	}
	if k, ok := f.(tasks.Keyer); ok && key == "" && s.Continue {
		if key, err = k.Key(tasks.Job{Kind: s.Kind, Tenant: s.Tenant, Spec: spec.Bytes()}); err != nil {
			return tasks.Job{}, err
		}
	}
	job := tasks.Job{ID: store.JobID(s.Kind, s.Tenant, key), Kind: s.Kind, Tenant: s.Tenant, Spec: spec.Bytes(), Labels: s.Labels, Priority: s.Priority, Window: s.Window, Queue: s.Queue, Trace: telemetry.Inject(ctx)}
	if s.Policy != nil {
		job.Policy = *s.Policy
	}
	return job, a.mayProve(ctx, job)
}

// allowed says what is wrong when a job may not use the connections that its spec names.
func (a *API) allowed(ctx context.Context, place string, job tasks.Job) error {
	if a.o.Allow == nil {
		return nil
	}
	if err := a.o.Allow(job, principalOf(ctx).Tenants != nil); err != nil {
		return invalid(place, tasks.HintOf(err), "%v", err)
	}
	return nil
}

// adapt goes on with a job that was asked for in other words. What differs changes nothing in the sink's ledger, so one that has
// ended may take the new words; one that runs keeps its own when only the window differs.
func (a *API) adapt(ctx context.Context, job tasks.Job) (*wire.Submitted, error) {
	v, err := a.store.View(ctx, job.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case v.State.Ended():
		if err := a.store.Forget(ctx, job.ID); err != nil {
			return nil, err
		}
		h, _, err := a.store.CreateBy(ctx, job, principalOf(ctx).Name)
		if err != nil {
			return nil, err
		}
		a.hand(h)
		done := &wire.Submitted{ID: job.ID, State: tasks.State(h.State), Outcome: wire.OutcomeCreated, Held: h.Held}
		return done, a.letIn(ctx, job, done)
	case bytes.Equal(v.Spec, job.Spec):
		return a.goOn(ctx, &wire.Submitted{ID: job.ID, State: v.State})
	}
	return nil, refused(http.StatusConflict, "wait for it, or stop it with: stint jobs cancel "+job.ID, "this %s is %s with other settings", job.Kind, v.State)
}

// goOn resumes a job that is paused and begins one anew that has ended.
func (a *API) goOn(ctx context.Context, done *wire.Submitted) (*wire.Submitted, error) {
	verb := store.Verb("")
	switch {
	case done.State.Ended():
		verb, done.Outcome = store.Restart, wire.OutcomeRestarted
	case done.State == tasks.Paused:
		verb, done.Outcome = store.Resume, wire.OutcomeResumed
	default:
		done.Outcome = wire.OutcomeRunning
		return done, nil
	}
	h, err := a.store.Control(ctx, done.ID, verb, principalOf(ctx).Name, "")
	if err != nil {
		return nil, err
	}
	a.hand(h)
	done.State, done.Held = tasks.State(h.State), h.Held
	job, _, err := a.store.Job(ctx, done.ID)
	if err != nil {
		return nil, err
	}
	return done, a.letIn(ctx, job, done)
}

type listInput struct {
	Tenant string   `query:"tenant" doc:"Of this tenant alone"`
	Kind   string   `query:"kind" doc:"Of this kind alone"`
	State  []string `query:"state" enum:"accepted,planning,running,paused,succeeded,failed,cancelled" doc:"In one of these states, separated by commas"`
	Label  []string `query:"label" doc:"With all of these labels, each name=value, separated by commas"`
	Limit  int      `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"At most so many"`
	Cursor string   `query:"cursor" doc:"The next of the page before"`
}

func (a *API) listJobs(ctx context.Context, in *listInput) (*body[wire.Jobs], error) {
	f := store.Filter{Kind: in.Kind, After: in.Cursor, Limit: in.Limit, Tenants: principalOf(ctx).Tenants, Labels: map[string]string{}}
	if in.Tenant != "" {
		if !principalOf(ctx).sees(in.Tenant) {
			return answer(wire.Jobs{Jobs: []*wire.Job{}}, nil)
		}
		f.Tenants = []string{in.Tenant}
	}
	for _, s := range in.State {
		f.States = append(f.States, tasks.State(s))
	}
	for _, l := range in.Label {
		name, value, ok := strings.Cut(l, "=")
		if !ok {
			return nil, invalid("query.label", "such as label=team=billing", "want name=value")
		}
		f.Labels[name] = value
	}
	if score, id, ok := strings.Cut(in.Cursor, ":"); in.Cursor != "" && (!ok || id == "" || !digits(score)) {
		return nil, invalid("query.cursor", "take the next of the page before", "is no cursor")
	}
	jobs, next, err := a.store.List(ctx, f)
	return answer(wire.Jobs{Jobs: jobs, Next: next}, err)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// secretAddress is an address with a password in it: before the host, or among its parameters.
var secretAddress = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@"]*:[^@/\s"]+@|(?i)[a-z][a-z0-9+.-]*:[^\s"]*[?&;](password|passwd|pwd|secret|token|access_token|api_?key|secret_?key|secret_access_key)=[^&;\s"]`)

// noPassword says what is wrong when a job would carry a secret into Redis, and to everybody who may look at it.
func noPassword(place string, spec json.RawMessage, labels map[string]string) error {
	where := ""
	switch {
	case holdsPassword(spec):
		where = place + ".spec"
	case slices.ContainsFunc(slices.Collect(maps.Values(labels)), secretAddress.MatchString):
		where = place + ".labels"
	default:
		return nil
	}
	return invalid(where, "name a connection of the configuration instead", "an address with a password must not be part of a job")
}

// holdsPassword reports whether a text of a spec has an address with a password in it, however JSON may write that.
func holdsPassword(spec json.RawMessage) bool {
	d := json.NewDecoder(bytes.NewReader(spec))
	for {
		t, err := d.Token()
		if err != nil {
			return false // the end, or what is told as broken elsewhere
		}
		if text, ok := t.(string); ok && secretAddress.MatchString(text) {
			return true
		}
	}
}

// view reads a job that the caller may see. One of another tenant is not there for them.
func (a *API) view(ctx context.Context, id string) (*wire.Job, error) {
	v, err := a.store.View(ctx, id)
	if err == nil && !principalOf(ctx).sees(v.Tenant) {
		err = refused(http.StatusNotFound, "", "job %s: %v", id, store.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type jobOutput struct {
	ETag string `header:"ETag"`
	Body *wire.Job
}

func (a *API) getJob(ctx context.Context, in *PathID) (*jobOutput, error) {
	v, err := a.view(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	return &jobOutput{`"` + store.Version(v) + `"`, v}, nil
}

type rejectsInput struct {
	PathID
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
	Cursor string `query:"cursor" doc:"The next of the page before"`
}

func (a *API) listRejects(ctx context.Context, in *rejectsInput) (*body[wire.Rejects], error) {
	v, err := a.view(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	r, ok := a.families[v.Kind].(tasks.Rejecter)
	if !ok {
		return nil, refused(http.StatusUnprocessableEntity, "only some kinds of jobs do, such as migrations", "a %s sets nothing aside", v.Kind)
	}
	job := tasks.Job{ID: v.ID, Kind: v.Kind, Tenant: v.Tenant, Spec: v.Spec}
	if err := a.allowed(ctx, "", job); err != nil {
		return nil, problem(err)
	}
	page, next, err := r.Rejects(ctx, job, in.Cursor, in.Limit)
	return answer(wire.Rejects{Rejects: page, Next: next}, remote(err))
}

// remote marks an error of somebody else's server, unless it is the caller's to mend.
func remote(err error) error {
	if err == nil || tasks.IsPermanent(err) {
		return err
	}
	return &away{err}
}

func (a *API) draft(ctx context.Context, in *struct{ Body wire.Submission }) (*body[wire.Draft], error) {
	job, err := a.jobOf(ctx, "", in.Body)
	if err != nil {
		return nil, problem(err)
	}
	d, ok := a.families[job.Kind].(tasks.Drafter)
	if !ok {
		return nil, refused(http.StatusUnprocessableEntity, "submit it", "a %s cannot be drafted", job.Kind)
	}
	out, err := d.Draft(ctx, job)
	if err != nil {
		return nil, problem(remote(err))
	}
	done := wire.Draft{Kind: job.Kind, Draft: out}
	var sizes struct {
		Stages []struct {
			Rows, Bytes int64
			Planned     *int64 `json:"rows_estimated"` // of a plan that was tried; 0 when unknown
		} `json:"stages"`
	}
	known := json.Unmarshal(out, &sizes) == nil && sizes.Stages != nil // else the family has another form, which says nothing of rows
	for i := range sizes.Stages {
		if s := &sizes.Stages[i]; s.Planned != nil {
			s.Rows, known = *s.Planned, known && *s.Planned > 0
		}
	}
	if known {
		rate, err := a.store.Rate(ctx, job)
		if err != nil {
			return nil, problem(err)
		}
		var rows, bytes int64
		for _, s := range sizes.Stages {
			rows, bytes = rows+max(s.Rows, 0), bytes+max(s.Bytes, 0)
		}
		done.Estimate = estimate(rows, bytes, rate)
	}
	return answer(done, nil)
}

type controlInput struct {
	PathID
	Match string `header:"If-Match" doc:"The ETag of the job as you have seen it"`
}

type controlOutput struct {
	ETag string `header:"ETag"`
	Body wire.Controlled
}

func (a *API) control(ctx context.Context, verb store.Verb, in *controlInput) (*controlOutput, error) {
	v, err := a.view(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	if verb != store.Pause && verb != store.Cancel {
		if err := mayBeFleetwide(principalOf(ctx), v.Kind); err != nil {
			return nil, problem(err)
		}
	}
	if verb == store.Restart && needsApproval(v.Kind, v.Spec) { // it would delete again what was put back
		if err := mayApprove(principalOf(ctx), v.Kind); err != nil {
			return nil, problem(err)
		}
	}
	match := strings.Trim(strings.TrimPrefix(in.Match, "W/"), `"`)
	if match == "*" { // any that there is
		match = ""
	}
	h, err := a.store.Control(ctx, in.ID, verb, principalOf(ctx).Name, match)
	if err != nil {
		return nil, problem(err)
	}
	a.hand(h)
	if ended := tasks.State(h.State).Ended(); ended || h.Held != "" {
		var err error
		if ended {
			err = a.store.Release(ctx, v.Tenant, v.ID)
		}
		if err := errors.Join(err, a.admit(ctx, v.Tenant)); err != nil {
			a.log.WarnContext(ctx, "the tenant's next job was not let in; the sweep will", "tenant", v.Tenant, "err", err)
		}
	}
	if v, err = a.store.View(ctx, in.ID); err != nil {
		return nil, problem(err)
	}
	return &controlOutput{`"` + store.Version(v) + `"`, wire.Controlled{ID: in.ID, State: tasks.State(h.State)}}, nil
}
