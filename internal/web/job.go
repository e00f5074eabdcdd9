package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func (s *Site) jobPageRoutes() {
	s.page("/jobs/{id}", "jobs", "job", s.jobOverview)
	s.page("/jobs/{id}/events", "jobs", "job", s.jobEvents)
	s.page("/jobs/{id}/rejects", "jobs", "job", s.jobRejects)
	s.page("/jobs/{id}/report", "jobs", "job", s.jobReport)
	s.page("/jobs/{id}/spec", "jobs", "job", s.jobSpec)
	for _, verb := range []string{client.Pause, client.Resume, client.Retry, client.Cancel, client.Restart} {
		s.action("/jobs/{id}/"+verb, func(v *visit) (string, string, error) { return s.steerJob(v, verb) })
	}
	for _, verb := range []string{client.Cancel, client.Restart} {
		s.page("/jobs/{id}/"+verb, "jobs", "jobask", func(v *visit) (content, error) { return s.askJob(v, verb) })
	}
	s.action("/jobs/{id}/rejects/again", s.sendRejectsAgain)
	s.download("/jobs/{id}/rejects.ndjson", s.rejectsNDJSON)
	s.download("/jobs/{id}/rejects.csv", s.rejectsCSV)
	s.download("/jobs/{id}/report.json", s.reportFile(client.ReportJSON, "application/json"))
	s.download("/jobs/{id}/report.md", s.reportFile(client.ReportMarkdown, "text/markdown; charset=utf-8"))
	s.download("/jobs/{id}/report.html", s.reportFile(client.ReportHTML, "text/html; charset=utf-8"))
	s.download("/jobs/{id}/outputs/{name}", s.jobOutput)
	s.page("/jobs/new", "jobs", "jobnew", s.newJob)
	s.mux.HandleFunc("POST /jobs/new", s.startJob)
}

// The parts of a job's page, each with an address of its own.
const (
	tabOverview = "overview"
	tabEvents   = "events"
	tabRejects  = "rejects"
	tabReport   = "report"
	tabSpec     = "spec"
)

// jobBody is the page of a job: what all of its parts show, and one part.
type jobBody struct {
	*wire.Job
	Tab     string
	HeldWhy string // why nothing of it is started, in words
	Can     jobCan
	Rows    bool // it may set rows aside
	Own     ownPage

	Overview *jobLook
	Events   *eventsLook
	Rejects  *rejectsLook
	Report   *reportLook
}

// ownPage is where more is shown of a job of some kinds; the zero value is nowhere.
type ownPage struct{ Link, Says string }

func ownPageOf(j *wire.Job) ownPage {
	switch j.Kind {
	case "build":
		return ownPage{to("builds", j.ID), "Logs and packages"}
	case "dedupe":
		return ownPage{to("dedupe", j.ID), "What it found"}
	case "deletion":
		return ownPage{to("dedupe", "deletions", j.ID), "What it deleted"}
	}
	return ownPage{}
}

// jobCan says what can be done with a job as it stands.
type jobCan struct{ Pause, Resume, Cancel, Retry, Restart bool }

func canDo(j *wire.Job) jobCan {
	over := j.State.Ended()
	return jobCan{
		Pause:   !over && j.State != tasks.Paused,
		Resume:  j.State == tasks.Paused,
		Cancel:  !over,
		Retry:   j.State == tasks.Failed || j.State == tasks.Succeeded && j.Counters.StepsFailed > 0,
		Restart: over,
	}
}

// heldWhy says in words why nothing of a job is started.
func heldWhy(held string) string {
	switch held {
	case "":
		return ""
	case store.HeldByLimit:
		return "Its tenant has as many running jobs as it may have. It begins when one of them has ended."
	case store.HeldByMaintenance:
		return "Its kind is under maintenance. It begins when that is over."
	}
	return "Held: " + held
}

// Why says why the job failed, as a sentence; Advice what to do.
func (b *jobBody) Why() string { return sentence(b.Error.Message) }

// Advice says what to do about a job that failed; "" when nobody knows.
func (b *jobBody) Advice() string { return sentence(b.Error.Hint) }

// FailedName names a step that failed for good: one that planned the job, or divided a stage, has the name of what it did.
func (b *jobBody) FailedName(f wire.FailedStep) string {
	kind, i, _ := store.ParseKey(f.Step)
	split := kind == store.SplitKey && strings.Contains(f.Step, ".") && i >= 0 && i < len(b.Stages) && b.Stages[i].Name == f.Stage
	if f.Stage == "" || split {
		return stepName(b.Job, f.Step)
	}
	return f.Stage + " / " + f.Step
}

