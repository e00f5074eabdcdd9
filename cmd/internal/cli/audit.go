package cli

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
)

// mostOfAnAuditPage is how many entries the API gives at once.
const mostOfAnAuditPage = 1000

func (c *command) audit() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what, newest first",
		Long: `Shows every request that changed something and every one that was refused: who sent it, from where, what it was about and
how it was answered. What is done without a server is done by "command line". About the last 100,000 are kept.`,
		Example: "  stint audit\n  stint audit --limit 1000 --output json",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			entries, err := paged(limit, mostOfAnAuditPage, func(cursor string, n int) ([]wire.AuditEntry, string, error) {
				page, err := s.Audit(cmd.Context(), cursor, n)
				return page.Entries, page.Next, err
			})
			if err != nil {
				return err
			}
			return c.print(entries, func(w io.Writer) {
				t := newTable("AT", "BY", "ROLE", "FROM", "ACTION", "TARGET", "STATUS")
				for _, e := range entries {
					t.row(e.At.Format(time.RFC3339), e.By, e.Role, e.From, e.Action, e.Target, strconv.Itoa(e.Status))
				}
				t.write(w)
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many")
	return cmd
}
