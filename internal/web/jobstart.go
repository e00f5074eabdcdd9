package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// newJobBody is the form that starts a job, with what was typed, what is wrong with it, and what it would do.
type newJobBody struct {
	Kinds     []wire.Kind
	Migration bool // the form is that of a migration
	Typed     typedJob
	Key       string // the Idempotency-Key of the next submission: the button pressed twice starts one job

	Wrong  *shown
	Places []string // each place that is wrong

	Tried    bool               // what follows says what it would do
	Outline  *migration.Outline // of a migration of tables as they are
	Dry      *migration.DryRun  // of one by a plan
	Draft    json.RawMessage    // of any other kind
	Estimate *wire.Estimate
}

// Takes is how long it would take, in words; "" when nobody knows.
func (b *newJobBody) Takes() string {
	if b.Estimate == nil || b.Estimate.Seconds == nil {
		return ""
	}
	return duration(time.Duration(*b.Estimate.Seconds * float64(time.Second)))
}

// typedJob is what stands in the form.
type typedJob struct {
	Kind, Source, Target, Tables, Plan, Spec, Tenant, Labels, Window, Priority string
}

// mayStart is an error for those who may not.
func mayStart(v *visit) error {
	if can(v.me, "submitter") {
		return nil
	}
	return &wire.Problem{Status: http.StatusForbidden, Code: wire.CodeForbidden, Detail: fmt.Sprintf("the role %s may not start jobs", v.me.Role), Hint: "log in with a token of the role submitter"}
}

func (s *Site) newJob(v *visit) (content, error) {
	if err := mayStart(v); err != nil {
		return content{}, err
	}
	q := v.URL.Query()
	t := typedJob{Kind: q.Get("kind"), Source: q.Get("source"), Target: q.Get("target"), Tenant: q.Get("tenant"), Spec: "{}"}
	if id := q.Get("like"); id != "" {
		j, err := v.client.Job(v.ctx, id)
		if err != nil {
			return content{}, err
		}
		t = typedLike(j)
	}
	b, err := s.newJobForm(v, t)
	return content{Title: "New job", Body: b, Still: true}, err
}

// typedLike fills the form as it was for a job.
func typedLike(j *wire.Job) typedJob {
	t := typedJob{Kind: j.Kind, Tenant: j.Tenant, Spec: pretty(j.Spec)}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(j.Labels)) {
		if name != wire.LabelApprovedBy && name != wire.NotifyLabel { // the server puts them there
			labels = append(labels, name+"="+j.Labels[name])
		}
	}
	t.Labels = strings.Join(labels, ", ")
	if j.Priority != 0 {
		t.Priority = strconv.Itoa(j.Priority)
	}
	if spec, err := migrationOf(j); err == nil {
		t.Source, t.Target, t.Tables = spec.Source, spec.Target, strings.Join(spec.Tables, ", ")
		if spec.Plan != nil {
			t.Plan = pretty(spec.Plan)
		}
	}
	return t
}

// newJobForm is the form with what stands in it.
func (s *Site) newJobForm(v *visit, t typedJob) (*newJobBody, error) {
	kinds, err := v.client.Kinds(v.ctx)
	if err != nil {
		return nil, err
	}
	known := func(kind string) bool {
		return slices.ContainsFunc(kinds, func(k wire.Kind) bool { return k.Kind == kind })
	}
	if !known(t.Kind) {
		t.Kind = migration.Kind
		if !known(t.Kind) && len(kinds) > 0 {
			t.Kind = kinds[0].Kind
		}
	}
	return &newJobBody{Kinds: kinds, Migration: t.Kind == migration.Kind, Typed: t, Key: randomText()}, nil
}

