package dedupe

import (
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// sparedBy says why the data set may not go after all, by what the registry says now; "" when it may.
func (d *deleting) sparedBy(now time.Time, victim, witness *datasets.Set) string {
	switch {
	case victim == nil:
		return "it is no longer in the registry: somebody else has removed it"
	case victim.LastSync == nil:
		return "nobody knows any more when it was last synced, which counts as recent"
	case d.o.LastSync == nil || !victim.LastSync.Equal(*d.o.LastSync):
		return fmt.Sprintf("it has synced since the analysis, at %s", stamp(*victim.LastSync))
	case now.Sub(*victim.LastSync) < d.head.Rules.Recency:
		return fmt.Sprintf("it was synced at %s, which is recent", stamp(*victim.LastSync))
	case witness == nil:
		return fmt.Sprintf("its witness %s is no longer in the registry", d.witness.Database)
	case !witness.Complete:
		return fmt.Sprintf("its witness %s is being uploaded", d.witness.Database)
	case witness.LastSync == nil || witness.LastSync.Sub(now) > decide.Skew:
		return fmt.Sprintf("nobody knows any more when its witness %s was last synced", d.witness.Database)
	case !witness.LastSync.After(*victim.LastSync):
		return fmt.Sprintf("its witness %s was not synced later than it", d.witness.Database)
	}
	return ""
}

// tooLittle says why what the witness holds now is not enough; "" when it is. rows are the victim's GUIDs and its rows without one.
func (d *deleting) tooLittle(shared, rows int64) string {
	switch {
	case shared < int64(d.head.Rules.Threshold):
		return fmt.Sprintf("its witness %s shares only %d GUIDs with it now", d.witness.Database, shared)
	case float64(shared)/float64(rows) < d.head.Rules.Containment:
		return fmt.Sprintf("its witness %s holds only %d of its %d GUIDs now", d.witness.Database, shared, rows)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
