package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) schedules() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
		all, err := s.Schedules(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) { c.writeSchedules(w, all) })
	})
	cmd := &cobra.Command{
		Use:   "schedules",
		Short: "See and steer periodic work",
		Long: `Lists the schedules: those of the configuration, and those that were put by this command or the API. A scheduler process fires
them (stint scheduler, stint up). One that has not fired when it should is OVERDUE, whether or not a scheduler lives.`,
		Example: "  stint schedules\n  stint schedules run cleanup\n  stint schedules ticks cleanup --limit 20\n  stint schedules put nightly --file nightly.yaml",
		Args:    cobra.NoArgs, RunE: list,
	}
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "List the schedules", Args: cobra.NoArgs, RunE: list},
		c.scheduleCommand("get NAME", "Show a schedule", func(cmd *cobra.Command, s *session, name string) error {
			sc, err := s.Schedule(cmd.Context(), name)
			return c.showSchedule(sc, err)
		}),
		c.runSchedule(), c.ticks(), c.putSchedule(),
		c.scheduleCommand("pause NAME", "Let a schedule fire nothing more", func(cmd *cobra.Command, s *session, name string) error {
			sc, err := s.PauseSchedule(cmd.Context(), name)
			return c.showSchedule(sc, err)
		}),
		c.scheduleCommand("resume NAME", "Let a paused schedule fire again, from its next due time on", func(cmd *cobra.Command, s *session, name string) error {
			sc, err := s.ResumeSchedule(cmd.Context(), name)
			return c.showSchedule(sc, err)
		}),
		c.scheduleCommand("delete NAME", "Remove a schedule with its history; jobs that it has started go on", func(cmd *cobra.Command, s *session, name string) error {
			if err := s.DeleteSchedule(cmd.Context(), name); err != nil {
				return err
			}
			return c.print(map[string]string{"deleted": name}, func(w io.Writer) { fmt.Fprintf(w, "schedule %s is deleted\n", name) })
		}))
	return cmd
}

func (c *command) scheduleCommand(use, short string, run func(cmd *cobra.Command, s *session, name string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, ValidArgsFunction: c.completeSchedules,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(tasks.WithHint(nil, "stint schedules lists them", "give the name of one schedule"))
			}
			return nil
		},
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error { return run(cmd, s, args[0]) })}
}

// completeSchedules completes names in the shell.
func (c *command) completeSchedules(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	c.quiet = true
	s, err := c.connect(cmd)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.leave(s, &err)
	all, _ := s.Schedules(cmd.Context())
	var names []string
	for _, sc := range all {
		names = append(names, sc.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// when says by what a schedule is due.
func when(sc wire.Schedule) string {
	if sc.Every != "" {
		return "every " + sc.Every
	}
	return sc.Cron + " " + sc.Timezone
}

func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func (c *command) writeSchedules(w io.Writer, all []wire.Schedule) {
	t := newTable("NAME", "WHEN", "KIND", "STATE", "NEXT", "LAST", "JOB")
	for _, sc := range all {
		state := "active"
		switch {
		case sc.Paused:
			state = "paused"
		case sc.Overdue > 0:
			state = "OVERDUE by " + short(msec(sc.Overdue))
		}
		t.row(sc.Name, when(sc), sc.Job.Kind, state, clock(sc.NextAt), clock(sc.LastAt), sc.LastJob)
	}
	t.write(w)
}

func (c *command) showSchedule(sc *wire.Schedule, err error) error {
	if err != nil {
		return err
	}
	return c.print(sc, func(w io.Writer) { c.writeSchedules(w, []wire.Schedule{*sc}) })
}

func (c *command) runSchedule() *cobra.Command {
	cmd := c.scheduleCommand("run NAME", "Fire a schedule now", func(cmd *cobra.Command, s *session, name string) error {
		tick, err := s.RunSchedule(cmd.Context(), name, "")
		if err != nil {
			return err
		}
		return c.print(tick, func(w io.Writer) {
			switch {
			case tick.Job != "":
				fmt.Fprintf(w, "%s: job %s\n", tick.Outcome, tick.Job)
			default:
				fmt.Fprintf(w, "%s: %s\n", tick.Outcome, tick.Reason)
			}
		})
	})
	cmd.Long = "Makes a tick that is due now, also of a paused schedule. Its overlap policy holds: what came of the tick is printed. A scheduler\nprocess creates the job, within a moment when one runs."
	return cmd
}

func (c *command) ticks() *cobra.Command {
	var limit int
	cmd := c.scheduleCommand("ticks NAME", "Show what became of a schedule's due times, newest first", func(cmd *cobra.Command, s *session, name string) error {
		list, err := s.Ticks(cmd.Context(), name, limit)
		if err != nil {
			return err
		}
		return c.print(list, func(w io.Writer) {
			t := newTable("DUE", "UNTIL", "COUNT", "OUTCOME", "LAG", "JOB", "REASON")
			for _, k := range list {
				t.row(clock(&k.DueAt), clock(k.Until), fmt.Sprint(k.Count), k.Outcome, short(msec(k.Lag)), k.Job, k.Reason)
			}
			t.write(w)
		})
	})
	cmd.Flags().IntVar(&limit, "limit", 50, "how many, at most 2000")
	return cmd
}

func (c *command) putSchedule() *cobra.Command {
	var file string
	cmd := c.scheduleCommand("put NAME", "Make or replace a schedule", func(cmd *cobra.Command, s *session, name string) error {
		d, err := readDefinition(file)
		if err != nil {
			return err
		}
		sc, err := s.PutSchedule(cmd.Context(), name, "", d)
		return c.showSchedule(sc, err)
	})
	cmd.Long = "Reads a definition in YAML: cron or every, timezone, jitter, missed, overlap, deadline, paused, and job with kind and spec.\nA schedule of the configuration is changed there, not here."
	cmd.Example = "  stint schedules put nightly --file nightly.yaml"
	cmd.Flags().StringVar(&file, "file", "", "the `FILE` with the definition")
	return cmd
}

// readDefinition reads a schedule's definition. Keys that there are not are mistakes.
func readDefinition(file string) (wire.ScheduleDefinition, error) {
	var d wire.ScheduleDefinition
	if file == "" {
		return d, usage(tasks.WithHint(nil, "give the file with the definition: --file FILE", "--file is missing"))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return d, usage(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return d, usage(fmt.Errorf("%s: %w", file, err))
	}
	return d, usage(strictly(file, tree, &d))
}