// startJob tries or starts what stands in the form. What is wrong is said at the form, with what was typed still in it.
func (s *Site) startJob(w http.ResponseWriter, r *http.Request) {
	v, ok := s.visit(w, r)
	if !ok || !s.isOurs(w, r, v) {
		return
	}
	if err := mayStart(v); err != nil {
		s.fail(w, r, v, problemOf(err))
		return
	}
	read := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	t := typedJob{Kind: read("kind"), Source: read("source"), Target: read("target"), Tables: read("tables"), Plan: r.PostFormValue("plan"), Spec: r.PostFormValue("spec"),
		Tenant: read("tenant"), Labels: read("labels"), Window: read("window"), Priority: read("priority")}
	b, err := s.newJobForm(v, t)
	if err != nil {
		s.fail(w, r, v, problemOf(err))
		return
	}
	sub, places, err := submissionOf(&b.Typed)
	if err == nil && (read("do") != "start" || sub.planned) {
		err = b.try(v, &sub.Submission, places) // a plan that does not fit is refused before a job is made of it
	}
	if err == nil && read("do") == "start" {
		key := read("key")
		if sub.Continue { // the same databases are the same job
			key = ""
		}
		done, e := v.client.Submit(v.ctx, key, sub.Submission)
		if e == nil {
			setFlash(w, r, &flash{Text: startedText(done) + heldSaid(done)})
			http.Redirect(w, r, to("jobs", done.ID), http.StatusSeeOther)
			return
		}
		err, b.Tried = e, false
	}
	status := http.StatusOK
	if err != nil {
		b.wrong(err)
		status = b.Wrong.Status
	}
	s.render(w, r, status, "jobnew", s.view(v, "jobs", content{Title: "New job", Body: b, Still: true}))
}

func startedText(done *wire.Submitted) string {
	switch done.Outcome {
	case wire.OutcomeCreated:
		return "The job was started."
	case wire.OutcomeRestarted:
		return "A job about the same databases had ended; it goes over them again, and the ledger says what is left."
	case wire.OutcomeResumed:
		return "A job about the same databases was paused; it goes on."
	}
	return "There is such a job already; it goes on."
}

// wrong says what is wrong with what was typed.
func (b *newJobBody) wrong(err error) {
	var problems plan.Problems
	if errors.As(err, &problems) {
		b.Wrong = &shown{Status: http.StatusUnprocessableEntity, Detail: "The plan does not fit.", Hint: "Nothing was started. Mend each place, and try again."}
		for _, p := range problems {
			b.Places = append(b.Places, p.String())
		}
		return
	}
	b.Wrong = problemOf(err)
	var p *wire.Problem
	if errors.As(err, &p) && len(p.Errors) > 0 {
		b.Wrong.Detail = sentence(p.Detail)
		for _, e := range p.Errors {
			b.Places = append(b.Places, placeWords(e))
		}
	}
}

// formSubmission is a submission that the form asks for.
type formSubmission struct {
	wire.Submission
	planned bool
}

// planFile is what a plan of the form is called where its mistakes are said.
const planFile = "plan"

// submissionOf makes a submission of what stands in the form. The places are those of its plan.
func submissionOf(t *typedJob) (formSubmission, *plan.Places, error) {
	out := formSubmission{Submission: wire.Submission{Kind: t.Kind, Tenant: t.Tenant}}
	var err error
	if out.Labels, err = labelsOf(t.Labels); err != nil {
		return out, nil, err
	}
	if out.Window, err = wholeNumber("at once", t.Window, 0, 10_000); err != nil {
		return out, nil, err
	}
	if out.Priority, err = wholeNumber("priority", t.Priority, -100, 100); err != nil {
		return out, nil, err
	}
	if t.Kind == migration.Kind {
		places, err := out.migrate(t)
		return out, places, err
	}
	var compact bytes.Buffer
	var spec any
	err = json.Unmarshal([]byte(t.Spec), &spec) // it knows where a mistake is
	if err == nil {
		err = json.Compact(&compact, []byte(t.Spec))
	}
	if err != nil {
		return out, nil, badInput("mend it there; the form of each kind is in docs/cli-json.md", "%s", jsonMistake(t.Spec, err))
	}
	out.Spec = compact.Bytes()
	return out, nil, nil
}

