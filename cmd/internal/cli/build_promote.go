package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *command) buildPromote() *cobra.Command {
	return &cobra.Command{
		Use:   "promote JOB ENVIRONMENT",
		Short: "Promote what a build has left behind to an environment",
		Long: `Notes that the packages of a build are in an environment now (builds.environments of the configuration). Nothing is built anew, so that what
was tested is what goes out. A version comes into an environment only from the one before it, and only when the environment takes its
channel; exit code 4 says that it does not. Once more is no error.`,
		Example: "  stint build promote bui-7k2m staging",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: c.complete(1, jobIDs),
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			p, err := s.Promote(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return c.print(p, func(w io.Writer) {
				word := "is in"
				if p.Already {
					word = "was already in"
				}
				fmt.Fprintf(w, "%s %s %s %s\n", p.Product, p.Version, word, p.Environment)
			})
		}),
	}
}

func (c *command) buildEnvironments() *cobra.Command {
	var tenant, product string
	cmd := &cobra.Command{
		Use:     "environments",
		Short:   "List what is in each environment",
		Long:    "Lists which version of each product is in each environment, since when and by whom.",
		Example: "  stint build environments\n  stint build environments --product editor",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			list, err := s.Promotions(cmd.Context(), tenant, product)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) {
				t := newTable("ENVIRONMENT", "PRODUCT", "VERSION", "SINCE", "BY", "JOB")
				for _, p := range list {
					t.row(p.Environment, p.Product, p.Version, p.At.UTC().Format("2006-01-02 15:04:05"), p.By, p.Job)
				}
				t.write(w)
			})
		}),
	}
	cmd.Flags().StringVar(&product, "product", "", "of this `PRODUCT` alone")
	cmd.Flags().StringVar(&tenant, "tenant", "", "of this `TENANT`")
	return cmd
}
