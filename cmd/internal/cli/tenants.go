package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) tenants() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
		tenants, err := s.Tenants(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(tenants, func(w io.Writer) { writeTenants(w, tenants) })
	})
	return group(&cobra.Command{
		Use:   "tenants",
		Short: "Show and set what a tenant may use at once",
		Long: `Lists the tenants that have limits of their own, and * for all that are not named. Jobs beyond a limit are accepted and wait
in line, by priority and age; steps beyond the rate wait for their turn on the worker.`,
		Example: "  stint tenants\n  stint tenants limit acme --running-jobs 2 --steps-per-second 50\n  stint tenants limit '*' --running-jobs 4",
	}, "List the limits of tenants", list, c.limitTenant())
}

func writeTenants(w io.Writer, tenants []wire.Tenant) {
	limit := func(n int) string {
		if n == 0 {
			return "no limit"
		}
		return strconv.Itoa(n)
	}
	t := newTable("TENANT", "RUNNING JOBS", "STEPS PER SECOND")
	for _, x := range tenants {
		t.row(x.Name, limit(x.RunningJobs), limit(x.StepsPerSecond))
	}
	t.write(w)
}

func (c *command) limitTenant() *cobra.Command {
	var asked wire.Limits
	cmd := &cobra.Command{
		Use:   "limit TENANT",
		Short: "Say what a tenant, or '*', may use at once",
		Long: `Sets the limits of a tenant, or of '*', which is every tenant that has none of its own. What is not given stays as it is; 0
is without limit. A tenant of which both are 0 is under those of '*' again.`,
		Example: "  stint tenants limit acme --running-jobs 2\n  stint tenants limit '*' --running-jobs 4 --steps-per-second 200",
		Args:    oneOf("one tenant, or '*'", "stint tenants"), ValidArgsFunction: c.complete(1, tenantNames),
	}
	f := cmd.Flags()
	f.IntVar(&asked.RunningJobs, "running-jobs", 0, "jobs that run at once")
	f.IntVar(&asked.StepsPerSecond, "steps-per-second", 0, "steps that begin in a second")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !f.Changed("running-jobs") && !f.Changed("steps-per-second") {
			return usage(tasks.WithHint(nil, "0 is without limit", "give --running-jobs, --steps-per-second, or both"))
		}
		return c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			tenants, err := s.Tenants(cmd.Context())
			if err != nil {
				return err
			}
			t := wire.Tenant{Name: args[0]}
			if i := slices.IndexFunc(tenants, func(x wire.Tenant) bool { return x.Name == t.Name }); i >= 0 {
				t = tenants[i]
			}
			if f.Changed("running-jobs") {
				t.RunningJobs = asked.RunningJobs
			}
			if f.Changed("steps-per-second") {
				t.StepsPerSecond = asked.StepsPerSecond
			}
			if err := s.SetLimits(cmd.Context(), t.Name, t.Limits); err != nil {
				return err
			}
			return c.print(t, func(w io.Writer) { writeTenants(w, []wire.Tenant{t}) })
		})(cmd, args)
	}
	return cmd
}

func tenantNames(ctx context.Context, s *session) ([]string, error) {
	tenants, err := s.Tenants(ctx)
	var names []string
	for _, t := range tenants {
		names = append(names, fmt.Sprintf("%s\t%d jobs, %d steps/s", t.Name, t.RunningJobs, t.StepsPerSecond))
	}
	return names, err
}
