package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// leastPacket is the max_allowed_packet, in bytes, below which rows with long values are set aside more often than people expect.
const leastPacket = 16 << 20

func (n *notes) mysql(ctx context.Context, db *sqldb.DB, now func() time.Time) error {
	var version, comment, user string
	var flush, readOnly, packet int64
	var clock string
	before := now()
	err := db.SQL.QueryRowContext(ctx, "SELECT VERSION(), @@version_comment, @@innodb_flush_log_at_trx_commit, @@read_only, @@max_allowed_packet, CURRENT_USER(), UTC_TIMESTAMP(6)").
		Scan(&version, &comment, &flush, &readOnly, &packet, &user, &clock)
	if err != nil {
		return fmt.Errorf("ask the server about itself: %w", err)
	}
	after := now()
	at, err := time.Parse("2006-01-02 15:04:05.999999", clock)
	if err != nil {
		return fmt.Errorf("read the server's clock: %w", err)
	}
	n.ok("reachable", "%s (%s)", version, comment)
	n.clock(before, at, after)
	if flush == 1 {
		n.ok("loss", "innodb_flush_log_at_trx_commit 1: a commit survives a crash")
	} else {
		n.add(Warning, "loss", "SET GLOBAL innodb_flush_log_at_trx_commit = 1", "innodb_flush_log_at_trx_commit is %d: a crash of the server loses rows that stint has counted as done", flush)
	}
	if packet < leastPacket {
		n.add(Warning, "limits", "SET GLOBAL max_allowed_packet = 67108864", "max_allowed_packet is %d bytes: a row that is larger as a statement cannot be loaded", packet)
	}
	if readOnly != 0 {
		n.ok("rights", "read-only: it can be a source, and no target")
		return nil
	}
	n.ok("rights", "%s; a source needs SELECT on all of its tables: those without are not seen at all", user)
	return nil
}
