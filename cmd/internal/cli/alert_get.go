package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
)

func (c *command) alertGet() *cobra.Command {
	return c.alertCommand(&cobra.Command{
		Use:     "get ID",
		Short:   "Show an alert: its life, who is told next, and who was told what",
		Long:    "Shows an alert. Its ladder is the one that its rule had when the alert was opened: a rule that is changed since changes nothing for it.",
		Example: "  stint alert get al_0f3c81d2e5",
	}, func(ctx context.Context, s *session, id string) error { return c.showAlert(s.Alert(ctx, id)) })
}

func (c *command) printAlert(a *wire.Alert) error {
	return c.print(a, func(w io.Writer) {
		fmt.Fprintf(w, "alert     %s\nsubject   %s\nrule      %s\n", a.ID, printable(a.Subject), printable(a.Rule))
		field := func(name, format string, args ...any) {
			fmt.Fprintf(w, "%-9s %s\n", name, printable(fmt.Sprintf(format, args...)))
		}
		if a.Key != "" {
			field("key", "%s", a.Key)
		}
		field("state", "%s", a.State)
		field("severity", "%s", a.Severity)
		if a.Owner != "" {
			field("owner", "%s", a.Owner)
		}
		field("since", "%s (%s ago)", clock(&a.OpenedAt), ago(c.Now(), a.OpenedAt))
		field("last", "%s (%d times)", clock(&a.LastAt), a.Count)
		if a.AcknowledgedAt != nil {
			until := ""
			if a.AckedUntil != nil {
				until = " until " + clock(a.AckedUntil)
			}
			field("taken", "%s by %s%s", clock(a.AcknowledgedAt), a.AcknowledgedBy, until)
		}
		if a.SilencedUntil != nil {
			field("silenced", "until %s by %s", clock(a.SilencedUntil), a.SilencedBy)
		}
		if a.ResolvedAt != nil {
			field("over", "%s by %s", clock(a.ResolvedAt), a.ResolvedBy)
		}
		if a.Reason != "" {
			field("reason", "%s", a.Reason)
		}
		if a.NextAt != nil {
			field("next", "%s (in %s)", clock(a.NextAt), short(max(a.NextAt.Sub(c.Now()), 0)))
		}
		if len(a.Ladder) > 0 {
			fmt.Fprintln(w)
			t := newTable("AFTER", "TO", "UNTIL", "REPEATED", "TOLD")
			for _, l := range a.Ladder {
				repeated := ""
				switch {
				case l.Each:
					repeated = "each time"
				case l.Repeat > 0:
					repeated = "every " + short(msec(l.Repeat))
				}
				t.row(short(msec(l.After)), strings.Join(l.To, ", "), l.Until, repeated, fmt.Sprint(l.Told))
			}
			t.write(w)
		}
		if len(a.Told) > 0 {
			fmt.Fprintln(w)
			t := newTable("AT", "CHANNEL", "EVENT", "STATE", "TRIES", "ERROR")
			for _, m := range a.Told {
				t.row(clock(&m.At), m.Channel, m.Event, m.State, fmt.Sprint(m.Tries), cut(m.Error, 100))
			}
			t.write(w)
		}
		if text := strings.TrimRight(a.Text, "\n"); text != "" {
			fmt.Fprintln(w)
			for line := range strings.SplitSeq(text, "\n") {
				fmt.Fprintf(w, "  %s\n", printable(line))
			}
		}
	})
}
