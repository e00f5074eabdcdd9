package web

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// rejectsLook is a page of the rows that a job has set aside.
type rejectsLook struct {
	Rows  []rejectLook
	More  string // the address of the next page
	First string // the address of the first one; "" on it
	Why   *shown // why they cannot be read
	Again bool   // they can be sent again, when somebody may do so
	Wait  bool   // they could, if the job had ended
	From  string // the migration whose rows this job tries again; "" is none
}

// rejectLook is a row that was set aside.
type rejectLook struct {
	Stage, Table, Key, Column, Reason, Code string
	Row                                     string // as JSON
}

const rejectsOnPage = 50

func (s *Site) jobRejects(v *visit) (content, error) {
	b, err := s.jobPage(v, tabRejects)
	if err != nil {
		return content{}, err
	}
	l := &rejectsLook{}
	b.Rejects, b.Rows = l, true
	c := content{Title: b.ID + " · Rows set aside", Body: b, Still: b.State.Ended()}
	after := v.URL.Query().Get("after")
	page, err := v.client.Rejects(v.ctx, b.ID, after, rejectsOnPage)
	if err != nil {
		if isNotFound(err) || isForbidden(err) {
			return content{}, err
		}
		l.Why = problemOf(err) // such as a target that does not answer: the rest of the page holds
		return c, nil
	}
	for _, body := range page.Rejects {
		l.Rows = append(l.Rows, rejectOf(body))
	}
	if page.Next != "" {
		l.More = pageAfter(v.URL, page.Next)
	}
	if after != "" {
		l.First = pageAfter(v.URL, "")
	}
	if b.Kind == migration.Kind && len(l.Rows) > 0 {
		l.Again, l.Wait = b.State.Ended(), !b.State.Ended()
	}
	if spec, err := migrationOf(b.Job); err == nil {
		l.From = spec.Again
	}
	return c, nil
}

// rejectOf reads a row that was set aside; one in another form is shown as it is.
func rejectOf(body json.RawMessage) rejectLook {
	var r sqldb.Quarantined
	if err := json.Unmarshal(body, &r); err != nil || r.Reason == "" && r.Row == "" {
		return rejectLook{Row: pretty(body)}
	}
	return rejectLook{Stage: stageOf(&r), Table: r.Table, Key: r.Key.String(), Column: r.Column, Reason: r.Reason, Code: r.Code, Row: pretty(json.RawMessage(r.Row))}
}

// stageOf is the plan's stage of a row; without a plan, its table.
func stageOf(r *sqldb.Quarantined) string {
	_, name, _ := strings.Cut(r.Stage, ":")
	return name
}

// migrationOf reads the spec of a migration.
func migrationOf(j *wire.Job) (migration.Spec, error) {
	var spec migration.Spec
	if j.Kind != migration.Kind {
		return spec, badInput("only migrations have", "a %s has no rows that could be sent again", j.Kind)
	}
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return spec, fmt.Errorf("read the spec of job %s: %w", j.ID, err)
	}
	return spec, nil
}

// eachReject calls a function for each row that a job has set aside.
func eachReject(w http.ResponseWriter, v *visit, do func(body json.RawMessage) error) error {
	c := http.NewResponseController(w)
	cursor := ""
	for {
		page, err := v.client.Rejects(v.ctx, v.PathValue("id"), cursor, 1000)
		if err != nil {
			return err
		}
		_ = c.SetWriteDeadline(time.Now().Add(2 * time.Minute)) // a long list may take longer than any one page
		for _, body := range page.Rejects {
			if err := do(body); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

func (s *Site) rejectsNDJSON(w http.ResponseWriter, v *visit) error {
	attach(w, v.PathValue("id")+"-rejects.ndjson", "application/x-ndjson")
	out := bufio.NewWriter(w)
	if err := eachReject(w, v, func(body json.RawMessage) error {
		_, err := out.Write(append(body, '\n'))
		return err
	}); err != nil {
		return err
	}
	return out.Flush()
}

func (s *Site) rejectsCSV(w http.ResponseWriter, v *visit) error {
	attach(w, v.PathValue("id")+"-rejects.csv", "text/csv; charset=utf-8")
	buffer := bufio.NewWriter(w)
	out := csv.NewWriter(buffer)
	if err := out.Write([]string{"stage", "table", "key", "column", "code", "reason", "row"}); err != nil {
		return err
	}
	if err := eachReject(w, v, func(body json.RawMessage) error {
		var r sqldb.Quarantined
		if err := json.Unmarshal(body, &r); err != nil {
			return fmt.Errorf("read a row that is set aside: %w", err)
		}
		return out.Write(report.Cells(stageOf(&r), r.Table, r.Key.String(), r.Column, r.Code, r.Reason, r.Row))
	}); err != nil {
		return err
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return err
	}
	return buffer.Flush()
}

// sendRejectsAgain tries what a migration has set aside again, by a job of its own, as stint jobs rejects --send-again does.
func (s *Site) sendRejectsAgain(v *visit) (string, string, error) {
	j, err := v.client.Job(v.ctx, v.PathValue("id"))
	if err != nil {
		return "", "", err
	}
	spec, err := migrationOf(j)
	if err != nil {
		return "", "", err
	}
	if !j.State.Ended() {
		return "", "", badInput("wait for its end, or cancel it", "the job is %s", j.State)
	}
	if spec.Again == "" {
		spec.Again = j.ID
	}
	page, err := v.client.Rejects(v.ctx, spec.Again, "", 1)
	if err != nil {
		return "", "", err
	}
	if len(page.Rejects) == 0 {
		return "", "", badInput("", "nothing is set aside any more")
	}
	sub := wire.Submission{Kind: migration.Kind, Tenant: j.Tenant, Window: j.Window, Continue: true}
	if sub.Spec, err = json.Marshal(spec); err != nil {
		return "", "", fmt.Errorf("encode spec: %w", err)
	}
	done, err := v.client.Submit(v.ctx, "", sub)
	if err != nil {
		return "", "", err
	}
	return to("jobs", done.ID), "This job tries the rows again that " + spec.Again + " has set aside." + heldSaid(done), nil
}

// heldSaid says behind a submission that it waits.
func heldSaid(done *wire.Submitted) string {
	if why := heldWhy(done.Held); why != "" && done.State != tasks.Running {
		return " " + why
	}
	return ""
}
