package cli

import "github.com/spf13/cobra"

func (c *command) build() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "build",
		Short:   "What a build needs beside its compiler: the version",
		Long:    "Builds of a product from its repository. The version of a build is made from the repository, the build's number and the branch (docs/builds-version.md).",
		Example: "  stint build version --explain",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.buildVersion())
	return cmd
}
