package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// stagesPart has two tables: what was moved, and how the work went.
func stagesPart(r *wire.Report) Part {
	p := Part{ID: "stages", Title: "Stages"}
	if len(r.Job.Stages) == 0 {
		p.Text = []string{"The job has not been planned."}
		return p
	}
	moved := Table{Caption: "Rows", Heads: heads("Stage", "State", "Steps#", "Read#", "Written#", "Set aside#", "Left out#", "Bytes#", "Rows a second#")}
	work := Table{Caption: "Work", Heads: heads("Stage", "Started@", "Ended@", "Took#", "Busy#", "Failed attempts#", "Given back#", "Lost#", "Rows a busy second#")}
	for i, st := range r.Job.Stages {
		var x wire.StageReport
		if i < len(r.Stages) {
			x = r.Stages[i]
		}
		c := st.Counters
		moved.Rows = append(moved.Rows, []string{st.Name, st.State, steps(c), count(c.Read), count(c.Written), count(c.Quarantined), count(c.Skipped), count(c.Bytes), speed(st.Rate)})
		took := ""
		if x.DurationMS > 0 || st.EndedAt != nil {
			took = length(x.DurationMS)
		}
		work.Rows = append(work.Rows, []string{st.Name, exactly(st.StartedAt), exactly(st.EndedAt), took, length(x.BusyMS), count(x.Failed), count(x.GivenBack), count(x.Lost + x.Revoked), speed(x.RowsPerBusySecond)})
	}
	c := r.Job.Counters
	moved.Rows = append(moved.Rows, []string{"All", "", steps(c), count(c.Read), count(c.Written), count(c.Quarantined), count(c.Skipped), count(c.Bytes), ""})
	p.Tables = []Table{moved, work}
	return p
}

func steps(c wire.Counters) string {
	text := count(c.StepsDone) + "/" + count(c.StepsKnown)
	if c.StepsFailed > 0 {
		text += " (" + count(c.StepsFailed) + " failed)"
	}
	return text
}

func speed(perSecond float64) string {
	if perSecond <= 0 {
		return ""
	}
	return count(int64(math.Round(perSecond)))
}

// proofPart says what the sink itself knows; nothing when the family has nothing to say.
func proofPart(r *wire.Report) []Part {
	p := Part{ID: "proof", Title: "What the target proves"}
	rows := Table{Caption: "Committed", Heads: heads("Stage", "Rows#", "Commits#", "First commit@", "Last commit@", "Workers", "Hash")}
	reasons := Table{Caption: "Rows that were not written", Heads: heads("Stage", "What became of them", "Reason", "Rows#")}
	for _, st := range r.Stages {
		x := st.Proof
		if x == nil {
			continue
		}
		if x.Hash != "" || x.Rows+x.Commits > 0 {
			rows.Rows = append(rows.Rows, []string{st.Name, count(x.Rows), count(x.Commits), exactly(x.FirstCommit), exactly(x.LastCommit), strings.Join(x.Workers, ", "), x.Hash})
		}
		if x.HashOf != "" && !slices.Contains(p.Text, "Hash: "+x.HashOf) {
			p.Text = append(p.Text, "Hash: "+x.HashOf)
		}
		for _, l := range []struct {
			what string
			list []tasks.RowReason
		}{{"set aside", x.Quarantined}, {"left out on purpose", x.Skipped}} {
			for _, reason := range l.list {
				reasons.Rows = append(reasons.Rows, []string{st.Name, l.what, reason.Reason, count(reason.Rows)})
			}
		}
	}
	for _, t := range []Table{rows, reasons} {
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, t)
		}
	}
	if len(p.Tables) == 0 {
		return nil
	}
	return []Part{p}
}

