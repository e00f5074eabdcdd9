package alertstore_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
)

func TestASilenceOfARuleDoesNotShortenALongerOneOfItsAlerts(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"web-1", "web-2"}, nil))
	list, _, err := s.List(t.Context(), alertstore.Filter{Limit: 10})
	must(t, err)
	for _, a := range list {
		long := time.Hour
		if a.Key == "web-2" {
			long = 10 * time.Minute
		}
		_, err := s.Silence(t.Context(), a.ID, at(1), "ann", "until the part has come", long)
		must(t, err)
	}
	_, err = s.SilenceRules(t.Context(), at(1), wire.AlertSilence{Rule: "disk", Until: at(30), By: "bob"})
	must(t, err)
	list, _, err = s.List(t.Context(), alertstore.Filter{Limit: 10})
	must(t, err)
	for _, a := range list {
		until, by := at(61), "ann"
		if a.Key == "web-2" {
			until, by = at(30), "bob"
		}
		if a.SilencedUntil == nil || !a.SilencedUntil.Equal(until) || a.SilencedBy != by {
			t.Errorf("%s is silenced until %v by %s, want %v by %s", a.Key, a.SilencedUntil, a.SilencedBy, until, by)
		}
	}
}
