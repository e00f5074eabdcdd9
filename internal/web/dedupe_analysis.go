package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// analysisBody is an analysis.
type analysisBody struct {
	*wire.Job
	Outputs []tasks.Output
	Store   string // by its spec, as long as there is no file
	Own     bool   // its own job deletes: there is nothing to approve
	Failed  bool   // steps failed: it is not whole

	File      *analysisFile // nil until it is whole
	Wrong     *shown        // why the file cannot be read
	Delete    decide.Tally
	Hold      decide.Tally
	Keep      decide.Tally
	Reasons   []reasonLine
	Shares    []shareLine
	Filter    setFilter
	Page      *setPage
	Before    string // addresses of the pages around
	After     string
	Rules     string // in a sentence
	Stale     string // why it is too old to be carried out
	Deletions []dedupeRun
	Running   *dedupeRun // the deletion that goes on
	Newest    string     // the id of the newest deletion
	Recency   string     // days, as analysed
}

// reasonLine counts the data sets of a reason.
type reasonLine struct {
	Reason decide.Reason
	Action decide.Action
	Words  string
	decide.Tally
}

// shareLine is how much of a customer's data may go.
type shareLine struct {
	decide.Share
	Says string
}

func (d *dedupes) analysis(v *visit) (content, error) {
	a, err := v.client.Analysis(v.ctx, v.PathValue("id"))
	if err != nil {
		return content{}, err
	}
	b := analysisBody{Job: a.Job, Outputs: a.Outputs, Failed: a.Job.Counters.StepsFailed > 0}
	var spec dedupe.Spec
	if json.Unmarshal(a.Job.Spec, &spec) == nil {
		b.Store, b.Own = spec.Store, spec.Apply != nil
	}
	for _, l := range a.Deletions {
		j, err := v.client.Job(v.ctx, l.ID)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return content{}, err
		}
		b.Deletions = append(b.Deletions, d.run(v, j))
	}
	for i := range b.Deletions {
		if !b.Deletions[i].State.Ended() {
			b.Running = &b.Deletions[i]
		}
	}
	if len(b.Deletions) > 0 {
		b.Newest = b.Deletions[0].ID
	}
	at := slices.IndexFunc(a.Outputs, func(o tasks.Output) bool { return o.Name == dedupe.OutputAnalysis })
	if at >= 0 {
		if err := d.readAnalysis(v, &b, a.Outputs[at].Digest); err != nil {
			return content{}, err
		}
	}
	still := a.Job.State.Ended() && b.Running == nil && !can(v.me, "operator") // others may approve at any moment
	return content{Title: "Analysis " + a.Job.ID, Body: b, Still: still}, nil
}

// readAnalysis fills in what the file says. A file that is damaged is shown as such.
func (d *dedupes) readAnalysis(v *visit, b *analysisBody, digest string) error {
	f, err := d.analysisOf(v, b.Job, digest)
	if err != nil {
		if v.ctx.Err() != nil {
			return err
		}
		b.Wrong = problemOf(err)
		return nil
	}
	t := f.End.Totals
	b.File = f
	b.Delete, b.Hold, b.Keep = t.Of(decide.Delete), t.Of(decide.Hold), t.Of(decide.Keep)
	for reason, tally := range t.Reasons {
		b.Reasons = append(b.Reasons, reasonLine{reason, reason.Action(), cmp.Or(reasonWords[reason], words(reason)), tally})
	}
	for _, x := range t.Shares[:min(decide.MaxLargest, len(t.Shares))] { // the file has some more
		b.Shares = append(b.Shares, shareLine{x, fmt.Sprintf("%.1f %%", 100*x.Share)})
	}
	order := []decide.Action{decide.Delete, decide.Hold, decide.Keep}
	slices.SortFunc(b.Reasons, func(x, y reasonLine) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.Action), slices.Index(order, y.Action)), cmp.Compare(y.Sets, x.Sets), cmp.Compare(x.Reason, y.Reason))
	})
	b.Rules = rulesSaid(f.Head.Rules)
	b.Recency = strconv.FormatFloat(f.Head.Rules.Recency.Hours()/24, 'f', -1, 64)
	if err := f.Head.Fresh(time.Now(), d.maxAge()); err != nil {
		b.Stale = problemOf(err).Detail
	}
	q := v.URL.Query()
	b.Filter = setFilter{Decision: q.Get("decision"), Reason: q.Get("reason"), Customer: strings.TrimSpace(q.Get("customer")), Page: pageOf(q.Get("page"))}
	if b.Page, err = d.setsOf(v, b.Job, f.Digest, b.Filter); err != nil {
		return err
	}
	b.Before, b.After = pagesAround(v, b.Filter.Page, b.Page.More)
	return nil
}

