package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) fence() *cobra.Command {
	f := &wire.Fence{}
	var lift, force bool
	cmd := &cobra.Command{
		Use:   "fence [--version V | --not-version V | --lift]",
		Short: "Keep versions of workers from claiming, also those that start later",
		Long: `Parks the workers of some versions: those that run drain, and those that start claim nothing, so that an old container
which its platform starts again does no work. It is kept in Redis until it is lifted. Without a flag it lists the fences.

A fence that would leave a queue without any worker is refused, unless it is forced.`,
		Example: "  stint workers fence --version '<2.0'\n  stint workers fence --not-version \"$NEW\" --reason \"release $NEW\"\n  stint workers fence --lift",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			ctx := cmd.Context()
			switch {
			case lift && f.Version+f.NotVersion != "", f.Version != "" && f.NotVersion != "":
				return usage(tasks.WithHint(nil, "set one fence at a time", "give one of --version, --not-version and --lift"))
			case lift:
				if err := s.LiftFences(ctx); err != nil {
					return err
				}
			case f.Version+f.NotVersion != "":
				if _, err := s.SetFence(ctx, *f, force); err != nil {
					return err
				}
			}
			list, err := s.Fences(ctx)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeFences(w, list) })
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Version, "version", "", "park these: a version, or a constraint such as '<2.0'")
	fl.StringVar(&f.NotVersion, "not-version", "", "park all others")
	fl.StringVar(&f.Reason, "reason", "", "why, for those who wonder")
	fl.BoolVar(&lift, "lift", false, "let every version claim again")
	fl.BoolVar(&force, "force", false, "although a queue is left without any worker")
	return cmd
}

func writeFences(w io.Writer, list []wire.Fence) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no fence stands")
		return
	}
	t := newTable("PARKED", "BY", "SINCE", "REASON")
	for _, f := range list {
		which := f.Version
		if f.NotVersion != "" {
			which = "all but " + f.NotVersion
		}
		t.row(which, f.By, f.At.Format(time.RFC3339), f.Reason)
	}
	t.write(w)
}
