package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// familyPatience bounds how long a report waits for what the family has to say: it may ask databases that are busy, or gone.
const familyPatience = 30 * time.Second

// reportPolicy is what a browser may do with a report as HTML: show it. Every value in it is escaped; this holds if one were not.
const reportPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-modals"

type reportInput struct {
	PathID
	Format string `query:"format" enum:"json,markdown,html" doc:"What to answer with; left out, what Accept prefers, else JSON"`
	Accept string `header:"Accept"`
}

func (a *API) reportRoute() {
	op := a.route(needs{role: viewer, long: true}, http.MethodGet, "/v1/jobs/{id}/report", "report-job", "Show what became of a job",
		"The account of a job: what was asked for and by whom, what became of each stage, who worked on it, every drain, lost worker and retry, whether it was verified, and a digest over all of that. As JSON, or for people as Markdown or as one HTML page that needs nothing else.")
	registry := a.huma.OpenAPI().Components.Schemas
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: huma.SchemaFromType(registry, typeOf[wire.Report]())},
		"text/markdown":    {Schema: &huma.Schema{Type: "string"}},
		"text/html":        {Schema: &huma.Schema{Type: "string"}},
	}}}
	huma.Register(a.huma, op, a.reportJob)
}

func (a *API) reportJob(ctx context.Context, in *reportInput) (*huma.StreamResponse, error) {
	r, err := a.makeReport(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	f := report.Format(in.Format)
	if f == "" {
		f = preferred(in.Accept)
	}
	text, err := report.Render(r, f)
	if err != nil {
		return nil, problem(err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		kind := f.MediaType()
		if f != report.JSON {
			kind += "; charset=utf-8"
		}
		hctx.SetHeader("Content-Type", kind)
		hctx.SetHeader("Vary", "Accept")
		if f == report.HTML {
			hctx.SetHeader("Content-Security-Policy", reportPolicy)
		}
		if _, err := hctx.BodyWriter().Write(text); err != nil {
			a.log.DebugContext(ctx, "could not answer", "err", err)
		}
	}}, nil
}

// preferred is the format that an Accept header likes best, the first of equals; JSON when it likes none of them.
func preferred(accept string) report.Format {
	best, weight := report.JSON, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, _ := strings.Cut(part, ";")
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if text, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
				if q, _ = strconv.ParseFloat(text, 64); q > 1 {
					q = 1
				}
			}
		}
		for _, f := range report.Formats {
			if strings.EqualFold(strings.TrimSpace(kind), f.MediaType()) && q > weight {
				best, weight = f, q
			}
		}
	}
	return best
}

// makeReport puts the account of a job together and seals it.
func (a *API) makeReport(ctx context.Context, id string) (*wire.Report, error) {
	r, job, err := a.readReport(ctx, id)
	if err != nil {
		return nil, err
	}
	a.askFamily(ctx, r, job)
	return r, report.Seal(r)
}

// readReport reads what the store knows, within the patience that every request has for it.
func (a *API) readReport(ctx context.Context, id string) (*wire.Report, tasks.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	var none tasks.Job
	if _, err := a.view(ctx, id); err != nil {
		return nil, none, err
	}
	acc, err := a.store.Account(ctx, id)
	if err != nil {
		return nil, none, err
	}
	v := acc.Job
	r := &wire.Report{Form: wire.ReportForm, Job: v, SubmittedBy: acc.By, Policy: policyOf(acc.Asked.Policy), Versions: acc.Versions, Stages: acc.Stages, Workers: acc.Workers,
		Drains: acc.Drains, Losses: acc.Losses, Reasons: acc.Reasons, Verifications: []wire.Verification{}, Findings: []tasks.Finding{}, Sections: []tasks.ReportSection{},
		History: acc.History, Gaps: acc.Gaps, Made: wire.Made{At: now(), Version: a.o.Version}}
	if v.StartedAt != nil && v.EndedAt != nil {
		r.DurationMS = v.EndedAt.Sub(*v.StartedAt).Milliseconds()
	}
	r.Source, r.Target = places(v.Spec)
	if r.SpecSHA256, err = report.Sum(v.Spec); err != nil {
		return nil, none, fmt.Errorf("sum up the spec of job %s: %w", id, err)
	}
	findings, err := a.store.Findings(ctx, id)
	if err != nil {
		return nil, none, err
	}
	r.Findings = append(r.Findings, findings...)
	if r.FailedSteps, err = a.store.Dead(ctx, id); err != nil {
		return nil, none, err
	}
	return r, acc.Asked, a.linkReport(ctx, r, acc.About)
}

