package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func msec(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (c *command) jobs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "See and steer jobs",
		Long:  "Lists jobs, newest first. The subcommands show one of them, or pause, resume, cancel and retry it.",
		Example: "  stint jobs\n  stint jobs --state running,paused --tenant acme\n  stint jobs get mig-4f0h2n\n  stint jobs pause mig-4f0h2n\n" +
			"  stint jobs report mig-4f0h2n --output json",
	}
	f := &jobFilter{}
	pf := cmd.PersistentFlags()
	pf.IntVar(&f.limit, "limit", 50, "how many")
	pf.StringVar(&f.Tenant, "tenant", "", "of this tenant alone")
	pf.StringVar(&f.Kind, "kind", "", "of this kind alone")
	pf.StringSliceVar(&f.states, "state", nil, "in one of these states, separated by commas")
	pf.StringToStringVar(&f.Labels, "label", nil, "with this label, `name=value`; may be repeated")
	list := c.withSession(func(cmd *cobra.Command, args []string, s *session) error { return c.listJobs(cmd, s, f) })
	group(cmd, "List jobs, newest first", list,
		c.jobCommand("get JOB", "Show one job, its stages and who works on it", c.getJob),
		c.jobCommand("watch JOB", "Show a job's progress until it has ended", c.watchJob),
		c.reportCommand(),
		c.rejectsCommand(),
		c.outputsCommand(),
		c.jobCommand("events JOB", "List what happened to a job", c.events),
	)
	for _, v := range []struct{ verb, short string }{
		{client.Pause, "Hand out nothing more; what runs comes back within a second"},
		{client.Resume, "Go on with a paused job"},
		{client.Cancel, "Stop a job for good; what has taken effect stays"},
		{client.Retry, "Try again what has failed for good"},
	} {
		cmd.AddCommand(c.jobCommand(v.verb+" JOB", v.short, func(cmd *cobra.Command, s *session, id string) error {
			done, err := s.Control(cmd.Context(), id, v.verb)
			if err != nil {
				return err
			}
			return c.print(done, func(w io.Writer) { fmt.Fprintf(w, "job %s is %s\n", id, done.State) })
		}))
	}
	return cmd
}

func (c *command) jobCommand(use, short string, run func(cmd *cobra.Command, s *session, id string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: oneOf("the id of one job", "stint jobs"), ValidArgsFunction: c.complete(1, jobIDs),
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error { return run(cmd, s, args[0]) })}
}

// jobIDs completes the id of a job.
func jobIDs(ctx context.Context, s *session) ([]string, error) {
	page, err := s.Jobs(ctx, client.Filter{})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, j := range page.Jobs {
		ids = append(ids, fmt.Sprintf("%s\t%s %s", j.ID, j.Kind, j.State))
	}
	return ids, nil
}

// jobFilter is what the flags of the list say.
type jobFilter struct {
	client.Filter
	limit  int
	states []string
}

// mostOfAPage is how many jobs the API gives at once.
const mostOfAPage = 200

func (c *command) listJobs(cmd *cobra.Command, s *session, f *jobFilter) error {
	for _, state := range f.states {
		f.States = append(f.States, tasks.State(state))
	}
	jobs, err := paged(f.limit, mostOfAPage, func(cursor string, n int) ([]*wire.Job, string, error) {
		f.Cursor, f.Limit = cursor, n
		page, err := s.Jobs(cmd.Context(), f.Filter)
		if err != nil {
			return nil, "", err
		}
		return page.Jobs, page.Next, nil
	})
	if err != nil {
		return err
	}
	return c.print(jobs, func(w io.Writer) {
		t := newTable("ID", "KIND", "STATE", "STEPS", "WRITTEN", "QUARANTINED", "CREATED")
		for _, j := range jobs {
			t.row(j.ID, j.Kind, stateText(j), fmt.Sprintf("%d/%d", j.Counters.StepsDone, j.Counters.StepsKnown), thousands(j.Counters.Written),
				thousands(j.Counters.Quarantined), ago(c.Now(), j.CreatedAt)+" ago")
		}
		t.write(w)
	})
}

// stateText is a job's state, with what holds it.
func stateText(j *wire.Job) string {
	if j.Held != "" {
		return fmt.Sprintf("%s (held: %s)", j.State, j.Held)
	}
	return string(j.State)
}

func (c *command) getJob(cmd *cobra.Command, s *session, id string) error {
	v, err := s.Job(cmd.Context(), id)
	if err != nil {
		return err
	}
	return c.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "job      %s\nkind     %s\nstate    %s\ncreated  %s\n", v.ID, v.Kind, stateText(v), v.CreatedAt.Format(time.RFC3339))
		if v.ETA != nil {
			fmt.Fprintf(w, "eta      %s\n", until(c.Now(), v.ETA))
		}
		if v.Error != nil {
			fmt.Fprintf(w, "error    %s\n", printable(v.Error.Message))
			if v.Error.Hint != "" {
				fmt.Fprintf(w, "hint     %s\n", v.Error.Hint)
			}
		}
		fmt.Fprintln(w)
		t := newTable("STAGE", "STATE", "STEPS", "READ", "OF", "WRITTEN", "QUARANTINED", "SKIPPED", "ETA")
		for _, s := range v.Stages {
			eta := ""
			if s.ETA != nil {
				eta = until(c.Now(), s.ETA)
			}
			t.row(s.Name, s.State, fmt.Sprintf("%d/%d", s.Counters.StepsDone, s.Counters.StepsKnown), thousands(s.Counters.Read), thousands(s.Rows),
				thousands(s.Counters.Written), thousands(s.Counters.Quarantined), thousands(s.Counters.Skipped), eta)
		}
		t.write(w)
		if len(v.Out) > 0 {
			fmt.Fprintln(w)
			t := newTable("OUT", "STEP", "WORKER", "SINCE")
			for _, o := range v.Out {
				who := o.Worker
				if who == "" {
					who = "(queued)"
				}
				t.row(o.Stage, o.Step, who, ago(c.Now(), o.Since))
			}
			t.write(w)
		}
	})
}

func (c *command) watchJob(cmd *cobra.Command, s *session, id string) error {
	v, err := c.watch(cmd.Context(), s, &asked{id: id})
	if err != nil {
		return err
	}
	return c.report(cmd.Context(), s, v)
}

func (c *command) events(cmd *cobra.Command, s *session, id string) error {
	events, err := s.Events(cmd.Context(), id, "")
	if err != nil {
		return err
	}
	return c.print(events, func(w io.Writer) {
		t := newTable("AT", "EVENT", "DETAILS")
		for _, e := range events {
			details := ""
			if len(e.Fields) > 0 {
				text, _ := json.Marshal(e.Fields)
				details = string(text)
			}
			t.row(e.At.Format(time.RFC3339Nano), e.Type, details)
		}
		t.write(w)
	})
}
