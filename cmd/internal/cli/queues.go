package cli

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"
)

func (c *command) queues() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
		queues, err := s.Queues(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(queues, func(w io.Writer) {
			t := newTable("QUEUE", "WAITING", "CLAIMED", "BACKLOG", "OLDEST", "WORKERS")
			for _, q := range queues {
				t.row(q.Name, thousands(q.Depth), thousands(q.Claimed), thousands(q.Backlog), short(msec(q.Latency)), strconv.Itoa(q.Workers))
			}
			t.write(w)
		})
	})
	return group(&cobra.Command{
		Use:   "queues",
		Short: "Show the queues: what waits, what runs, who serves them",
		Long: `Lists every queue that a job or a worker names. A job has no more than its window of steps on its queue: WAITING are those
that nobody has claimed, CLAIMED those that a worker has, and BACKLOG all steps that are known and have not ended, which is what
autoscalers should go by. OLDEST says how long the first in line has been waiting.`,
		Example: "  stint queues\n  stint queues --output json",
	}, "List the queues", list)
}
