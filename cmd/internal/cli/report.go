package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/report"
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

// reportFile is what the flags of jobs report say.
type reportFile struct{ format, out string }

func (c *command) reportCommand() *cobra.Command {
	f := &reportFile{}
	cmd := c.jobCommand("report JOB", "Show what became of a job: stages, workers, interruptions, findings", func(cmd *cobra.Command, s *session, id string) error {
		return c.showReport(cmd.Context(), s, id, f)
	})
	cmd.Long = `Shows the account of a job: what was moved, who worked on it, every drain, lost worker and retry, and whether it was verified.
With --format it is the whole report, for programs or to be handed on: json, markdown, or html, which is one page that needs
nothing else and prints well. With --out it goes into a file, by whose ending (.json, .md, .html) the format can be told.
The digest at its end is the same for all who hold the same report. It is no signature.`
	cmd.Example = "  stint jobs report mig-4f0h2n\n  stint jobs report mig-4f0h2n --out report.html\n  stint jobs report mig-4f0h2n --format markdown"
	cmd.Flags().StringVar(&f.format, "format", "", "json, markdown or html: the whole report")
	cmd.Flags().StringVar(&f.out, "out", "", "write it into this `FILE`")
	return cmd
}

func (c *command) showReport(ctx context.Context, s *session, id string, f *reportFile) error {
	format, known := report.Format(f.format), true
	switch {
	case f.format != "":
		known = format.Known()
	case f.out != "":
		format, known = report.OfFile(f.out)
	default:
		done := c.busy("reading the report")
		r, err := s.Report(ctx, id)
		done()
		if err != nil {
			return err
		}
		return c.print(r, func(w io.Writer) { writeReport(w, r) })
	}
	if !known {
		return usage(tasks.WithHint(nil, "write --format json, markdown or html", "in which format?"))
	}
	done := c.busy("reading the report")
	text, err := s.ReportAs(ctx, id, string(format))
	done()
	if err != nil {
		return err
	}
	if f.out == "" {
		_, err := c.Stdout.Write(text)
		return err
	}
	if err := os.WriteFile(f.out, text, 0o644); err != nil {
		return usage(tasks.WithHint(err, "name a file in a folder that is there", "the report cannot be written"))
	}
	c.say("the report is in %s", f.out)
	return nil
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
	writeInterruptions(w, r)
	if v.Counters.Quarantined > 0 {
		fmt.Fprintf(w, "%s rows could not be loaded; see them with: stint jobs rejects %s\n", thousands(v.Counters.Quarantined), v.ID)
	}
	fmt.Fprintf(w, "job %s %s: %s rows written", v.ID, v.State, thousands(v.Counters.Written))
	if r.DurationMS > 0 {
		fmt.Fprintf(w, " in %s (%s rows/s)", short(msec(r.DurationMS)), thousands(v.Counters.Written*1000/r.DurationMS))
	}
	fmt.Fprintln(w)
}

// writeInterruptions says what was in the way, a line each; the whole report has it by the step.
func writeInterruptions(w io.Writer, r *wire.Report) {
	for _, d := range r.Drains {
		by := ""
		if d.By != "" {
			by = " by " + printable(d.By)
		}
		end := "has not come to rest, as far as is known"
		switch {
		case d.AskedAt == nil || d.OverAt == nil:
		case d.State == wire.DrainSafe:
			end = "safe after " + short(d.OverAt.Sub(*d.AskedAt))
		case d.State == wire.DrainUndone:
			end = "taken back after " + short(d.OverAt.Sub(*d.AskedAt))
		}
		fmt.Fprintf(w, "drained: %s%s: %s given back; %s\n", printable(d.Worker), by, plural(int(d.GivenBack), "step"), end)
	}
	for _, l := range r.Losses {
		again := fmt.Sprintf("%d begun again", l.Again)
		if l.NoticedAt != nil && l.LastAgain != nil {
			again += " within " + short(l.LastAgain.Sub(*l.NoticedAt))
		}
		fmt.Fprintf(w, "lost: %s: %s handed out again, %s\n", printable(l.Worker), plural(int(l.Steps), "step"), again)
	}
	for _, x := range r.Verifications {
		switch {
		case x.Equal:
			fmt.Fprintf(w, "verified by %s: %s rows equal\n", x.ID, thousands(x.Rows))
		case x.State == tasks.Succeeded:
			fmt.Fprintf(w, "verified by %s: %s\n", x.ID, plural(int(x.Differences), "difference"))
		}
	}
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
