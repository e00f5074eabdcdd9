package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) workers() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
		ws, err := s.Workers(cmd.Context())
		if err != nil {
			return err
		}
		return c.printWorkers(ws)
	})
	return group(&cobra.Command{
		Use:     "workers",
		Short:   "See and drain the fleet",
		Long:    "Lists the workers as of their last heartbeats. A worker that is drained is safe to stop: it holds nothing and claims nothing.",
		Example: "  stint workers\n  stint workers drain --not-version 2.0.0 --wait --timeout 5m\n  stint workers drain --all --force --wait",
	}, "List the workers", list, c.drain(), c.undrain(), c.fence())
}

func (c *command) printWorkers(ws []wire.Worker) error {
	return c.print(ws, func(w io.Writer) {
		t := newTable("ID", "VERSION", "STATE", "IN FLIGHT", "HEARTBEAT", "SAFE TO STOP")
		for _, x := range ws {
			safe := "no"
			if x.SafeToStop {
				safe = "yes"
			}
			if x.Fenced != "" {
				x.State += " (fenced)"
			}
			t.row(x.ID, x.Version, x.State, fmt.Sprintf("%d of %d", x.InFlight, x.Concurrency), short(msec(x.HeartbeatAge))+" ago", safe)
		}
		t.write(w)
	})
}

// selectionFlags say which workers are meant.
func selectionFlags(cmd *cobra.Command, s *wire.Selection) {
	f := cmd.Flags()
	f.BoolVar(&s.All, "all", false, "every worker")
	f.StringVar(&s.Version, "version", "", "workers of this version, or of a constraint such as '<2.0'")
	f.StringVar(&s.NotVersion, "not-version", "", "workers of any other version")
	f.StringToStringVar(&s.Labels, "label", nil, "workers with this label, `name=value`; may be repeated, and then all are needed")
}

func (c *command) drain() *cobra.Command {
	sel := &wire.Selection{}
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "drain [ID...]",
		Short: "Let workers give back what they hold and claim nothing more",
		Long: `Asks workers to drain: they stop claiming at once, and what they run comes back at its next checkpoint, within about a
second. The request is kept in Redis, so it also reaches a worker that is cut off just now. With --wait the command ends
with 0 when each of them is safe to stop, and with 6 when time ran out before. Interrupting it leaves the drain going.

A drain that would leave a queue without any worker is refused, unless it is forced, and the message says which.`,
		Example:           "  stint workers drain --not-version \"$NEW\" --wait --timeout 5m\n  stint workers drain --version '<2.0'\n  stint workers drain --all --force --wait",
		ValidArgsFunction: c.complete(math.MaxInt, workerIDs),
	}
	cmd.RunE = c.withSession(func(cmd *cobra.Command, ids []string, s *session) error {
		sel.IDs = ids
		chosen, err := s.Drain(cmd.Context(), *sel)
		if err != nil {
			return err
		}
		if wait {
			return c.waitDrained(cmd.Context(), s, chosen, timeout)
		}
		return c.print(map[string]any{"draining": chosen}, func(w io.Writer) { fmt.Fprintf(w, "draining %d: %s\n", len(chosen), strings.Join(chosen, " ")) })
	})
	selectionFlags(cmd, sel)
	cmd.Flags().BoolVar(&sel.Force, "force", false, "although a queue is left without any worker")
	cmd.Flags().BoolVar(&wait, "wait", false, "stay until each of them is safe to stop")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait")
	return cmd
}

func (c *command) undrain() *cobra.Command {
	sel := &wire.Selection{}
	cmd := &cobra.Command{
		Use:               "undrain [ID...]",
		Short:             "Let drained workers claim again",
		Example:           "  stint workers undrain --all",
		ValidArgsFunction: c.complete(math.MaxInt, workerIDs),
	}
	cmd.RunE = c.withSession(func(cmd *cobra.Command, ids []string, s *session) error {
		sel.IDs = ids
		chosen, err := s.Undrain(cmd.Context(), *sel)
		if err != nil {
			return err
		}
		return c.print(map[string]any{"active": chosen}, func(w io.Writer) { fmt.Fprintf(w, "active %d: %s\n", len(chosen), strings.Join(chosen, " ")) })
	})
	selectionFlags(cmd, sel)
	return cmd
}

func workerIDs(ctx context.Context, s *session) ([]string, error) {
	ws, err := s.Workers(ctx)
	var ids []string
	for _, w := range ws {
		ids = append(ids, w.ID+"\t"+w.Version+" "+w.State)
	}
	return ids, err
}

// waitDrained waits until each of the workers is safe to stop. One that is lost is not: it may come back with what it holds.
func (c *command) waitDrained(ctx context.Context, s *session, ids []string, timeout time.Duration) error {
	ctx, stop := c.interruptible(ctx)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	waiting := []string{"they were asked, and have not been looked at"}
	told, since := -1, time.Now()
	for {
		ws, err := s.Workers(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			mine := slices.DeleteFunc(ws, func(w wire.Worker) bool { return !slices.Contains(ids, w.ID) })
			waiting = waiting[:0]
			for _, w := range mine {
				if !w.SafeToStop {
					waiting = append(waiting, fmt.Sprintf("%s (%s, %d in flight)", w.ID, w.State, w.InFlight))
				}
			}
			if len(waiting) == 0 {
				return c.printWorkers(mine)
			}
			if time.Since(since) > time.Second && (len(waiting) != told || time.Since(since) > 10*time.Second) {
				c.say("%d of %d safe to stop; not yet: %s", len(ids)-len(waiting), len(ids), strings.Join(waiting, ", "))
				told, since = len(waiting), time.Now()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return tasks.WithHint(context.Cause(ctx), "the drain goes on; ask again with --wait, or see: stint workers", "not yet safe to stop: %s", strings.Join(waiting, ", "))
		}
	}
}
