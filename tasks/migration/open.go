package migration

import (
	"context"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
)

// Open opens a connection by its name, for other families of the process: the handle stays the set's, and is closed with it.
func (d *Databases) Open(ctx context.Context, name string, readOnly bool) (*sqldb.DB, error) {
	return d.get(ctx, name, readOnly)
}

// Artifacts opens the process' store of artifacts; it is closed with the set.
func (d *Databases) Artifacts() (artifact.Store, error) { return d.shelf.get() }
