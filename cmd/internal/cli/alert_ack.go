package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
)

// act is what the flags of a command say about what is done with an alert.
type act struct {
	wire.AlertAct
	long time.Duration
}

func (a *act) flags(cmd *cobra.Command, long string) {
	f := cmd.Flags()
	f.StringVar(&a.By, "by", "", "who does it (default: the name of the token)")
	f.StringVar(&a.Reason, "reason", "", "why, for those who look at the alert")
	if long != "" {
		f.DurationVar(&a.long, "for", 0, long)
	}
}

// asked is the act as it is sent.
func (a *act) asked() wire.AlertAct {
	if a.long != 0 {
		a.For = a.long.String()
	}
	return a.AlertAct
}

func (c *command) alertAck() *cobra.Command {
	a := &act{}
	cmd := c.alertCommand(&cobra.Command{
		Use:   "ack ID",
		Short: "Take an alert: nobody else is told of it",
		Long: `Takes an alert: its ladder stops, besides the rungs that are told until it is over. With --for the ladder goes on when that time is
over and the alert still is not. Who takes an alert that somebody has taken takes it over.`,
		Example: "  stint alert ack al_0f3c81d2e5\n  stint alert ack al_0f3c81d2e5 --for 2h --reason \"the disk is being replaced\"",
	}, func(ctx context.Context, s *session, id string) error {
		return c.showAlert(s.AcknowledgeAlert(ctx, id, a.asked()))
	})
	a.flags(cmd, "the ladder goes on after so long, such as 2h (default: it does not)")
	return cmd
}
