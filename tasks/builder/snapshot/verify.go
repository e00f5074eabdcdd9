package snapshot

import (
	"context"
	"fmt"

	"github.com/stint-run/stint/internal/artifact"
)

// Verify reads all that a snapshot needs of the store, and says whether it is what it has to be: nil, ErrDamaged, or artifact.ErrNotFound.
func (s *Store) Verify(ctx context.Context, id ID) error {
	m, _, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	for _, o := range m.objects {
		if err := artifact.Verify(ctx, s.files, s.layerKey(o.digest), o.digest, o.size); err != nil {
			return fmt.Errorf("verify snapshot %s: %w", id, err)
		}
	}
	return nil
}
