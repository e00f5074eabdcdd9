package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
)

// What deletes rows, or puts them back, is let in by an operator alone, by whichever route it comes; and an analysis is carried out as
// it was seen, or not at all.

// needsApproval reports whether a job of this kind and spec changes the store of a sync service, or removes what could be put back.
func needsApproval(kind string, spec json.RawMessage) bool {
	switch kind {
	case dedupe.KindDeletion, dedupe.KindRestoration:
		return true
	case dedupe.Kind:
		var s dedupe.Spec
		return json.Unmarshal(spec, &s) != nil || s.Apply != nil || s.KeepArchives != ""
	}
	return false
}

// approve says what is wrong when the caller may not let such a job in; else it notes on the job that it was they.
func approve(ctx context.Context, s *wire.Submission) error {
	labels := maps.Clone(s.Labels)
	delete(labels, wire.LabelApprovedBy)
	if needsApproval(s.Kind, s.Spec) {
		p := principalOf(ctx)
		if err := mayApprove(p, s.Kind); err != nil {
			return err
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[wire.LabelApprovedBy] = p.Name
	}
	s.Labels = labels
	return nil
}

func mayApprove(p principal, kind string) error {
	if p.role.allows(operator) {
		return nil
	}
	return refused(http.StatusForbidden, "have somebody do it who has that role; a dedupe without apply only looks, and needs no more than submitter",
		"a %s that deletes rows or puts them back needs the role %s; the token %q has the role %s", kind, operator, p.Name, p.role)
}

func (a *API) analysisRoutes() {
	look, act := needs{role: viewer}, needs{role: operator, long: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/analyses", "list-analyses", "List analyses of duplicate data sets, newest first", "They are the jobs of the kind dedupe."),
		func(ctx context.Context, in *analysesInput) (*body[wire.Jobs], error) {
			return a.listJobs(ctx, &listInput{Tenant: in.Tenant, Kind: dedupe.Kind, Limit: in.Limit, Cursor: in.Cursor})
		})
	huma.Register(a.huma, a.route(needs{role: viewer, long: true}, http.MethodGet, "/v1/analyses/{id}", "get-analysis", "Show an analysis: its job, its files and what carries it out", ""), a.getAnalysis)
	post := func(path, id, summary, description string) huma.Operation {
		op := a.route(act, http.MethodPost, path, id, summary, description)
		op.DefaultStatus = http.StatusAccepted
		op.Errors = append(op.Errors, http.StatusConflict)
		return op
	}
	huma.Register(a.huma, post("/v1/analyses/{id}/apply", "apply-analysis", "Delete what an analysis says may go, at most so many data sets",
		"Makes a job of the kind deletion. It is a conflict when the analysis has not succeeded, or is another than the one of the digest. Without an Idempotency-Key the same request stands for the same job. Who asks is the one who approves: the job has the label approved_by."), a.applyAnalysis)
	huma.Register(a.huma, post("/v1/deletions/{id}/undo", "undo-deletion", "Put back what a job has deleted",
		"Makes a job of the kind restoration, from the archives of a deletion, or of a dedupe that deleted too. It is a conflict while that job has not ended. Without an Idempotency-Key each request stands for a new job."), a.undoDeletion)
}

type analysesInput struct {
	Tenant string `query:"tenant" doc:"Of this tenant alone"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"At most so many"`
	Cursor string `query:"cursor" doc:"The next of the page before"`
}

// analysis reads a job that the caller may see and that is a dedupe.
func (a *API) analysis(ctx context.Context, id string) (*wire.Job, error) {
	v, err := a.view(ctx, id)
	if err == nil && v.Kind != dedupe.Kind {
		err = refused(http.StatusNotFound, "GET /v1/analyses lists those that there are", "job %s is a %s, and no analysis", id, v.Kind)
	}
	return v, err
}

func (a *API) getAnalysis(ctx context.Context, in *PathID) (*body[wire.Analysis], error) {
	v, err := a.analysis(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	out := wire.Analysis{Job: v, Deletions: []wire.JobLink{}}
	if out.Outputs, err = a.outputs(ctx, in.ID); err != nil {
		return nil, problem(err)
	}
	acc, err := a.store.Account(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	for _, id := range acc.About {
		d, err := a.view(ctx, id)
		switch {
		case isNotFound(err):
		case err != nil:
			return nil, problem(err)
		case d.Kind == dedupe.KindDeletion:
			out.Deletions = append(out.Deletions, wire.JobLink{ID: d.ID, Kind: d.Kind, State: d.State})
		}
	}
	return answer(out, nil)
}

func isNotFound(err error) bool {
	var p *wire.Problem
	return errors.Is(err, store.ErrNotFound) || errors.As(err, &p) && p.Status == http.StatusNotFound
}

type applyInput struct {
	PathID
	Key  string `header:"Idempotency-Key" maxLength:"300" doc:"The same key stands for the same job: sending it again makes no second one"`
	Body wire.Apply
}

func (a *API) applyAnalysis(ctx context.Context, in *applyInput) (*submitOutput, error) {
	v, err := a.analysis(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	if v.State != tasks.Succeeded || v.Counters.StepsFailed > 0 {
		return nil, refused(http.StatusConflict, "wait for it, or have another one made; what is not whole is not carried out", "the analysis %s is not whole: its job is %s", v.ID, stateOf(v))
	}
	var asked dedupe.Spec
	if err := json.Unmarshal(v.Spec, &asked); err != nil {
		return nil, problem(fmt.Errorf("read the spec of job %s: %w", v.ID, err))
	}
	if asked.Apply != nil {
		return nil, refused(http.StatusConflict, "have an analysis made without apply", "the analysis %s was carried out by its own job", v.ID)
	}
	digest, err := a.digestOf(ctx, v, in.Body.Digest)
	if err != nil {
		return nil, problem(err)
	}
	b := in.Body
	if b.Window == 0 {
		b.Window = 1 // a data set at a time: the pace that is asked for is that of the whole deletion
	}
	return a.follow(ctx, in.Key, v, dedupe.KindDeletion, dedupe.DeletionSpec{Job: v.ID, Store: asked.Store, Digest: digest,
		Apply: dedupe.ApplySpec{Limit: b.Limit, RecencyDays: b.RecencyDays, Batch: b.Batch, Busy: b.Busy, MaxLag: b.MaxLag, MaxProbe: b.MaxProbe, MaxWaiting: b.MaxWaiting, MaxAge: b.MaxAge}}, b.Labels, b.Window)
}

func stateOf(v *wire.Job) string {
	if v.State == tasks.Succeeded {
		return fmt.Sprintf("%s, but %d of its steps failed", v.State, v.Counters.StepsFailed)
	}
	return string(v.State)
}

// digestOf returns the digest of an analysis, which has to be the one that the caller has seen, unless that is "".
func (a *API) digestOf(ctx context.Context, v *wire.Job, seen string) (string, error) {
	o, job, err := a.outputter(ctx, v.ID)
	if err != nil {
		return "", err
	}
	file, about, err := o.OpenOutput(ctx, job, dedupe.OutputAnalysis)
	if errors.Is(err, tasks.ErrNoOutput) {
		return "", refused(http.StatusConflict, "have another one made", "the analysis of job %s is not there any more", v.ID)
	}
	if err != nil {
		return "", remote(err)
	}
	defer func() { _ = file.Close() }()
	if about.Digest == "" { // a store that does not keep it
		sum, _, err := artifact.ReadDigest(file)
		if err != nil {
			return "", remote(err)
		}
		about.Digest = string(sum)
	}
	if seen != "" && about.Digest != seen {
		return "", refused(http.StatusConflict, "read the analysis again, and decide again", "the analysis of job %s is %s, and not the one that was seen", v.ID, about.Digest)
	}
	return about.Digest, nil
}

type undoInput struct {
	PathID
	Key  string `header:"Idempotency-Key" maxLength:"300" doc:"The same key stands for the same job: sending it again makes no second one"`
	Body wire.Undo
}

func (a *API) undoDeletion(ctx context.Context, in *undoInput) (*submitOutput, error) {
	v, err := a.view(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	var of struct {
		Store string
		Apply *dedupe.ApplySpec
	}
	if err := json.Unmarshal(v.Spec, &of); err != nil || v.Kind != dedupe.KindDeletion && (v.Kind != dedupe.Kind || of.Apply == nil) {
		return nil, refused(http.StatusNotFound, "GET /v1/jobs?kind=deletion lists those that there are", "job %s is a %s that deletes nothing", in.ID, v.Kind)
	}
	if !v.State.Ended() {
		return nil, refused(http.StatusConflict, "wait for it, or stop it with: stint jobs cancel "+v.ID, "job %s is %s, and may delete more", v.ID, v.State)
	}
	spec := dedupe.RestorationSpec{Job: v.ID, Store: of.Store}
	for _, s := range in.Body.Sets {
		spec.Sets = append(spec.Sets, datasets.ID(s))
	}
	if in.Key == "" {
		in.Key = store.RandomID()
	}
	return a.follow(ctx, in.Key, v, dedupe.KindRestoration, spec, in.Body.Labels, in.Body.Window)
}

// follow submits a job that carries on what another has begun, for the same tenant. Without a key the same words are the same job.
func (a *API) follow(ctx context.Context, key string, v *wire.Job, kind string, spec any, labels map[string]string, window int) (*submitOutput, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, problem(fmt.Errorf("encode spec: %w", err))
	}
	if key == "" {
		sum := sha256.Sum256(text)
		key = kind + "-of-" + v.ID + "-" + hex.EncodeToString(sum[:8])
	}
	return submitted(a.submit(ctx, key, wire.Submission{Kind: kind, Spec: text, Tenant: v.Tenant, Labels: labels, Window: window}))
}
