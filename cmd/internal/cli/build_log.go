package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

// logPoll is how often somebody looks whether a build has been planned.
const logPoll = 250 * time.Millisecond

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *command) buildLog() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "log JOB [STEP]",
		Short: "Show what the steps of a build have printed",
		Long: `Shows what a step of a build has printed, with the time of each line; all steps, one after the other, where none is named. --follow goes on
until the step has ended. Secrets are not in it. With --output json each line is an object: seq, at, stream (o, e, or # for notes of the
agent), text, attempt, partial.`,
		Example: "  stint build log bui-7k2m\n  stint build log bui-7k2m test --follow",
		Args:    cobra.RangeArgs(1, 2), ValidArgsFunction: c.complete(1, jobIDs),
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			ctx, stop := c.interruptible(cmd.Context())
			defer stop()
			names := args[1:]
			if len(names) == 0 {
				var err error
				if names, err = s.Logs(ctx, args[0]); err != nil {
					return err
				}
			}
			for _, name := range names {
				if err := c.writeLog(ctx, s, args[0], name, follow, len(names) > 1); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the step has ended")
	return cmd
}

func (c *command) writeLog(ctx context.Context, s *session, id, name string, follow, several bool) error {
	if several && c.output != "json" {
		fmt.Fprintf(c.Stdout, "== %s\n", name)
	}
	return s.Log(ctx, id, name, 0, follow, func(l tasks.LogLine) error {
		if c.output == "json" {
			return c.print(l, nil)
		}
		_, err := io.WriteString(c.Stdout, fmt.Sprintf("%s %s %s\n", l.At.UTC().Format("15:04:05.000"), l.Stream, buildlog.Printable(l.Text)))
		return err
	})
}
