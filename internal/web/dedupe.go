package web

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// DedupeDefaults are what analyses and deletions that are asked for on a page begin with.
type DedupeDefaults struct {
	Spec  dedupe.Spec // its store, layout and rules
	Apply wire.Apply  // its pace and bounds
}

// dedupes are the pages of dedupe, and what they keep of files.
type dedupes struct {
	*Site
	analyses *lately[*analysisFile]
	deleted  *lately[*deletionFile]
	pages    *lately[*setPage]
	gone     *lately[*gonePage]
	abouts   *lately[string] // what a job is about, which never changes
}

func (s *Site) dedupeRoutes() {
	d := &dedupes{Site: s, analyses: newLately[*analysisFile](200), deleted: newLately[*deletionFile](200), pages: newLately[*setPage](64), gone: newLately[*gonePage](64), abouts: newLately[string](1000)}
	s.page("/dedupe", "dedupe", "dedupe", d.list)
	s.page("/dedupe/new", "dedupe", "dedupe_new", d.newForm)
	s.action("/dedupe/new", d.analyse)
	s.page("/dedupe/{id}", "dedupe", "dedupe_analysis", d.analysis)
	s.action("/dedupe/{id}/again", d.analyseAgain)
	s.action("/dedupe/{id}/apply", d.apply)
	s.page("/dedupe/deletions/{id}", "dedupe", "dedupe_deletion", d.deletion)
	s.action("/dedupe/deletions/{id}/undo", d.undo)
	s.download("/dedupe/{id}/files/{name}", d.file)
}

// dedupeBody is the list of analyses and of what came of them.
type dedupeBody struct {
	Runs    []dedupeRun
	Deleted []dedupeRun
	Back    []*wire.Job // restorations
	Under   []*wire.Job // what runs
	Charts  []shareChart
	More    string
	First   string
}

// dedupeRun is an analysis or a deletion of the list, with what its file says.
type dedupeRun struct {
	*wire.Job
	Analysis *analysisFile
	Change   string // of the share, since the analysis before of the same store
	Deletion *deletionFile
	About    string // the analysis that a deletion carries out
	By       string
	Wrong    string // why its file cannot be read
}

// shareChart is how much of a store was duplicate over time.
type shareChart struct {
	Store string
	Chart line
	Last  string
	Says  string
}

// dedupeUnended are the states of a job that goes on.
var dedupeUnended = []tasks.State{tasks.Accepted, tasks.Planning, tasks.Running, tasks.Paused}

// How many of each kind a page lists.
const (
	analysesOfAPage  = 20
	deletionsOfAPage = 10
)

func (d *dedupes) list(v *visit) (content, error) {
	var b dedupeBody
	cursor := v.URL.Query().Get("after")
	page, err := v.client.Jobs(v.ctx, client.Filter{Kind: dedupe.Kind, Limit: analysesOfAPage, Cursor: cursor})
	if err != nil {
		return content{}, err
	}
	for _, j := range page.Jobs {
		b.Runs = append(b.Runs, d.run(v, j))
	}
	compareShares(b.Runs)
	b.Charts = shareCharts(b.Runs)
	if page.Next != "" {
		b.More = pageAfter(v.URL, page.Next)
	}
	if cursor != "" {
		b.First = pageAfter(v.URL, "")
	}
	gone, err := v.client.Jobs(v.ctx, client.Filter{Kind: dedupe.KindDeletion, Limit: deletionsOfAPage})
	if err != nil {
		return content{}, err
	}
	for _, j := range gone.Jobs {
		b.Deleted = append(b.Deleted, d.run(v, j))
	}
	back, err := v.client.Jobs(v.ctx, client.Filter{Kind: dedupe.KindRestoration, Limit: deletionsOfAPage})
	if err != nil {
		return content{}, err
	}
	b.Back = back.Jobs
	for _, kind := range []string{dedupe.KindDeletion, dedupe.KindRestoration, dedupe.Kind} {
		now, err := v.client.Jobs(v.ctx, client.Filter{Kind: kind, States: dedupeUnended, Limit: deletionsOfAPage})
		if err != nil {
			return content{}, err
		}
		b.Under = append(b.Under, now.Jobs...)
	}
	return content{Title: "Dedupe", Body: b}, nil
}

