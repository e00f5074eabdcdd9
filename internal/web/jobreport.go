package web

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/tasks"
)

// reportLook is the report of a job as a page.
type reportLook struct {
	*report.Document
	Digest  string
	Gaps    []string
	Outputs []tasks.Output
	Verify  []wire.Verification
	About   *wire.JobLink
}

// leftOut are the parts of the report that have a page of their own.
var leftOut = map[string]bool{"history": true, "spec": true}

func (s *Site) jobReport(v *visit) (content, error) {
	b, err := s.jobPage(v, tabReport)
	if err != nil {
		return content{}, err
	}
	r, err := v.client.Report(v.ctx, b.ID)
	if err != nil {
		return content{}, err
	}
	d := report.Compose(r)
	parts := d.Parts[:0]
	for _, p := range d.Parts {
		if !leftOut[p.ID] {
			parts = append(parts, p)
		}
	}
	d.Parts = parts
	b.Report = &reportLook{Document: d, Digest: r.Digest, Gaps: r.Gaps, Verify: r.Verifications, About: r.About}
	if b.Report.Outputs, err = outputsOf(v, b.Job); err != nil {
		return content{}, err
	}
	// It is as of now, and costs too much to be made all the time; but one of just before the end is not what is left of a job.
	return content{Title: b.ID + " · Report", Body: b, Still: r.Job.State.Ended() || !b.State.Ended()}, nil
}

func (s *Site) jobSpec(v *visit) (content, error) {
	b, err := s.jobPage(v, tabSpec)
	if err != nil {
		return content{}, err
	}
	return content{Title: b.ID + " · Spec", Body: b, Still: true}, nil
}

// reportFile sends the report in a format.
func (s *Site) reportFile(format, kind string) func(w http.ResponseWriter, v *visit) error {
	ending := map[string]string{"json": "json", "markdown": "md", "html": "html"}[format]
	return func(w http.ResponseWriter, v *visit) error {
		text, err := v.client.ReportAs(v.ctx, v.PathValue("id"), format)
		if err != nil {
			return err
		}
		attach(w, v.PathValue("id")+"-report."+ending, kind)
		_, err = w.Write(text)
		return err
	}
}

// jobOutput sends a file that a job has left behind, whatever it is, as a file to save.
func (s *Site) jobOutput(w http.ResponseWriter, v *visit) error {
	body, o, err := v.client.Output(v.ctx, v.PathValue("id"), v.PathValue("name"))
	if err != nil {
		return err
	}
	defer body.Close()
	attach(w, o.Name, "application/octet-stream")
	if o.Size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(o.Size, 10))
	}
	_, err = io.Copy(&unhurried{http.NewResponseController(w), w}, body)
	return err
}

// unhurried lets a download go on for as long as somebody reads it.
type unhurried struct {
	c *http.ResponseController
	w io.Writer
}

func (p *unhurried) Write(b []byte) (int, error) {
	_ = p.c.SetWriteDeadline(time.Now().Add(2 * time.Minute))
	return p.w.Write(b)
}
