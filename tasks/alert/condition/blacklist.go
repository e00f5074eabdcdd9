package condition

import (
	"strings"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// listed is what blacklist and whitelist compare with.
type listed struct {
	base
	name    string // of the field that is compared; several names are joined, as the original does
	entries map[string]bool
}

func newListed(b base) listed {
	l := listed{base: b, name: strings.Join(b.rule.CompareKey, ","), entries: make(map[string]bool, len(b.rule.List))}
	for _, v := range b.rule.List {
		l.entries[document.Same(v)] = true
	}
	return l
}

// values returns what an event has in the field: nothing for null, and each of the values of a list, as a search engine sees it.
func (l *listed) values(doc map[string]any) []any {
	switch v := document.Value(doc, l.name).(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// blacklist: an event with a value of the list is a match.
type blacklist struct{ listed }

func newBlacklist(b base) *blacklist { return &blacklist{newListed(b)} }

// AddData takes events.
func (c *blacklist) AddData(events []source.Hit) error {
	for _, e := range events {
		for _, v := range c.values(e.Doc) {
			if v != nil && c.entries[document.Same(v)] {
				c.found(document.Clone(e.Doc))
				break
			}
		}
	}
	return nil
}
