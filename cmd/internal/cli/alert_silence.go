package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) alertSilence() *cobra.Command {
	a := &act{}
	n := wire.NewAlertSilence{}
	cmd := &cobra.Command{
		Use:   "silence ID|--rule NAME --for TIME",
		Short: "Keep everybody from being told of an alert, or of the alerts of rules, for a while",
		Long: `Silences an alert, or all alerts of rules, those that are open and those that come, for a time. Rules are evaluated meanwhile, and
alerts opened. When the time is over, those that are not are told, rung by rung, as if the silence had not been.

In the name of a rule, and in --key, * stands for any part.`,
		Example:           "  stint alert silence al_0f3c81d2e5 --for 8h --reason \"waits for a spare part\"\n  stint alert silence --rule \"disk*\" --key db-7 --for 2h --reason maintenance",
		ValidArgsFunction: c.complete(1, alertIDs),
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case (len(args) == 1) == (n.Rule != ""), len(args) > 1:
				return usage(tasks.WithHint(nil, "stint alert silence ID --for 2h, or stint alert silence --rule NAME --for 2h", "give the id of one alert, or a rule"))
			case a.long <= 0:
				return usage(tasks.WithHint(nil, "write --for 2h", "for how long?"))
			case n.Key != "" && n.Rule == "":
				return usage(tasks.WithHint(nil, "leave --key away, or write --rule NAME in place of the id", "--key is of rules"))
			}
			return nil
		},
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			x := a.asked()
			if len(args) == 1 {
				return listedBy(c.showAlert(s.SilenceAlert(cmd.Context(), args[0], x)), "stint alert list")
			}
			n.For, n.By, n.Reason = x.For, x.By, x.Reason
			made, err := s.SilenceRules(cmd.Context(), n)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) { writeSilences(w, []wire.AlertSilence{*made}) })
		}),
	}
	a.flags(cmd, "how long, such as 2h")
	c.ruleFlag(cmd, &n.Rule, "silence the alerts of the rules of this `NAME`")
	cmd.Flags().StringVar(&n.Key, "key", "", "with --rule: those of this `KEY` alone")
	return cmd
}
