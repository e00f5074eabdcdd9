package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
)

func (c *command) kinds() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
		kinds, err := s.Kinds(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(kinds, func(w io.Writer) {
			t := newTable("KIND", "HELD", "SINCE", "BY", "REASON")
			for _, k := range kinds {
				if m := k.Maintenance; m != nil {
					t.row(k.Kind, "yes", ago(c.Now(), m.At)+" ago", m.By, m.Reason)
				} else {
					t.row(k.Kind, "no", "", "", "")
				}
			}
			t.write(w)
		})
	})
	return group(&cobra.Command{
		Use:   "kinds",
		Short: "Show what jobs can be of, and hold back a kind for maintenance",
		Long: `Lists the kinds of jobs. Under maintenance the jobs of a kind are held: accepted, but nothing of them is started. Those that
have started go on: pause the ones that should not.`,
		Example: "  stint kinds\n  stint kinds hold migration --reason \"the target is being upgraded\"\n  stint kinds release migration",
	}, "List the kinds", list, c.holdKind(), c.releaseKind())
}

func (c *command) holdKind() *cobra.Command {
	var reason string
	cmd := c.kindCommand(&cobra.Command{
		Use:     "hold KIND",
		Short:   "Accept jobs of a kind, but start nothing",
		Long:    "Puts a kind under maintenance: its jobs are accepted, but nothing of a new one is started, until it is released.",
		Example: "  stint kinds hold migration --reason \"the target is being upgraded\"",
	}, true, func(ctx context.Context, s *session, kind string) error { return s.BeginMaintenance(ctx, kind, reason) })
	cmd.Flags().StringVar(&reason, "reason", "", "for those who wonder why nothing starts")
	return cmd
}

func (c *command) releaseKind() *cobra.Command {
	return c.kindCommand(&cobra.Command{
		Use:     "release KIND",
		Short:   "Start what was held",
		Long:    "Ends the maintenance of a kind: what was held is started, in the order of priority and age. A kind that is not held stays as it is.",
		Example: "  stint kinds release migration",
	}, false, func(ctx context.Context, s *session, kind string) error { return s.EndMaintenance(ctx, kind) })
}

// kindCommand makes a command that holds or releases one kind.
func (c *command) kindCommand(cmd *cobra.Command, held bool, do func(ctx context.Context, s *session, kind string) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = oneOf("one kind", "stint kinds"), c.complete(1, kindNames)
	cmd.RunE = c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
		if err := do(cmd.Context(), s, args[0]); err != nil {
			return listedBy(err, "stint kinds")
		}
		word := map[bool]string{true: "held", false: "released"}[held]
		return c.print(map[string]any{"kind": args[0], "held": held}, func(w io.Writer) { fmt.Fprintf(w, "%s is %s\n", args[0], word) })
	})
	return cmd
}

func kindNames(ctx context.Context, s *session) ([]string, error) {
	kinds, err := s.Kinds(ctx)
	var names []string
	for _, k := range kinds {
		names = append(names, k.Kind+heldNote(k))
	}
	return names, err
}

func heldNote(k wire.Kind) string {
	if k.Maintenance == nil {
		return ""
	}
	return "\theld"
}