// maxAge is how old an analysis may be that is carried out; the engine goes by the same.
func (d *dedupes) maxAge() time.Duration {
	if age, err := time.ParseDuration(d.o.Dedupe.Apply.MaxAge); err == nil && age > 0 {
		return age
	}
	return 24 * time.Hour
}

// rulesSaid says by which rules was decided.
func rulesSaid(r decide.Rules) string {
	return fmt.Sprintf("A data set goes when a newer one that stays shares %s GUIDs or more with it and holds %s of it, and it was not synced within %s days. At most %s of a customer's data and %s of all may go.",
		number(r.Threshold), hundredths(r.Containment), strconv.FormatFloat(r.Recency.Hours()/24, 'f', -1, 64), hundredths(r.MaxShareCustomer), hundredths(r.MaxShare))
}

// hundredths writes a share of 0 to 1 as per cent, without digits that say nothing.
func hundredths(x float64) string { return trimZero(100*x) + " %" }

// pageOf reads the number of a page.
func pageOf(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 1
	}
	return min(n, 1<<30)
}

// pagesAround are the addresses of the pages before and behind one.
func pagesAround(v *visit, page int, more bool) (before, after string) {
	at := func(n int) string {
		q := v.URL.Query()
		q.Del("live")
		q.Set("page", strconv.Itoa(n))
		return v.URL.Path + "?" + q.Encode() + "#sets"
	}
	if page > 1 {
		before = at(page - 1)
	}
	if more {
		after = at(page + 1)
	}
	return before, after
}

// apply lets an analysis be carried out, as it was seen.
func (d *dedupes) apply(v *visit) (string, string, error) {
	id := v.PathValue("id")
	text := strings.TrimSpace(v.PostFormValue("limit"))
	if text == "" {
		return "", "", badInput("write the most data sets that are deleted; 0 deletes none", "nothing was approved: how many data sets may go?")
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 0 {
		return "", "", badInput("write a whole number; 0 deletes none", "nothing was approved: %q is no number of data sets", clip(text, 40))
	}
	if v.PostFormValue("sure") == "" {
		return "", "", badInput("tick “yes, delete” as well", "nothing was approved")
	}
	a := d.o.Dedupe.Apply
	a.Limit, a.Digest = limit, v.PostFormValue("digest")
	if a.Digest == "" {
		return "", "", badInput("load the page again", "nothing was approved: the form does not say which analysis was seen")
	}
	if a.RecencyDays, err = ruleNumber(v, "recency_days", nil, "write days, such as 7; not fewer than those of the analysis", func(x float64) bool { return x >= 0 }); err != nil {
		return "", "", err
	}
	newest := v.PostFormValue("newest")
	if id, said, err := d.approvedSince(v, id, newest, a); id != "" || err != nil {
		return id, said, err
	}
	recency := "same"
	if a.RecencyDays != nil {
		recency = strconv.FormatFloat(*a.RecencyDays, 'f', -1, 64)
	}
	// Two clicks are one deletion; after that one has come, the same words are another.
	key := strings.Join([]string{"deletion-of", id, "after", newest, text, recency, a.Digest[:min(len(a.Digest), 20)]}, "-")
	done, err := v.client.Apply(v.ctx, id, key, a)
	if statusOf(err) == http.StatusConflict { // it may be another one now, which not every store of artifacts tells by its list
		if job, err := v.client.Job(v.ctx, id); err == nil {
			d.analyses.forget(nameOf(job))
		}
	}
	if err != nil {
		return "", "", err
	}
	return to("dedupe", "deletions", done.ID), fmt.Sprintf("Approved: at most %s may go. Each is checked again just before.", counted(int64(limit), "data set", "data sets")), nil
}

// approvedSince finds the deletion that somebody has approved since the form was shown: that which the form asks for as well is where it
// leads, and any other is an error, so that two people do not approve twice what each has meant once.
func (d *dedupes) approvedSince(v *visit, id, newest string, a wire.Apply) (string, string, error) {
	of, err := v.client.Analysis(v.ctx, id)
	if err != nil {
		return "", "", err
	}
	if len(of.Deletions) == 0 || of.Deletions[0].ID == newest {
		return "", "", nil
	}
	last, err := v.client.Job(v.ctx, of.Deletions[0].ID)
	if err != nil {
		return "", "", err
	}
	var spec dedupe.DeletionSpec
	same := func(x, y *float64) bool { return x == y || x != nil && y != nil && *x == *y }
	if json.Unmarshal(last.Spec, &spec) == nil && last.Labels[wire.LabelApprovedBy] == v.me.Name && spec.Digest == a.Digest && spec.Apply.Limit == a.Limit && same(spec.Apply.RecencyDays, a.RecencyDays) {
		return to("dedupe", "deletions", last.ID), "It was approved already; here it is.", nil
	}
	return "", "", badInput("look at it, and decide again", "nothing was approved: since you looked, the deletion %s has come", last.ID)
}
