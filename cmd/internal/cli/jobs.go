package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

func msec(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (c *command) jobs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "See and steer jobs",
		Long:  "Lists jobs, newest first. The subcommands show one of them, or pause, resume, cancel and retry it.",
		Example: "  stint jobs\n  stint jobs get mig-4f0h2n\n  stint jobs pause mig-4f0h2n\n" +
			"  stint jobs report mig-4f0h2n --output json",
		Args: cobra.NoArgs,
	}
	limit := cmd.PersistentFlags().Int("limit", 50, "how many")
	list := c.withApp(func(cmd *cobra.Command, args []string, a *app.App) error { return c.listJobs(cmd, a, *limit) })
	cmd.RunE = list
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List jobs, newest first", Args: cobra.NoArgs, RunE: list},
		c.jobCommand("get JOB", "Show one job, its stages and who works on it", c.getJob),
		c.jobCommand("watch JOB", "Show a job's progress until it has ended", c.watchJob),
		c.jobCommand("report JOB", "Show what became of a job: stages, findings, failed steps", func(cmd *cobra.Command, a *app.App, id string) error {
			v, err := a.Store.View(cmd.Context(), id)
			if err != nil {
				return err
			}
			r, err := readReport(cmd.Context(), a, v)
			if err != nil {
				return err
			}
			return c.print(r, func(w io.Writer) { r.write(w) })
		}),
		c.jobCommand("rejects JOB", "List the rows that a migration has set aside, with the reasons", c.rejects),
		c.jobCommand("events JOB", "List what happened to a job", c.events),
	)
	for verb, short := range map[store.Verb]string{
		store.Pause:  "Hand out nothing more; what runs comes back within a second",
		store.Resume: "Go on with a paused job",
		store.Cancel: "Stop a job for good; what has taken effect stays",
		store.Retry:  "Try again what has failed for good",
	} {
		cmd.AddCommand(c.jobCommand(string(verb)+" JOB", short, func(cmd *cobra.Command, a *app.App, id string) error {
			state, err := a.Control(cmd.Context(), id, verb)
			if err != nil {
				return err
			}
			return c.print(map[string]string{"id": id, "state": string(state)}, func(w io.Writer) { fmt.Fprintf(w, "job %s is %s\n", id, state) })
		}))
	}
	return cmd
}

// withApp connects, runs, and ends.
func (c *command) withApp(run func(cmd *cobra.Command, args []string, a *app.App) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		a, err := c.open(cmd)
		if err != nil {
			return err
		}
		defer c.close(a, &err)
		return run(cmd, args, a)
	}
}

func (c *command) jobCommand(use, short string, run func(cmd *cobra.Command, a *app.App, id string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: oneJob, ValidArgsFunction: c.completeJobs,
		RunE: c.withApp(func(cmd *cobra.Command, args []string, a *app.App) error { return run(cmd, a, args[0]) })}
}

func oneJob(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(tasks.WithHint(nil, "stint jobs lists them; then: stint jobs "+cmd.Use, "give the id of one job"))
	}
	return nil
}

// completeJobs completes job ids in the shell.
func (c *command) completeJobs(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.quiet = true
	a, err := c.open(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer c.close(a, &err)
	jobs, _, err := a.Store.List(cmd.Context(), store.Filter{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, j := range jobs {
		ids = append(ids, fmt.Sprintf("%s\t%s %s", j.ID, j.Kind, j.State))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func (c *command) listJobs(cmd *cobra.Command, a *app.App, limit int) error {
	jobs, _, err := a.Store.List(cmd.Context(), store.Filter{Limit: limit})
	if err != nil {
		return err
	}
	return c.print(jobs, func(w io.Writer) {
		t := newTable("ID", "KIND", "STATE", "STEPS", "WRITTEN", "QUARANTINED", "CREATED")
		for _, j := range jobs {
			t.row(j.ID, j.Kind, string(j.State), fmt.Sprintf("%d/%d", j.Counters.StepsDone, j.Counters.StepsKnown), thousands(j.Counters.Written),
				thousands(j.Counters.Quarantined), ago(c.Now(), j.CreatedAt)+" ago")
		}
		t.write(w)
	})
}

func (c *command) getJob(cmd *cobra.Command, a *app.App, id string) error {
	v, err := a.Store.View(cmd.Context(), id)
	if err != nil {
		return err
	}
	return c.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "job      %s\nkind     %s\nstate    %s\ncreated  %s\n", v.ID, v.Kind, v.State, v.CreatedAt.Format(time.RFC3339))
		if v.Error != nil {
			fmt.Fprintf(w, "error    %s\n", printable(v.Error.Message))
			if v.Error.Hint != "" {
				fmt.Fprintf(w, "hint     %s\n", v.Error.Hint)
			}
		}
		fmt.Fprintln(w)
		t := newTable("STAGE", "STATE", "STEPS", "READ", "OF", "WRITTEN", "QUARANTINED", "ETA")
		for _, s := range v.Stages {
			eta := ""
			if s.ETA != nil {
				eta = short(s.ETA.Sub(c.Now()))
			}
			t.row(s.Name, s.State, fmt.Sprintf("%d/%d", s.Counters.StepsDone, s.Counters.StepsKnown), thousands(s.Counters.Read), thousands(s.Rows),
				thousands(s.Counters.Written), thousands(s.Counters.Quarantined), eta)
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

func (c *command) watchJob(cmd *cobra.Command, a *app.App, id string) error {
	v, err := c.watch(cmd.Context(), a, tasks.Job{ID: id})
	if err != nil {
		return err
	}
	return c.report(cmd.Context(), a, v)
}

func (c *command) events(cmd *cobra.Command, a *app.App, id string) error {
	if _, _, err := a.Store.Job(cmd.Context(), id); err != nil {
		return err
	}
	events, err := a.Store.Events(cmd.Context(), id, "", 1000)
	if err != nil {
		return err
	}
	return c.print(events, func(w io.Writer) {
		t := newTable("AT", "EVENT", "DETAILS")
		for _, e := range events {
			details, _ := json.Marshal(e.Fields)
			t.row(e.At.Format(time.RFC3339Nano), e.Type, string(details))
		}
		t.write(w)
	})
}

// rejects reads the quarantine of a migration from its target.
func (c *command) rejects(cmd *cobra.Command, a *app.App, id string) error {
	job, _, err := a.Store.Job(cmd.Context(), id)
	if err != nil {
		return err
	}
	var spec migration.Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil || job.Kind != migration.Kind {
		return usage(tasks.WithHint(err, "only migrations set rows aside", "job %s is a %s", id, job.Kind))
	}
	at, err := a.Locate(spec.Target)
	if err != nil {
		return err
	}
	db, err := sqldb.Open(cmd.Context(), at, sqldb.Options{ReadOnly: true})
	if err != nil {
		return unreachable(err)
	}
	defer db.Close()
	rejects, err := sqldb.Quarantine(cmd.Context(), db, id, "", 0, 1000)
	if err != nil {
		return err
	}
	if rejects == nil {
		rejects = []sqldb.Quarantined{}
	}
	return c.print(rejects, func(w io.Writer) {
		t := newTable("TABLE", "KEY", "COLUMN", "CODE", "REASON")
		for _, r := range rejects {
			t.row(r.Table, r.Key.String(), r.Column, r.Code, r.Reason)
		}
		t.write(w)
	})
}