// jobPage begins the page of a job.
func (s *Site) jobPage(v *visit, tab string) (*jobBody, error) {
	j, err := v.client.Job(v.ctx, v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return &jobBody{Job: j, Tab: tab, HeldWhy: heldWhy(j.Held), Can: canDo(j), Rows: setsAside(j), Own: ownPageOf(j)}, nil
}

// setsAside reports whether a job may set rows aside.
func setsAside(j *wire.Job) bool { return j.Kind == "migration" || j.Counters.Quarantined > 0 }

// jobLook is what a job does now, and what has become of it.
type jobLook struct {
	Percent    int // of its rows, or of its steps where nobody knows how many rows there are
	Whole      int64
	ByRows     bool
	AllRead    bool    // nothing is left but steps without rows
	Rate       float64 // rows read a second, of the last seconds
	Ready      string  // when all rows will have been read, in words
	Stages     []stageLook
	Graph      []part
	Out        []workerOut
	OnQueue    int // steps that no worker has begun
	Account    *wire.Report
	Handovers  []handover
	Outputs    []tasks.Output
	Deletions  []wire.JobLink
	MoreFound  int64 // findings that are not among those that are shown
	AccountOut bool  // the account could not be read just now
}

// stageLook is a stage as a row of a table.
type stageLook struct {
	wire.Stage
	Is      string // its state, in the words of the page
	Percent int    // -1: not known
	Over    bool   // it has more rows than were estimated
}

// workerOut is what a worker holds of a job.
type workerOut struct {
	Worker string
	Steps  []wire.Out // the oldest first
	More   int        // those that are not shown
}

// mostOut is how many steps of a worker are shown, mostFound how many findings and failed steps.
const (
	mostOut   = 12
	mostFound = 50
)

func (s *Site) jobOverview(v *visit) (content, error) {
	b, err := s.jobPage(v, tabOverview)
	if err != nil {
		return content{}, err
	}
	j := b.Job
	l := &jobLook{Rate: rateNow(j), Ready: readyIn(j, time.Now())}
	l.Stages, l.Graph = looksOf(j)
	l.Percent, l.Whole, l.ByRows = progressOf(j)
	l.AllRead = allRead(j) && !j.State.Ended()
	l.Out, l.OnQueue = outOf(j.Out)
	if l.Account = s.accountOf(v, j); l.Account == nil {
		l.AccountOut = true
	} else {
		l.Handovers = handoversOf(l.Account)
		l.MoreFound = max(0, j.Findings-int64(min(len(l.Account.Findings), mostFound)))
	}
	if j.State.Ended() {
		if l.Outputs, err = outputsOf(v, j); err != nil {
			return content{}, err
		}
	}
	if j.Kind == "dedupe" {
		if x, err := v.client.Analysis(v.ctx, j.ID); err == nil { // a page without them is better than none
			l.Deletions = x.Deletions
		}
	}
	b.Overview = l
	whole := l.Account != nil && l.Account.Job.State.Ended() // one of just before the end lacks its end
	return content{Title: j.ID, Body: b, Still: j.State.Ended() && whole}, nil
}

// outputsOf lists the files of a job; a kind that leaves none behind has none.
func outputsOf(v *visit, j *wire.Job) ([]tasks.Output, error) {
	list, err := v.client.Outputs(sinceEnd(v.ctx, j), j.ID)
	if st := statusOf(err); st == http.StatusUnprocessableEntity || st == http.StatusServiceUnavailable {
		return nil, nil
	}
	return list, err
}

// readSoFar adds up how many rows a job has read, and how many it will have as far as anybody knows.
func readSoFar(j *wire.Job) (read, whole int64, estimated bool) {
	for _, st := range j.Stages {
		read += st.Counters.Read
		whole += max(st.Rows, st.Counters.Read)
		estimated = estimated || st.Rows > 0
	}
	return read, whole, estimated
}

// progressOf is how far a job is, in per cent of its rows where their number is known, else of its steps.
func progressOf(j *wire.Job) (percentDone int, whole int64, byRows bool) {
	read, whole, byRows := readSoFar(j)
	switch {
	case j.State == tasks.Succeeded:
		return 100, whole, byRows
	case byRows && read < whole:
		return percent(read, whole), whole, true
	}
	percentDone = percent(j.Counters.StepsDone, j.Counters.StepsKnown)
	if percentDone == 100 || byRows { // more steps may come, or rows that were read are not all of the work
		percentDone = 99
	}
	return percentDone, whole, byRows
}

// rateNow is how many rows a job has read a second, of late.
func rateNow(j *wire.Job) float64 {
	n := len(j.Pace)
	if j.State != tasks.Running || n < 2 {
		return 0
	}
	a, b := j.Pace[max(0, n-4)], j.Pace[n-1]
	d := b.At.Sub(a.At).Seconds()
	if d <= 0 {
		return 0
	}
	return max(0, float64(b.Read-a.Read)/d)
}

// allRead reports whether a job has read all rows that it knows of; what is left are steps without rows.
func allRead(j *wire.Job) bool {
	read, whole, estimated := readSoFar(j)
	return estimated && read >= whole
}

// readyIn says when the rows of a job will have been read.
func readyIn(j *wire.Job, now time.Time) string {
	switch {
	case j.State.Ended():
		return "it has ended"
	case j.State == tasks.Paused:
		return "when it is resumed"
	case allRead(j):
		return "all there"
	case j.ETA == nil:
		return "calculating"
	case j.ETA.Before(now):
		return "any moment"
	}
	return "in " + duration(j.ETA.Sub(now).Round(time.Second))
}

// stageIs is the state of a stage in words that the job's own state colours.
func stageIs(j *wire.Job, st *wire.Stage) string {
	switch {
	case st.Counters.StepsFailed > 0:
		return "failed"
	case st.State == "done":
		return "done"
	case st.State == "waiting":
		return "not begun"
	case j.State == tasks.Running:
		return "running"
	case j.State == tasks.Paused:
		return "paused"
	}
	return "stopped"
}

func looksOf(j *wire.Job) ([]stageLook, []part) {
	looks, parts := make([]stageLook, len(j.Stages)), make([]part, len(j.Stages))
	for i, st := range j.Stages {
		l := stageLook{Stage: st, Is: stageIs(j, &st), Percent: -1, Over: st.Rows > 0 && st.Counters.Read > st.Rows}
		switch c := st.Counters; {
		case st.State == "done":
			l.Percent = 100
		case st.State == "waiting":
			l.Percent = 0
		case st.Rows > 0:
			l.Percent = percent(c.Read, st.Rows)
		case c.StepsKnown > 0:
			l.Percent = percent(c.StepsDone, c.StepsKnown)
		}
		note := ""
		if st.Counters.StepsKnown > 0 {
			note = number(st.Counters.StepsDone) + " of " + number(st.Counters.StepsKnown)
		}
		looks[i] = l
		parts[i] = part{Name: st.Name, State: l.Is, After: st.After, Done: l.Percent, Note: note}
	}
	return looks, parts
}

// outOf groups the steps that are out by the worker that holds them.
func outOf(out []wire.Out) (list []workerOut, onQueue int) {
	by := map[string][]wire.Out{}
	for _, o := range out {
		if o.Worker == "" {
			onQueue++
			continue
		}
		by[o.Worker] = append(by[o.Worker], o)
	}
	for worker, steps := range by {
		slices.SortFunc(steps, func(a, b wire.Out) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Step, b.Step))
		})
		list = append(list, workerOut{Worker: worker, Steps: steps[:min(len(steps), mostOut)], More: max(0, len(steps)-mostOut)})
	}
	slices.SortFunc(list, func(a, b workerOut) int { return cmp.Compare(a.Worker, b.Worker) })
	return list, onQueue
}

