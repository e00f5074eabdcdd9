package cli

import "github.com/spf13/cobra"

func (c *command) alert() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "alert",
		Short:   "Rules over logs and metrics",
		Long:    "Alert rules: one YAML file each, with the format and the meaning of ElastAlert 2 rules, and more (docs/alert-rules.md).",
		Example: "  stint alert lint rules",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.alertLint())
	return cmd
}
