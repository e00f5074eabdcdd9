package cli

import "github.com/spf13/cobra"

func (c *command) build() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "build",
		Short:   "Builds of products, from their repositories to packages",
		Long:    "Builds of a product from its repository by a pipeline file of steps (docs/builds.md). The version of a build is made from the repository, the build's number and the branch (docs/builds-version.md).",
		Example: "  stint build run\n  stint build version --explain",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.buildRun(), c.buildLog(), c.buildPromote(), c.buildEnvironments(), c.buildVersion())
	return cmd
}
