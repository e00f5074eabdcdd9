package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert"
)

// ticked is what a tick by hand has come to; its JSON is a contract.
type ticked struct {
	ID    string           `json:"id"`
	State tasks.State      `json:"state"`
	Rules []wire.AlertRule `json:"rules"`
}

func (c *command) alertTick() *cobra.Command {
	var at string
	var rules []string
	wait := true
	cmd := &cobra.Command{
		Use:   "tick",
		Short: "Evaluate the rules that are due now, and tell people, without waiting for the schedule",
		Long: `Does what the schedule alerts does by itself: evaluates each rule whose window is due, moves ladders whose time has come, and tells people.
It does no harm beside the schedule: a window is evaluated once. Without a server it reads the rules of alerts.rules first.

With --at it does so as of that time, to play through what is past. A rule never goes back: windows before the last one that it was
evaluated for are over, and a time in the future evaluates windows whose events have yet to come.`,
		Example: "  stint alert tick\n  stint alert tick --rule \"disk is full\" --at 2026-03-01T00:10:00Z\n  stint alert tick --wait=false",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec := alert.Spec{Rules: rules}
			if at != "" {
				t, err := timeFlag("--at", at)
				if err != nil {
					return err
				}
				spec.At = &t
			}
			return c.withSession(func(cmd *cobra.Command, _ []string, s *session) error { return c.tick(cmd.Context(), s, spec, wait) })(cmd, nil)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "as of this `TIME`, such as 2026-03-01T00:10:00Z (default: now)")
	cmd.Flags().StringSliceVar(&rules, "rule", nil, "evaluate the rule of this `NAME` alone; may be repeated")
	cmd.Flags().BoolVar(&wait, "wait", true, "stay until it is done; with --wait=false the work needs a worker elsewhere")
	_ = cmd.RegisterFlagCompletionFunc("rule", c.complete(1, alertRuleNames)) // fails for no flag alone
	return cmd
}

// timeFlag reads a point in time.
func timeFlag(flag, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, usage(tasks.WithHint(nil, "write "+flag+" 2026-03-01T00:10:00Z", "%s %q is no time", flag, text))
	}
	return t.UTC(), nil
}

func (c *command) tick(ctx context.Context, s *session, spec alert.Spec, wait bool) error {
	if err := c.readRules(ctx, s.app); err != nil {
		return err
	}
	if err := known(ctx, s, spec.Rules); err != nil {
		return err
	}
	if wait && s.app != nil {
		if err := engine(ctx, s.app); err != nil {
			return err
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	id, err := c.begin(ctx, s, wire.Submission{Kind: alert.Kind, Spec: text})
	if err != nil {
		return err
	}
	if !wait {
		return c.print(map[string]string{"id": id}, func(w io.Writer) { fmt.Fprintln(w, id) })
	}
	v, err := c.await(ctx, s, &asked{id: id})
	if err != nil {
		return err
	}
	all, err := s.AlertRules(ctx)
	if err != nil {
		return err
	}
	out := ticked{ID: id, State: v.State, Rules: all.Rules}
	if len(spec.Rules) > 0 {
		out.Rules = slices.DeleteFunc(out.Rules, func(r wire.AlertRule) bool { return !slices.Contains(spec.Rules, r.Name) })
	}
	if err := c.print(out, func(w io.Writer) { c.writeChecked(w, &checked{AlertRules: &wire.AlertRules{Rules: out.Rules}}) }); err != nil {
		return err
	}
	if slices.ContainsFunc(out.Rules, func(r wire.AlertRule) bool { return r.Error != nil }) {
		return errReported
	}
	return failed(v)
}

// readRules makes the rules of the configuration those of the embedded queue, which no scheduler may be reading for.
func (c *command) readRules(ctx context.Context, a *app.App) error {
	if a == nil || a.Local == nil {
		return nil
	}
	mistakes, err := a.PublishRules(ctx)
	for _, m := range mistakes {
		c.log.Warn("a rule has a mistake and is left out", "mistake", m)
	}
	return err
}

// known refuses names that no rule has.
func known(ctx context.Context, s *session, names []string) error {
	rules, err := s.AlertRules(ctx)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !slices.ContainsFunc(rules.Rules, func(r wire.AlertRule) bool { return r.Name == n }) {
			return fmt.Errorf("%w%w", tasks.WithHint(nil, "stint alert check lists those that there are", "there is no rule %q", n), silent{store.ErrNotFound})
		}
	}
	return nil
}
