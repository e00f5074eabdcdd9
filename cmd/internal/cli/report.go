package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// report prints what became of a job, and says by its error whether it did what it was asked.
func (c *command) report(ctx context.Context, s *session, v *wire.Job) error {
	r, err := s.Report(ctx, v.ID)
	if err != nil {
		return err
	}
	if err := c.print(r, func(w io.Writer) { writeReport(w, r) }); err != nil {
		return err
	}
	return failed(v)
}

func writeReport(w io.Writer, r *wire.Report) {
	v := r.Job
	t := newTable("STAGE", "STATE", "STEPS", "READ", "WRITTEN", "QUARANTINED", "SKIPPED", "TIME")
	for _, s := range v.Stages {
		took := ""
		if s.StartedAt != nil && s.EndedAt != nil {
			took = short(s.EndedAt.Sub(*s.StartedAt))
		}
		steps := fmt.Sprintf("%d/%d", s.Counters.StepsDone, s.Counters.StepsKnown)
		if s.Counters.StepsFailed > 0 {
			steps += fmt.Sprintf(" (%d failed)", s.Counters.StepsFailed)
		}
		t.row(s.Name, s.State, steps, thousands(s.Counters.Read), thousands(s.Counters.Written), thousands(s.Counters.Quarantined), thousands(s.Counters.Skipped), took)
	}
	t.write(w)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n", f.Level, printable(findingText(f)))
	}
	if n := v.Findings - int64(len(r.Findings)); n > 0 {
		fmt.Fprintf(w, "and %s more\n", thousands(n))
	}
	for _, d := range r.FailedSteps {
		fmt.Fprintf(w, "failed: %s after %s: %s\n", stepText(d.Stage, d.Step), plural(d.Failed, "attempt"), printable(d.Reason))
		if d.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", d.Hint)
		}
	}
	if v.Counters.Quarantined > 0 {
		fmt.Fprintf(w, "%s rows could not be loaded; see them with: stint jobs rejects %s\n", thousands(v.Counters.Quarantined), v.ID)
	}
	fmt.Fprintf(w, "job %s %s: %s rows written", v.ID, v.State, thousands(v.Counters.Written))
	if r.DurationMS > 0 {
		fmt.Fprintf(w, " in %s (%s rows/s)", short(msec(r.DurationMS)), thousands(v.Counters.Written*1000/r.DurationMS))
	}
	fmt.Fprintln(w)
}

// stepText names a step as people do.
func stepText(stage, step string) string {
	kind, _, _ := store.ParseKey(step)
	switch {
	case stage == "":
		return "planning"
	case kind == store.SplitKey:
		return "dividing " + stage + " into steps"
	}
	return "step " + step + " of " + stage
}

func findingText(f tasks.Finding) string {
	var where []string
	if f.Subject != "" {
		where = append(where, f.Subject)
	}
	if f.Key != "" {
		where = append(where, "key "+f.Key)
	}
	if f.Field != "" {
		where = append(where, "column "+f.Field)
	}
	if len(where) == 0 {
		return f.Message
	}
	return strings.Join(where, ", ") + ": " + f.Message
}