// policyOf fills in what a policy leaves to the defaults.
func policyOf(p tasks.Policy) wire.ReportPolicy {
	retries := p.Retries
	switch {
	case retries == 0:
		retries = tasks.DefaultRetries
	case retries < 0:
		retries = 0
	}
	return wire.ReportPolicy{Retries: retries, OnFailure: cmp.Or(p.OnFailure, tasks.OnFailureStop)}
}

// places reads where rows come from and go to out of a spec: names of connections, or addresses, of which nothing is told but where.
func places(spec json.RawMessage) (source, target string) {
	var s struct {
		Source any `json:"source"`
		Target any `json:"target"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return "", ""
	}
	return place(s.Source), place(s.Target)
}

func place(v any) string {
	text, _ := v.(string)
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if n := strings.Count(text, "@"); err != nil || n > 1 || n == 1 && u.User == nil { // where nobody can tell a password from the rest
		return "(an address)"
	}
	u.RawQuery, u.Fragment = "", "" // drivers take passwords there, too
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// linkReport leads from a job to those that verify it, and from a verification to what it is about, as far as the caller may see them and
// they are of the same tenant.
func (a *API) linkReport(ctx context.Context, r *wire.Report, about []string) error {
	see := func(id string) (*wire.Job, error) {
		v, err := a.store.View(ctx, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && !principalOf(ctx).sees(v.Tenant) {
			return nil, nil
		}
		return v, err
	}
	for _, id := range about {
		v, err := see(id)
		if err != nil {
			return err
		}
		if v == nil || !proves(v, r.Job) {
			continue
		}
		x := wire.Verification{JobLink: wire.JobLink{ID: v.ID, Kind: v.Kind, State: v.State}, EndedAt: v.EndedAt,
			Rows: v.Counters.Read - v.Counters.Quarantined, Quarantined: v.Counters.Quarantined, Differences: v.Findings}
		findings, err := a.store.Findings(ctx, id)
		if err != nil {
			return err
		}
		for _, f := range findings {
			if f.Level == tasks.LevelNote {
				x.Differences--
			}
		}
		x.Equal = v.State == tasks.Succeeded && v.Counters.StepsFailed == 0 && x.Differences == 0
		r.Verifications = append(r.Verifications, x)
	}
	id := tasks.AboutJob(r.Job.Spec)
	if id == "" {
		return nil
	}
	v, err := see(id)
	switch {
	case err != nil:
		return err
	case v == nil || v.Tenant != r.Job.Tenant:
		r.About = &wire.JobLink{ID: id}
	default:
		r.About = &wire.JobLink{ID: id, Kind: v.Kind, State: v.State}
	}
	return nil
}

// askFamily adds what the family knows. A report without it is a report all the same, and says that it lacks it.
func (a *API) askFamily(ctx context.Context, r *wire.Report, job tasks.Job) {
	f, ok := a.families[job.Kind].(tasks.Reporter)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, familyPatience)
	defer cancel()
	told, err := f.Report(ctx, job)
	if err != nil {
		a.log.WarnContext(ctx, "a family could not add to a report", "job", job.ID, "kind", job.Kind, "err", err)
		r.Gaps = append(r.Gaps, fmt.Sprintf("What only the %s itself can prove is missing: %v", job.Kind, err))
		return
	}
	r.Source, r.Target = cmp.Or(told.Source, r.Source), cmp.Or(told.Target, r.Target)
	r.Sections = append(r.Sections, told.Sections...)
	for _, proof := range told.Stages {
		if i := slices.IndexFunc(r.Stages, func(s wire.StageReport) bool { return s.Name == proof.Stage }); i >= 0 {
			r.Stages[i].Proof = &proof
		}
	}
}