func verificationPart(r *wire.Report) Part {
	p := Part{ID: "verification", Title: "Verification"}
	if r.About != nil {
		p.Text = append(p.Text, strings.TrimRight(fmt.Sprintf("This job is about %s, a %s", r.About.ID, r.About.Kind), " ,a")+".")
		if r.About.Kind == "" {
			p.Text = []string{fmt.Sprintf("This job is about %s, which is not kept any more.", r.About.ID)}
		}
	}
	if len(r.Verifications) == 0 {
		if r.About == nil {
			p.Text = append(p.Text, "No verification of this job is known here.")
		}
		return p
	}
	t := Table{Heads: heads("Job", "State", "Ended@", "Result", "Rows compared#", "In quarantine#", "Differences#")}
	for _, x := range r.Verifications {
		result := ""
		switch {
		case x.Equal:
			result = "equal"
		case x.State == tasks.Succeeded:
			result = "different"
		}
		t.Rows = append(t.Rows, []string{x.ID, string(x.State), moment(x.EndedAt), result, count(x.Rows), count(x.Quarantined), count(x.Differences)})
	}
	p.Tables = []Table{t}
	return p
}

func workersPart(r *wire.Report) Part {
	p := Part{ID: "workers", Title: "Workers"}
	if len(r.Workers) == 0 {
		p.Text = []string{"No worker is known to have taken part."}
		return p
	}
	t := Table{Heads: heads("Worker", "Version", "First attempt@", "Last end@", "Busy#", "Steps done#", "Planned#", "Given back#", "Failed#", "Lost#")}
	for _, w := range r.Workers {
		id := w.ID
		if id == "" {
			id = "all others"
		}
		t.Rows = append(t.Rows, []string{id, w.Version, exactly(w.FirstAt), exactly(w.LastAt), length(w.BusyMS), count(w.Done), count(w.Planned), count(w.GivenBack), count(w.Failed), count(w.Lost + w.Revoked)})
	}
	p.Tables = []Table{t}
	return p
}

// whys says why a worker drains.
var whys = map[string]string{wire.DrainByProcess: "its process was told to stop, or asked at its own port", wire.DrainByRequest: "a request", wire.DrainByFence: "a version fence"}

func drainsPart(r *wire.Report) Part {
	p := Part{ID: "drains", Title: "Drains"}
	if len(r.Drains) == 0 {
		p.Text = []string{"No worker is known to have been drained while it worked on this job."}
		return p
	}
	t := Table{Heads: heads("Worker", "Asked@", "By", "Why", "Came to rest@", "After#", "Held#", "Given back#", "Ended#", "Cut#")}
	for _, d := range r.Drains {
		over, after := exactly(d.OverAt), ""
		switch d.State {
		case wire.DrainUndone:
			over += " (taken back)"
		case wire.DrainAsked:
			over = "not known"
		}
		if d.OverAt != nil && d.AskedAt != nil {
			after = length(d.OverAt.Sub(*d.AskedAt).Milliseconds())
		}
		why := whys[d.Why]
		if why == "" {
			why = d.Why
		}
		t.Rows = append(t.Rows, []string{d.Worker, exactly(d.AskedAt), d.By, why, over, after, count(d.Held), count(d.GivenBack), count(d.Ended), count(d.Cut)})
	}
	p.Tables = []Table{t}
	return p
}

func lossesPart(r *wire.Report) Part {
	p := Part{ID: "losses", Title: "Lost workers"}
	if len(r.Losses) == 0 {
		p.Text = []string{"No worker is known to have vanished with steps of this job."}
		return p
	}
	t := Table{Heads: heads("Worker", "Noticed@", "Steps handed out again#", "Begun again#", "Last begun again@", "After#")}
	lost := Table{Caption: "Steps", Heads: heads("Worker", "Stage", "Step", "Taken back@", "Begun again@", "After#", "By")}
	after := func(from time.Time, to *time.Time) string {
		if to == nil {
			return ""
		}
		return length(to.Sub(from).Milliseconds())
	}
	for _, l := range r.Losses {
		took := ""
		if l.NoticedAt != nil {
			took = after(*l.NoticedAt, l.LastAgain)
		}
		t.Rows = append(t.Rows, []string{l.Worker, exactly(l.NoticedAt), count(l.Steps), count(l.Again), exactly(l.LastAgain), took})
		for _, s := range l.List {
			lost.Rows = append(lost.Rows, []string{l.Worker, s.Stage, s.Step, exactly(&s.LostAt), exactly(s.Again), after(s.LostAt, s.Again), s.By})
		}
	}
	p.Tables = []Table{t}
	if len(lost.Rows) > 0 {
		p.Tables = append(p.Tables, lost)
	}
	return p
}

