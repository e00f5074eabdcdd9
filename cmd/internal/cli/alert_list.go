package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

func (c *command) alertList() *cobra.Command {
	f := client.AlertFilter{}
	limit := 0
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List alerts, those that are not over first and of each the newest first",
		Long:    "Lists the alerts that are not over: open, acknowledged or silenced. With --state resolved those that are, as long as they are kept.",
		Example: "  stint alert list\n  stint alert list --rule \"disk is full\"\n  stint alert list --state resolved --limit 10",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			list, err := paged(limit, mostOfAPage, func(cursor string, n int) ([]wire.Alert, string, error) {
				f.Cursor, f.Limit = cursor, n
				page, err := s.Alerts(cmd.Context(), f)
				if err != nil {
					return nil, "", err
				}
				return page.Alerts, page.Next, nil
			})
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) {
				t := newTable("ID", "STATE", "SEVERITY", "SINCE", "TIMES", "RULE", "SUBJECT")
				for _, a := range list {
					t.row(a.ID, alertState(&a), a.Severity, ago(c.Now(), a.OpenedAt)+" ago", thousands(a.Count), a.Rule, cut(a.Subject, 80))
				}
				t.write(w)
			})
		}),
	}
	cmd.Flags().StringSliceVar(&f.States, "state", nil, "in one of these states, separated by commas (default: those that are not over)")
	c.ruleFlag(cmd, &f.Rule, "of the rule of this `NAME` alone")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many")
	noFiles(cmd, "state", wire.AlertStates...)
	return cmd
}

// alertState is the state of an alert, with who has put it there.
func alertState(a *wire.Alert) string {
	switch {
	case a.State == wire.AlertAcknowledged && a.AcknowledgedBy != "":
		return a.State + " by " + cut(a.AcknowledgedBy, 40)
	case a.State == wire.AlertSilenced && a.SilencedUntil != nil:
		return fmt.Sprintf("%s until %s", a.State, clock(a.SilencedUntil))
	}
	return a.State
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
