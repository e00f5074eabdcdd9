package source

import "context"

// Broken is a source that could not be opened: it answers every query with the reason.
func Broken(err error) Source { return broken{err} }

type broken struct{ err error }

// Search returns the reason.
func (b broken) Search(context.Context, Query, func([]Hit) error) (Found, error) {
	return Found{}, b.err
}

// Count returns the reason.
func (b broken) Count(context.Context, Query) (int64, error) { return 0, b.err }

// Terms returns the reason.
func (b broken) Terms(context.Context, Query, string, int, int) ([]Bucket, error) {
	return nil, b.err
}

// Aggregate returns the reason.
func (b broken) Aggregate(context.Context, Query, map[string]any) (map[string]any, int64, error) {
	return nil, 0, b.err
}
