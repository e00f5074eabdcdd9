package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (c *command) alertRelease() *cobra.Command {
	return c.alertCommand(&cobra.Command{
		Use:     "release ID",
		Short:   "Take an acknowledgement or a silence of an alert back",
		Long:    "Makes an alert open again that was taken or silenced. Its ladder goes on where its time is: rungs whose time has come meanwhile are told at once.",
		Example: "  stint alert release al_0f3c81d2e5",
	}, func(ctx context.Context, s *session, id string) error { return c.showAlert(s.ReleaseAlert(ctx, id)) })
}