// run reads what the file of a job says. One that cannot be read is no reason not to show the others.
func (d *dedupes) run(v *visit, j *wire.Job) dedupeRun {
	r := dedupeRun{Job: j, By: j.Labels[wire.LabelApprovedBy]}
	var err error
	if j.Kind == dedupe.KindDeletion {
		if j.State.Ended() {
			r.Deletion, err = d.deletionsOf(v, j)
		}
		r.About = d.about(v, j.ID)
	} else if j.State == tasks.Succeeded {
		r.Analysis, err = d.analysisOf(v, j, "")
	}
	if err != nil && !isNotFound(err) {
		r.Wrong = problemOf(err).Detail
	}
	return r
}

// about returns the job that a job is about, as its spec says: lists have no specs.
func (d *dedupes) about(v *visit, id string) string {
	about, err := d.abouts.get(v.ctx, id, func() (string, error) {
		j, err := v.client.Job(v.ctx, id)
		if err != nil {
			return "", err
		}
		return tasks.AboutJob(j.Spec), nil
	})
	if err != nil {
		return ""
	}
	return about
}

// compareShares fills in how each share differs from that of the analysis before of the same store.
func compareShares(list []dedupeRun) {
	before := map[string]float64{}
	for i := range slices.Backward(list) {
		a := list[i].Analysis
		if a == nil {
			continue
		}
		share := a.End.Totals.Share()
		if was, ok := before[a.Head.Store]; ok {
			list[i].Change = fmt.Sprintf("%+.1f", 100*(share-was))
		}
		before[a.Head.Store] = share
	}
}

// maxCharts is how many stores are drawn.
const maxCharts = 4

// shareCharts draws how much of each store was duplicate, from two analyses on.
func shareCharts(newest []dedupeRun) []shareChart {
	values, from, to := map[string][]float64{}, map[string]time.Time{}, map[string]time.Time{}
	var stores []string
	for _, r := range slices.Backward(newest) {
		a := r.Analysis
		if a == nil {
			continue
		}
		if values[a.Head.Store] == nil {
			stores, from[a.Head.Store] = append(stores, a.Head.Store), a.Head.At
		}
		values[a.Head.Store], to[a.Head.Store] = append(values[a.Head.Store], 100*a.End.Totals.Share()), a.Head.At
	}
	var list []shareChart
	for _, s := range stores {
		if len(values[s]) < 2 || len(list) == maxCharts {
			continue
		}
		l := sparkline(values[s], 600, 120)
		last := values[s][len(values[s])-1]
		l.Top, l.From, l.To = fmt.Sprintf("%.1f %%", slices.Max(values[s])), from[s].UTC().Format("2006-01-02 15:04"), to[s].UTC().Format("2006-01-02 15:04")
		l.Says = fmt.Sprintf("The share of %s that is duplicate, over %d analyses: at most %s, at last %.1f %%.", s, len(values[s]), l.Top, last)
		list = append(list, shareChart{Store: s, Chart: l, Last: fmt.Sprintf("%.1f %%", last), Says: l.Says})
	}
	return list
}

// newAnalysisBody is the form of a new analysis.
type newAnalysisBody struct {
	Once  string // tells one sending of the form from another
	Store string
	Rules dedupe.RuleSpec
	Table string
}

func (d *dedupes) newForm(*visit) (content, error) {
	s := d.o.Dedupe.Spec
	defaults := decide.Defaults()
	r := s.Rules
	if r.Threshold == nil {
		r.Threshold = &defaults.Threshold
	}
	if r.Containment == nil {
		r.Containment = &defaults.Containment
	}
	if r.RecencyDays == nil {
		n := defaults.Recency.Hours() / 24
		r.RecencyDays = &n
	}
	return content{Title: "New analysis", Still: true, Body: newAnalysisBody{Once: rand.Text(), Store: s.Store, Rules: r, Table: cmp.Or(s.Layout.Registry.Table, "data_set")}}, nil
}