// migrate fills in a migration, as stint migrate does.
func (f *formSubmission) migrate(t *typedJob) (*plan.Places, error) {
	spec := migration.Spec{Source: t.Source, Target: t.Target, ChunkRows: migration.DefaultChunkRows}
	f.Continue = true
	var places *plan.Places
	if strings.TrimSpace(t.Plan) != "" {
		var err error
		if spec.Plan, places, err = plan.Parse(planFile, []byte(t.Plan)); err != nil {
			return places, err
		}
		if t.Tables != "" {
			return places, badInput("the plan's stages say what is moved", "a plan and tables cannot both be given")
		}
		f.planned = true
		spec.Source, spec.Target = cmp.Or(spec.Source, spec.Plan.Source), cmp.Or(spec.Target, spec.Plan.Target)
		if spec.Target == "" && spec.Plan.FilesOnly() {
			spec.Target = plan.Artifacts
		}
		if f.Window == 0 {
			f.Window = spec.Plan.Window
		}
		if spec.Plan.Policy.Retries != 0 {
			f.Policy = &tasks.Policy{Retries: spec.Plan.Policy.Retries}
		}
	}
	spec.Tables = slices.Compact(slices.Sorted(slices.Values(splitList(t.Tables))))
	switch {
	case spec.Source == "":
		return places, badInput("name a connection of the configuration", "the source is missing")
	case spec.Target == "":
		return places, badInput("name a connection of the configuration", "the target is missing")
	case spec.Source == spec.Target:
		return places, badInput("name two databases", "source and target are the same connection: %s", spec.Source)
	}
	var err error
	if f.Spec, err = json.Marshal(spec); err != nil {
		return places, fmt.Errorf("encode spec: %w", err)
	}
	return places, nil
}

// splitList takes apart what commas, spaces and lines separate.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

func labelsOf(text string) (map[string]string, error) {
	list := splitList(text)
	if len(list) == 0 {
		return nil, nil
	}
	labels := map[string]string{}
	for _, l := range list {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return nil, badInput("write them as name=value, separated by commas", "the label %q has no value", l)
		}
		labels[name] = value
	}
	return labels, nil
}

func wholeNumber(what, text string, least, most int) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badInput(fmt.Sprintf("write a whole number from %d to %d, or leave it away", least, most), "%s: %q is none", what, text)
	}
	return n, nil
}

// jsonMistake says where JSON is wrong.
func jsonMistake(text string, err error) string {
	var se *json.SyntaxError
	if !errors.As(err, &se) {
		return "the spec is no JSON: " + err.Error()
	}
	before := text[:min(int(se.Offset), len(text))]
	line := strings.Count(before, "\n") + 1
	column := len(before) - (strings.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("the spec is no JSON, at line %d, column %d: %v", line, max(column, 1), se)
}

// try says what a submission would do. The error has what is wrong with its plan, at the places of the form's text.
func (b *newJobBody) try(v *visit, sub *wire.Submission, places *plan.Places) error {
	once := *sub
	once.Continue = false
	d, err := v.client.Estimate(v.ctx, once)
	if err != nil {
		return err
	}
	b.Tried, b.Estimate, b.Draft = true, d.Estimate, d.Draft
	if sub.Kind != migration.Kind {
		return nil
	}
	if places != nil {
		b.Dry = &migration.DryRun{}
		if err := json.Unmarshal(d.Draft, b.Dry); err != nil {
			return fmt.Errorf("read the dry run: %w", err)
		}
		if len(b.Dry.Problems) > 0 {
			b.Tried = false
			return places.Locate(b.Dry.Problems)
		}
		return nil
	}
	b.Outline = &migration.Outline{}
	if err := json.Unmarshal(d.Draft, b.Outline); err != nil {
		return fmt.Errorf("read the draft: %w", err)
	}
	return nil
}
