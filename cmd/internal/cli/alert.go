package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

func (c *command) alert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alert",
		Short: "Rules over logs and metrics, and the alerts that they open",
		Long: `Alert rules: one YAML file each, with the format and the meaning of ElastAlert 2 rules, and more (docs/alert-rules.md). What a rule finds
opens an alert, which is told to more and more people until somebody takes it.

lint, test and replay need no server. check says whether rules are evaluated.`,
		Example: "  stint alert lint rules\n  stint alert test rules/ssh.yaml --events ssh.jsonl\n  stint alert list\n  stint alert ack al_0f3c81d2e5 --for 2h --reason looking\n  stint alert check",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.alertList(), c.alertGet(), c.alertAck(), c.alertRelease(), c.alertSilence(), c.alertSilences(), c.alertResolve(), c.alertCheck(), c.alertTick(), c.alertTest(), c.alertReplay(), c.alertLint())
	return cmd
}

// alertCommand makes a command about one alert.
func (c *command) alertCommand(cmd *cobra.Command, run func(ctx context.Context, s *session, id string) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = oneOf("the id of one alert", "stint alert list"), c.complete(1, alertIDs)
	cmd.RunE = c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
		return listedBy(run(cmd.Context(), s, args[0]), "stint alert list")
	})
	return cmd
}

// alertIDs completes the id of an alert that is not over.
func alertIDs(ctx context.Context, s *session) ([]string, error) {
	page, err := s.Alerts(ctx, client.AlertFilter{})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, a := range page.Alerts {
		ids = append(ids, fmt.Sprintf("%s\t%s: %s", a.ID, a.State, printable(a.Subject)))
	}
	return ids, nil
}

// alertRuleNames completes the name of a rule.
func alertRuleNames(ctx context.Context, s *session) ([]string, error) {
	rules, err := s.AlertRules(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range rules.Rules {
		names = append(names, r.Name+"\t"+r.Type)
	}
	return names, nil
}

// ruleFlag is a flag of the name of a rule.
func (c *command) ruleFlag(cmd *cobra.Command, into *string, help string) {
	cmd.Flags().StringVar(into, "rule", "", help)
	_ = cmd.RegisterFlagCompletionFunc("rule", c.complete(1, alertRuleNames)) // fails for no flag alone
}

// showAlert prints an alert after something was done with it.
func (c *command) showAlert(a *wire.Alert, err error) error {
	if err != nil {
		return err
	}
	return c.printAlert(a)
}
