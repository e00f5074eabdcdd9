package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func (c *command) workers() *cobra.Command {
	list := c.withApp(func(cmd *cobra.Command, args []string, a *app.App) error {
		ws, err := a.Store.Workers(cmd.Context(), c.config.Scheduler.LostAfter)
		if err != nil {
			return err
		}
		return c.printWorkers(ws)
	})
	cmd := &cobra.Command{
		Use:     "workers",
		Short:   "See and drain the fleet",
		Long:    "Lists the workers as of their last heartbeats. A worker that is drained is safe to stop: it holds nothing and claims nothing.",
		Example: "  stint workers\n  stint workers drain --all --wait\n  stint workers drain --not-version 2.0.0 --wait --timeout 5m",
		Args:    cobra.NoArgs,
		RunE:    list,
	}
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "List the workers", Args: cobra.NoArgs, RunE: list}, c.drain(), c.undrain())
	return cmd
}

func (c *command) printWorkers(ws []wire.Worker) error {
	return c.print(ws, func(w io.Writer) {
		t := newTable("ID", "VERSION", "STATE", "IN FLIGHT", "HEARTBEAT", "SAFE TO STOP")
		for _, x := range ws {
			safe := "no"
			if x.SafeToStop {
				safe = "yes"
			}
			t.row(x.ID, x.Version, x.State, fmt.Sprintf("%d of %d", x.InFlight, x.Concurrency), short(msec(x.HeartbeatAge))+" ago", safe)
		}
		t.write(w)
	})
}

// selection says which workers are meant.
type selection struct {
	all        bool
	version    string
	notVersion string
	label      string // name=value
}

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&s.all, "all", false, "every worker")
	f.StringVar(&s.version, "version", "", "workers of this version")
	f.StringVar(&s.notVersion, "not-version", "", "workers of any other version")
	f.StringVar(&s.label, "label", "", "workers with this label, `name=value`")
}

// choose lists the living workers that are meant. An id that nobody has is an error.
func (s *selection) choose(ws []wire.Worker, ids []string) ([]string, error) {
	if len(ids) == 0 && !s.all && s.version == "" && s.notVersion == "" && s.label == "" {
		return nil, usage(tasks.WithHint(nil, "give ids, --version, --not-version, --label or --all", "which workers?"))
	}
	name, value, ok := strings.Cut(s.label, "=")
	if s.label != "" && !ok {
		return nil, usage(fmt.Errorf("--label %q: want name=value", s.label))
	}
	chosen := []string{}
	for _, w := range ws {
		if w.State == wire.WorkerStopped || (w.State == wire.WorkerLost && !slices.Contains(ids, w.ID)) {
			continue
		}
		labelled, has := w.Labels[name]
		if s.all || slices.Contains(ids, w.ID) || (s.label != "" && has && labelled == value) || (s.version != "" && w.Version == s.version) || (s.notVersion != "" && w.Version != s.notVersion) {
			chosen = append(chosen, w.ID)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(ws, func(w wire.Worker) bool { return w.ID == id }) {
			return nil, fmt.Errorf("%w%w", tasks.WithHint(nil, "stint workers lists those that there are", "there is no worker %s", id), silent{store.ErrNotFound})
		}
	}
	return chosen, nil
}

func (c *command) drain() *cobra.Command {
	s := &selection{}
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "drain [ID...]",
		Short: "Let workers give back what they hold and claim nothing more",
		Long: `Asks workers to drain: they stop claiming at once, and what they run comes back at its next checkpoint, within about a
second. The request is kept in Redis, so it also reaches a worker that is cut off just now. With --wait the command ends
with 0 when each of them is safe to stop, and with 6 when time ran out before. Interrupting it leaves the drain going.`,
		Example: "  stint workers drain --all --wait\n  stint workers drain --not-version \"$NEW\" --wait --timeout 5m",
	}
	cmd.RunE = c.withApp(func(cmd *cobra.Command, ids []string, a *app.App) error {
		chosen, err := c.ask(cmd.Context(), a, s, ids, true)
		if err != nil {
			return err
		}
		if wait {
			return c.waitDrained(cmd.Context(), a, chosen, timeout)
		}
		return c.print(map[string]any{"draining": chosen}, func(w io.Writer) { fmt.Fprintf(w, "draining %d: %s\n", len(chosen), strings.Join(chosen, " ")) })
	})
	s.flags(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "stay until each of them is safe to stop")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait")
	return cmd
}

func (c *command) undrain() *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use:     "undrain [ID...]",
		Short:   "Let drained workers claim again",
		Example: "  stint workers undrain --all",
	}
	cmd.RunE = c.withApp(func(cmd *cobra.Command, ids []string, a *app.App) error {
		chosen, err := c.ask(cmd.Context(), a, s, ids, false)
		if err != nil {
			return err
		}
		return c.print(map[string]any{"active": chosen}, func(w io.Writer) { fmt.Fprintf(w, "active %d: %s\n", len(chosen), strings.Join(chosen, " ")) })
	})
	s.flags(cmd)
	return cmd
}

// ask tells the workers that are meant to drain, or to be active, and returns their ids.
func (c *command) ask(ctx context.Context, a *app.App, s *selection, ids []string, drain bool) ([]string, error) {
	ws, err := a.Store.Workers(ctx, c.config.Scheduler.LostAfter)
	if err != nil {
		return nil, err
	}
	chosen, err := s.choose(ws, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range chosen {
		if err := a.Store.Want(ctx, id, drain); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}

// waitDrained waits until each of the workers is safe to stop. One that is lost is not: it may come back with what it holds.
func (c *command) waitDrained(ctx context.Context, a *app.App, ids []string, timeout time.Duration) error {
	ctx, stop := c.interruptible(ctx)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ws, err := a.Store.Workers(ctx, c.config.Scheduler.LostAfter)
		if err != nil && ctx.Err() == nil {
			return err
		}
		mine := slices.DeleteFunc(ws, func(w wire.Worker) bool { return !slices.Contains(ids, w.ID) })
		waiting := slices.DeleteFunc(slices.Clone(mine), func(w wire.Worker) bool { return w.SafeToStop })
		if err == nil && len(waiting) == 0 {
			return c.printWorkers(mine)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			var names []string
			for _, w := range waiting {
				names = append(names, fmt.Sprintf("%s (%s, %d in flight)", w.ID, w.State, w.InFlight))
			}
			return tasks.WithHint(context.Cause(ctx), "the drain goes on; ask again with --wait, or see: stint workers", "not yet safe to stop: %s", strings.Join(names, ", "))
		}
	}
}