// steerJob does one thing with a job, and leads to its page.
func (s *Site) steerJob(v *visit, verb string) (string, string, error) {
	id := v.PathValue("id")
	done, err := v.client.Control(v.ctx, id, verb)
	if err != nil {
		return "", "", err
	}
	said := map[string]string{
		client.Pause:   "It is paused: what runs comes to its end, and nothing more is handed out.",
		client.Resume:  "It goes on.",
		client.Retry:   "What had failed is tried again.",
		client.Cancel:  "It is cancelled.",
		client.Restart: "It begins anew.",
	}[verb]
	if why := heldWhy(heldOf(v.ctx, v, id)); why != "" && !done.State.Ended() {
		said += " " + why
	}
	return to("jobs", id), said, nil
}

// heldOf reads why a job is held, "" also when that cannot be told just now.
func heldOf(ctx context.Context, v *visit, id string) string {
	j, err := v.client.Job(ctx, id)
	if err != nil {
		return ""
	}
	return j.Held
}

// askJobBody asks before something is done that cannot be taken back.
type askJobBody struct {
	*wire.Job
	Verb   string
	Title  string
	Says   []string
	Button string
	Danger bool
}

// askJob is a page that asks. It does not offer what cannot be done.
func (s *Site) askJob(v *visit, verb string) (content, error) {
	j, err := v.client.Job(v.ctx, v.PathValue("id"))
	if err != nil {
		return content{}, err
	}
	b := askJobBody{Job: j, Verb: verb}
	can := canDo(j)
	switch {
	case verb == client.Cancel && can.Cancel:
		b.Title, b.Button, b.Danger = "Cancel this job?", "Yes, cancel it", true
		b.Says = []string{"What runs of it is stopped. A job that is cancelled does not go on; it can only begin anew.",
			fmt.Sprintf("%s of %s known steps are done, %s rows are written. They stay where they are.", number(j.Counters.StepsDone), number(j.Counters.StepsKnown), number(j.Counters.Written)),
			"To stop it for a while, pause it."}
	case verb == client.Restart && can.Restart:
		b.Title, b.Button = "Begin this job anew?", "Yes, begin anew"
		b.Says = []string{"It is planned again, and all of its steps run again. Its counters, findings and failed steps are forgotten.",
			"What the target's ledger knows to be there already is not written twice. Kinds without a ledger do all their work again."}
		if can.Retry {
			b.Says = append(b.Says, "To run only what failed, go back and try the failed steps again.")
		}
	default:
		b.Title = "There is nothing to " + verb
		b.Says = []string{fmt.Sprintf("The job is %s.", strings.ToLower(words(j.State)))}
	}
	return content{Title: b.Title, Body: b, Still: true}, nil
}
