package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

func (n *notes) firebird(ctx context.Context, db *sqldb.DB, at sqldb.Location) error {
	var version, charset, user, role string
	var dialect, pages int64
	err := db.SQL.QueryRowContext(ctx, `SELECT RDB$GET_CONTEXT('SYSTEM', 'ENGINE_VERSION'), COALESCE(TRIM(d.RDB$CHARACTER_SET_NAME), 'NONE'), TRIM(CURRENT_USER), TRIM(CURRENT_ROLE),
		m.MON$SQL_DIALECT, m.MON$PAGES * m.MON$PAGE_SIZE FROM MON$DATABASE m, RDB$DATABASE d`).Scan(&version, &charset, &user, &role, &dialect, &pages)
	if err != nil {
		return fmt.Errorf("ask the server about itself: %w", err)
	}
	n.ok("reachable", "Firebird %s, SQL dialect %d, %d MB", version, dialect, pages>>20)
	switch as := at.Params().Get("charset"); {
	case charset == "NONE" && as == "":
		n.add(Warning, "text", "say in the URL what it is, such as ?charset=WIN1252", "the database's character set is NONE: rows whose text is not UTF-8 are set aside")
	case as != "":
		n.ok("text", "the database's character set is %s; text of NONE is read as %s", charset, as)
	default:
		n.ok("text", "the database's character set is %s", charset)
	}
	n.ok("rights", "%s, role %s: it can be a source, and no target", user, role)
	return nil
}

// sqlserver has not been run against a server by this project.
func (n *notes) sqlserver(ctx context.Context, db *sqldb.DB, now func() time.Time) error {
	var version, edition, user string
	var snapshot, versioned, definitions int64
	var clock time.Time
	before := now()
	err := db.SQL.QueryRowContext(ctx, `SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), CAST(SERVERPROPERTY('Edition') AS nvarchar(128)), SUSER_SNAME(),
		CAST(snapshot_isolation_state AS int), CAST(is_read_committed_snapshot_on AS int), ISNULL(HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'VIEW DEFINITION'), 0), SYSUTCDATETIME()
		FROM sys.databases WHERE database_id = DB_ID()`).Scan(&version, &edition, &user, &snapshot, &versioned, &definitions, &clock)
	if err != nil {
		return fmt.Errorf("ask the server about itself: %w", err)
	}
	after := now()
	n.ok("reachable", "SQL Server %s, %s (this project has not been run against one)", version, strings.TrimSpace(edition))
	n.clock(before, clock, after)
	if snapshot == 1 || versioned == 1 {
		n.ok("isolation", "each query reads one snapshot")
	} else {
		n.add(Warning, "isolation", "ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON, or read it while nobody writes",
			"it allows no snapshots: rows that others change while they are read may be read twice, or not at all")
	}
	if definitions == 1 {
		n.ok("rights", "%s: it can be a source, and no target", user)
	} else {
		n.add(Warning, "rights", "GRANT VIEW DEFINITION to it", "%s may not see all definitions: tables, keys and defaults may be missed", user)
	}
	return nil
}
