package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/tasks/alert"
)

// checked is how the evaluation of rules goes; its JSON is a contract.
type checked struct {
	OK bool `json:"ok"`
	*wire.AlertRules
	// Causes are of all rules together: why they stand still.
	Causes []wire.JobError `json:"causes"`
}

func (c *command) alertCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether alert rules are evaluated, and if not, why",
		Long: `Shows the rules that are evaluated: when each was evaluated last, how far it is behind, how many events its last window had. Ends with 1
when one fails, or stands still, when a rule file has a mistake, or when there are no rules at all: then it says why, and what to do.`,
		Example: "  stint alert check\n  stint alert check --output json",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			rules, err := s.AlertRules(cmd.Context())
			if err != nil {
				return err
			}
			x := checked{OK: len(rules.Problems) == 0, AlertRules: rules, Causes: []wire.JobError{}}
			still := len(rules.Rules) == 0
			for _, r := range rules.Rules {
				still = still || r.Silent
				x.OK = x.OK && r.Error == nil && !r.Silent
			}
			if still {
				x.OK = false
				if x.Causes, err = causes(cmd.Context(), s, rules); err != nil {
					return err
				}
			}
			if err := c.print(x, func(w io.Writer) { c.writeChecked(w, &x) }); err != nil || x.OK {
				return err
			}
			return errReported
		}),
	}
}

// causes says why rules stand still, as far as it can be seen.
func causes(ctx context.Context, s *session, rules *wire.AlertRules) ([]wire.JobError, error) {
	out := []wire.JobError{}
	add := func(hint, format string, args ...any) {
		out = append(out, wire.JobError{Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	switch {
	case rules.PublishedAt == nil:
		add("set alerts.rules to their folder, and run stint scheduler or stint up", "no scheduler has read a folder of rules")
		return out, nil
	case len(rules.Rules) == 0:
		add("stint alert lint DIR says what is in it", "the folder of rules has none that is evaluated")
		return out, nil
	}
	workers, err := s.Workers(ctx)
	if err != nil {
		return nil, err
	}
	active := 0
	for _, w := range workers {
		if w.State == wire.WorkerActive {
			active++
		}
	}
	if active == 0 {
		add("start one: stint worker, or stint up; stint workers lists those that there are", "no worker is active")
	}
	sc, err := s.Schedule(ctx, app.AlertSchedule)
	switch {
	case isNotFound(err):
		add("run stint scheduler, or stint up, with alerts.rules set", "there is no schedule that evaluates rules")
	case err != nil:
		return nil, err
	case sc.Paused:
		add("stint schedules resume "+sc.Name, "the schedule %s is paused", sc.Name)
	case sc.Overdue > 0:
		add("run stint scheduler, or stint up", "the schedule %s has not fired for %s: no scheduler runs", sc.Name, short(msec(sc.Overdue)))
	}
	kinds, err := s.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if k.Kind == alert.Kind && k.Maintenance != nil {
			add("stint kinds release "+k.Kind, "jobs of the kind %s are held: %s", k.Kind, k.Maintenance.Reason)
		}
	}
	return out, nil
}

func (c *command) writeChecked(w io.Writer, x *checked) {
	if len(x.Rules) > 0 {
		c.writeRules(w, x.Rules)
	}
	for _, r := range x.Rules {
		switch {
		case r.Error != nil:
			fmt.Fprintf(w, "rule %s fails: %s\n", printable(r.Name), printable(r.Error.Message))
			if r.Error.Hint != "" {
				fmt.Fprintf(w, "  hint: %s\n", printable(r.Error.Hint))
			}
		case r.Silent:
			fmt.Fprintf(w, "rule %s stands still\n", printable(r.Name))
		}
		for _, n := range r.Notes {
			fmt.Fprintf(w, "rule %s: note: %s\n", printable(r.Name), printable(n))
		}
	}
	for _, p := range x.Problems {
		fmt.Fprintf(w, "mistake: %s\n", printable(p))
	}
	for _, cause := range x.Causes {
		fmt.Fprintf(w, "%s\n  hint: %s\n", printable(cause.Message), cause.Hint)
	}
}

func (c *command) writeRules(w io.Writer, rules []wire.AlertRule) {
	t := newTable("RULE", "TYPE", "SOURCE", "EVERY", "EVALUATED", "BEHIND", "EVENTS", "MATCHES", "STATE")
	for _, r := range rules {
		at, state := "never", "well"
		if r.EvaluatedAt != nil {
			at = ago(c.Now(), *r.EvaluatedAt) + " ago"
		}
		switch {
		case r.Error != nil:
			state = "fails since " + short(msec(r.FailingFor))
		case r.Silent:
			state = "STANDS STILL"
		case r.EvaluatedAt == nil:
			state = "waits for its first window"
		}
		t.row(r.Name, r.Type, r.Source, short(time.Duration(r.RunEvery)*time.Millisecond), at, short(msec(r.Lag)), thousands(r.Hits), thousands(r.Matches), state)
	}
	t.write(w)
}
