package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
)

func (c *command) alertSilences() *cobra.Command {
	end := ""
	cmd := &cobra.Command{
		Use:   "silences",
		Short: "List the silences of rules, or end one",
		Long: `Lists the silences of rules that are not over. With --end one is taken back: alerts that come are told again. Those that it has silenced
stay so until its time; stint alert release lets them be told at once.`,
		Example: "  stint alert silences\n  stint alert silences --end si_51ac07be1f",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			if end != "" {
				if err := s.EndSilence(cmd.Context(), end); err != nil {
					return listedBy(err, "stint alert silences")
				}
				return c.print(map[string]string{"ended": end}, func(w io.Writer) { fmt.Fprintf(w, "the silence %s is over\n", end) })
			}
			list, err := s.AlertSilences(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeSilences(w, list) })
		}),
	}
	cmd.Flags().StringVar(&end, "end", "", "take the silence of this `ID` back")
	return cmd
}

func writeSilences(w io.Writer, list []wire.AlertSilence) {
	t := newTable("ID", "RULE", "KEY", "UNTIL", "BY", "REASON")
	for _, x := range list {
		t.row(x.ID, x.Rule, x.Key, clock(&x.Until), x.By, x.Reason)
	}
	t.write(w)
}
