package web

import (
	"net/http"
	"testing"
)

func TestAJobHasAPageOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser("")
	for _, path := range []string{"", "/events", "/rejects", "/report", "/spec", "/cancel", "/restart"} {
		p := b.get("/jobs/" + id + path)
		if p.Code != http.StatusOK {
			t.Errorf("%s: %d: %s", p.Path, p.Code, p.Body)
		}
		p.shows(t, id)
	}
}
