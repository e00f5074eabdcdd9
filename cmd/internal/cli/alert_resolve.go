package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (c *command) alertResolve() *cobra.Command {
	a := &act{}
	cmd := c.alertCommand(&cobra.Command{
		Use:     "resolve ID",
		Short:   "End an alert",
		Long:    "Ends an alert. When its rule matches again, that is another alert, and its ladder begins anew.",
		Example: "  stint alert resolve al_0f3c81d2e5 --reason \"the disk was replaced\"",
	}, func(ctx context.Context, s *session, id string) error {
		return c.showAlert(s.ResolveAlert(ctx, id, a.asked()))
	})
	a.flags(cmd, "")
	return cmd
}
