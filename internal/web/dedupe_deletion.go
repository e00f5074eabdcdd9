package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// deletionBody is a job that deletes, or has.
type deletionBody struct {
	*wire.Job
	Outputs  []tasks.Output
	Analysis string // the job that made it
	Store    string
	Limit    int
	By       string

	File     *deletionFile // nil until it has ended
	Wrong    *shown
	Gone     record.Gone
	Stayed   int64 // data sets that did not go as the analysis said
	Rest     int64 // that were over the limit, or not reached
	Outcomes []outcomeLine
	Outcome  string // of the page
	Page     *gonePage
	Before   string
	After    string
	Archived bool // something can be put back
	Back     []*wire.Job
	Putting  bool // a restoration goes on
}

// outcomeLine counts the data sets of an outcome.
type outcomeLine struct {
	Outcome record.Outcome
	Words   string
	Tone    string
	record.Gone
}

// outcomeWords are the outcomes of a deletion in a few words, and their colours.
var outcomeWords = map[record.Outcome][2]string{
	record.Deleted: {"gone, and archived", "good"}, record.Spared: {"checked again, and left alone", "warn"}, record.Stopped: {"stopped in the middle, and put back", "warn"},
	record.Failed: {"could not be deleted", "bad"}, record.Unfinished: {"the job ended in the middle of it", "warn"}, record.NotReached: {"the job ended before its turn", "calm"}, record.OverLimit: {"over the limit, not touched", "calm"},
}

func (d *dedupes) deletion(v *visit) (content, error) {
	j, err := v.client.Job(v.ctx, v.PathValue("id"))
	if err != nil {
		return content{}, err
	}
	b := deletionBody{Job: j, By: j.Labels[wire.LabelApprovedBy]}
	var spec struct {
		Job   string            `json:"job"`
		Store string            `json:"store"`
		Apply *dedupe.ApplySpec `json:"apply"`
	}
	if err := json.Unmarshal(j.Spec, &spec); err != nil || spec.Apply == nil || j.Kind != dedupe.KindDeletion && j.Kind != dedupe.Kind {
		return content{}, &wire.Problem{Status: 404, Detail: fmt.Sprintf("job %s is a %s that deletes nothing", j.ID, j.Kind), Hint: "See the deletions on the page Dedupe."}
	}
	b.Analysis, b.Store, b.Limit = spec.Job, spec.Store, spec.Apply.Limit
	if j.Kind == dedupe.Kind { // that is both in one
		b.Analysis = j.ID
	}
	if b.Outputs, err = v.client.Outputs(sinceEnd(v.ctx, j), j.ID); err != nil {
		return content{}, err
	}
	if slices.ContainsFunc(b.Outputs, func(o tasks.Output) bool { return o.Name == dedupe.OutputDeletions }) {
		if err := d.readDeletions(v, &b); err != nil {
			return content{}, err
		}
	}
	if b.Back, err = d.restorationsOf(v, j.ID); err != nil {
		return content{}, err
	}
	for _, r := range b.Back {
		b.Putting = b.Putting || !r.State.Ended()
	}
	return content{Title: "Deletion " + j.ID, Body: b, Still: j.State.Ended() && !b.Putting && !can(v.me, "operator")}, nil
}

// readDeletions fills in what the file says.
func (d *dedupes) readDeletions(v *visit, b *deletionBody) error {
	f, err := d.deletionsOf(v, b.Job)
	if err != nil {
		if v.ctx.Err() != nil {
			return err
		}
		b.Wrong = problemOf(err)
		return nil
	}
	b.File, b.Gone = f, f.Gone()
	for _, o := range record.Outcomes {
		n, there := f.End.Totals.Outcomes[o]
		if !there {
			continue
		}
		b.Outcomes = append(b.Outcomes, outcomeLine{o, outcomeWords[o][0], outcomeWords[o][1], n})
		switch o {
		case record.Spared, record.Stopped, record.Failed, record.Unfinished:
			b.Stayed += n.Sets
		case record.OverLimit, record.NotReached:
			b.Rest += n.Sets
		}
	}
	b.Archived = f.End.Totals.Parts > 0
	q := v.URL.Query()
	page := pageOf(q.Get("page"))
	b.Outcome = q.Get("outcome")
	if b.Page, err = d.goneOf(v, b.Job, b.Outcome, page); err != nil {
		return err
	}
	b.Before, b.After = pagesAround(v, page, b.Page.More)
	return nil
}

// lastRestorations is how many of the newest are looked through for those of one deletion.
const lastRestorations = 50

// restorationsOf lists the jobs that put back what one has deleted, the newest first.
func (d *dedupes) restorationsOf(v *visit, id string) ([]*wire.Job, error) {
	page, err := v.client.Jobs(v.ctx, client.Filter{Kind: dedupe.KindRestoration, Limit: lastRestorations})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(page.Jobs, func(j *wire.Job) bool { return d.about(v, j.ID) != id }), nil
}

// setValue names a data set in a form.
func setValue(customer, database string) string {
	return url.PathEscape(customer) + "/" + url.PathEscape(database)
}

func readSet(value string) (s wire.DataSet, ok bool) {
	customer, database, ok := strings.Cut(value, "/")
	if !ok {
		return s, false
	}
	var err, err2 error
	s.Customer, err = url.PathUnescape(customer)
	s.Database, err2 = url.PathUnescape(database)
	return s, err == nil && err2 == nil
}

// undo asks for what was deleted to be put back: all of it, or what was chosen.
func (d *dedupes) undo(v *visit) (string, string, error) {
	id := v.PathValue("id")
	if v.PostFormValue("sure") == "" {
		return "", "", badInput("tick “yes, put back” as well", "nothing was put back")
	}
	u := wire.Undo{}
	if v.PostFormValue("what") == "chosen" {
		for _, value := range slices.Sorted(slices.Values(v.PostForm["set"])) {
			s, ok := readSet(value)
			if !ok {
				return "", "", badInput("load the page again", "%q names no data set", clip(value, 80))
			}
			u.Sets = append(u.Sets, s)
		}
		if len(u.Sets) == 0 {
			return "", "", badInput("tick the boxes before them, or put back all", "no data set is chosen")
		}
	}
	// Two clicks are one restoration; after that one has come, the same words are another.
	last := ""
	back, err := d.restorationsOf(v, id)
	if err != nil {
		return "", "", err
	}
	if len(back) > 0 {
		last = back[0].ID
		if !back[0].State.Ended() {
			return "", "", badInput("wait for its end", "the restoration %s is %s", last, back[0].State)
		}
	}
	text, err := json.Marshal(u.Sets)
	if err != nil {
		return "", "", fmt.Errorf("encode data sets: %w", err)
	}
	sum := sha256.Sum256(text)
	done, err := v.client.Undo(v.ctx, id, strings.Join([]string{"undo-of", id, "after", last, hex.EncodeToString(sum[:8])}, "-"), u)
	if err != nil {
		return "", "", err
	}
	return "", "It is being put back, by job " + done.ID + ".", nil
}
