package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/cmd/internal/doctor"
	"github.com/stint-run/stint/tasks"
)

func (c *command) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with what stint finds: Redis, databases, clocks, fleet",
		Long: `Looks at everything that stint stands on, and gives each thing a verdict: ok, warning (it works, and may cost more than you
think; or it cannot be seen) or problem (it does not work, or not for long), with what to do about it. It changes nothing.

  redis         version, topology, latency, clock; what a crash loses; whether it evicts; memory; replicas
  connections   each one of the configuration: does it open, its version, clock and rights, does a commit survive a crash
  fleet         workers of several versions, lost, drained and fenced ones; queues without a worker; kinds that nobody can do
  scheduler     does one look for what was lost
  artifacts     can a small one be written, read, listed and deleted again, and is a second writer refused
  and           tokens, telemetry, the data folder

With --server it looks at what the server says of its fleet: run it where the server runs for the rest. Ends with 1 when there
is a problem.`,
		Example: "  stint doctor\n  stint doctor --environment staging --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := c.load(cmd); err != nil {
				return err
			}
			ctx, stop := c.interruptible(cmd.Context())
			defer stop()
			o := doctor.Options{Config: c.config, Server: c.remote(), Version: Version(), Now: c.Now}
			s, err := c.join(cmd)
			switch {
			case err == nil:
				defer c.leave(s, &err)
				o.App, o.Client = s.app, s.Client
			case exitCode(err) != exitUnreachable:
				return err
			default:
				o.Refused = err
			}
			done := c.busy("examining")
			found := doctor.Examine(ctx, o)
			done()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return c.diagnose(found)
		},
	}
}

// diagnosis is what doctor prints as JSON.
type diagnosis struct {
	Verdict  doctor.Verdict   `json:"verdict"` // the worst one
	Findings []doctor.Finding `json:"findings"`
}

func (c *command) diagnose(found []doctor.Finding) error {
	d := diagnosis{doctor.Worst(found), found}
	err := c.print(d, func(w io.Writer) {
		t := newTable("VERDICT", "OF", "CHECK", "FOUND")
		for _, f := range found {
			t.row(string(f.Verdict), f.Subject, f.Check, f.Message)
			if f.Hint != "" {
				t.row("", "", "", "hint: "+f.Hint)
			}
		}
		t.write(w)
	})
	if err == nil && d.Verdict == doctor.Problem {
		return errReported
	}
	return err
}

// refuseEvicting keeps a process of the engine from a Redis that would throw its jobs away.
func (c *command) refuseEvicting(ctx context.Context, a *app.App) error {
	if a.Local != nil {
		return nil // it is started without eviction
	}
	err := doctor.RefuseEvicting(ctx, a.Redis, func(message, hint string) { c.log.Warn("redis: "+message, "hint", hint) })
	if tasks.HintOf(err) != "" {
		return usage(err)
	}
	return unreachable(err)
}
