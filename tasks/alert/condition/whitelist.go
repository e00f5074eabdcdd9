package condition

import (
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// whitelist: an event with a value that is not of the list is a match; one without a value is, unless ignore_null.
type whitelist struct{ listed }

func newWhitelist(b base) *whitelist { return &whitelist{newListed(b)} }

// AddData takes events.
func (c *whitelist) AddData(events []source.Hit) error {
	for _, e := range events {
		values := c.values(e.Doc)
		match := len(values) == 0 && !c.rule.IgnoreNull
		for _, v := range values {
			if v == nil {
				match = match || !c.rule.IgnoreNull
			} else {
				match = match || !c.entries[document.Same(v)]
			}
		}
		if match {
			c.found(document.Clone(e.Doc))
		}
	}
	return nil
}
