package condition

import (
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// anyEvent: each event is a match.
type anyEvent struct{ base }

// AddData takes events.
func (c *anyEvent) AddData(events []source.Hit) error {
	for _, e := range events {
		c.found(document.Clone(e.Doc))
	}
	return nil
}