// analyse submits an analysis.
func (d *dedupes) analyse(v *visit) (string, string, error) {
	spec := d.o.Dedupe.Spec
	spec.Store = strings.TrimSpace(v.PostFormValue("store"))
	if spec.Store == "" {
		return "", "", badInput("write the name of a connection of the configuration", "which store is to be analysed?")
	}
	if text := strings.TrimSpace(v.PostFormValue("threshold")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return "", "", badInput("write a whole number of 1 or more; 25 is the default", "a threshold of %q is none", clip(text, 40))
		}
		spec.Rules.Threshold = &n
	}
	var err error
	if spec.Rules.Containment, err = ruleNumber(v, "containment", spec.Rules.Containment, "write a share above 0 and up to 1, such as 0.9", func(x float64) bool { return x > 0 && x <= 1 }); err != nil {
		return "", "", err
	}
	if spec.Rules.RecencyDays, err = ruleNumber(v, "recency_days", spec.Rules.RecencyDays, "write days, such as 7; 0 protects none", func(x float64) bool { return x >= 0 }); err != nil {
		return "", "", err
	}
	if text := strings.FieldsFunc(v.PostFormValue("exempt"), func(r rune) bool { return r == ',' || r == ' ' }); len(text) > 0 {
		spec.Rules.Exempt = text
	}
	return d.submitted(v, "dedupe-page-"+v.PostFormValue("once"), strings.TrimSpace(v.PostFormValue("tenant")), spec)
}

// ruleNumber reads a field of a form; an empty one is what was before.
func ruleNumber(v *visit, name string, was *float64, hint string, fine func(float64) bool) (*float64, error) {
	text := strings.TrimSpace(v.PostFormValue(name))
	if text == "" {
		return was, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(x, 0) || !fine(x) {
		return nil, badInput(hint, "%q cannot be the %s", clip(text, 40), words(name))
	}
	return &x, nil
}

// submitted submits an analysis; the same words by the same key are one job, however often somebody clicks.
func (d *dedupes) submitted(v *visit, key, tenant string, spec dedupe.Spec) (string, string, error) {
	spec.Apply, spec.KeepArchives = nil, "" // it only looks
	text, err := json.Marshal(spec)
	if err != nil {
		return "", "", fmt.Errorf("encode spec: %w", err)
	}
	sum := sha256.Sum256(text)
	done, err := v.client.Submit(v.ctx, key+"-"+hex.EncodeToString(sum[:8]), wire.Submission{Kind: dedupe.Kind, Tenant: tenant, Spec: text})
	if err != nil {
		return "", "", err
	}
	if done.Outcome == wire.OutcomeExists {
		return to("dedupe", done.ID), "It was asked for before; here it is.", nil
	}
	return to("dedupe", done.ID), "The analysis is on its way. It changes nothing in the store.", nil
}

// analyseAgain submits what an analysis was asked for once more.
func (d *dedupes) analyseAgain(v *visit) (string, string, error) {
	a, err := v.client.Analysis(v.ctx, v.PathValue("id"))
	if err != nil {
		return "", "", err
	}
	var spec dedupe.Spec
	if err := json.Unmarshal(a.Job.Spec, &spec); err != nil {
		return "", "", fmt.Errorf("read the spec of job %s: %w", a.Job.ID, err)
	}
	return d.submitted(v, "dedupe-after-"+a.Job.ID, a.Job.Tenant, spec)
}

// file sends a file of an analysis or a deletion.
func (d *dedupes) file(w http.ResponseWriter, v *visit) error {
	body, o, err := v.client.Output(v.ctx, v.PathValue("id"), v.PathValue("name"))
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return sendDedupeFile(w, v.PathValue("id")+"-"+o.Name, cmp.Or(o.ContentType, "application/octet-stream"), o.Size, body)
}