func retriesPart(r *wire.Report) Part {
	p := Part{ID: "retries", Title: "Attempts that did not end well"}
	if len(r.Reasons) == 0 {
		p.Text = []string{"No attempt is known to have failed or to have given its step back."}
		return p
	}
	t := Table{Caption: "Reasons", Heads: heads("What", "Times#", "Reason")}
	for _, x := range r.Reasons {
		reason := x.Reason
		if reason == "" {
			reason = "(other reasons)"
		}
		t.Rows = append(t.Rows, []string{words(x.What), count(x.Times), reason})
	}
	each := Table{Caption: "Each failed attempt, as far as the history is kept", Heads: heads("At@", "Stage", "Step", "Worker", "Tried again after#", "Reason")}
	for _, h := range r.History {
		if h.Type != "attempt_failed" && h.Type != "step_failed" {
			continue
		}
		again := "never"
		if h.Type == "attempt_failed" {
			again = ""
			if ms, err := strconv.ParseInt(h.More["again_ms"], 10, 64); err == nil {
				again = length(ms)
			}
		}
		each.Rows = append(each.Rows, []string{exactly(&h.At), h.Stage, h.Step, h.Worker, again, h.Reason})
	}
	p.Tables = []Table{t}
	if len(each.Rows) > 0 {
		p.Tables = append(p.Tables, each)
	}
	return p
}

func findingsPart(r *wire.Report) []Part {
	var list []Part
	if len(r.FailedSteps) > 0 {
		t := Table{Heads: heads("Stage", "Step", "At@", "Attempts#", "Worker", "Reason", "What to do")}
		for _, f := range r.FailedSteps {
			at := time.UnixMilli(f.At)
			t.Rows = append(t.Rows, []string{f.Stage, f.Step, exactly(&at), strconv.Itoa(f.Failed), f.Worker, f.Reason, f.Hint})
		}
		list = append(list, Part{ID: "failed", Title: "Steps that failed for good", Tables: []Table{t}})
	}
	if len(r.Findings) == 0 {
		return list
	}
	t := Table{Heads: heads("Level", "Subject", "Key", "Field", "Message")}
	for _, f := range r.Findings {
		t.Rows = append(t.Rows, []string{f.Level, f.Subject, f.Key, f.Field, f.Message})
	}
	p := Part{ID: "findings", Title: "Findings", Tables: []Table{t}}
	if more := r.Job.Findings - int64(len(r.Findings)); more > 0 {
		p.Text = []string{fmt.Sprintf("There were %s; these are those that are kept.", count(r.Job.Findings))}
	}
	return append(list, p)
}

func historyPart(r *wire.Report) Part {
	t := Table{Heads: heads("At@", "What", "Stage", "Step", "Worker", "By", "Details")}
	for _, h := range r.History {
		var details []string
		if h.Reason != "" {
			details = append(details, h.Reason)
		}
		for _, name := range sorted(h.More) {
			details = append(details, words(name)+" "+h.More[name])
		}
		t.Rows = append(t.Rows, []string{exactly(&h.At), words(h.Type), h.Stage, h.Step, h.Worker, h.By, strings.Join(details, ", ")})
	}
	return Part{ID: "history", Title: "What happened", Text: []string{"All times are UTC."}, Tables: []Table{t}}
}

// words writes the name of a field or an event as people do.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

func sorted(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
