package web

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// counting answers each request with how many there were.
type counting struct{ n int }

func (c *counting) RoundTrip(*http.Request) (*http.Response, error) {
	c.n++
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(strconv.Itoa(c.n)))}, nil
}

func TestWhatWasReadBeforeTheEndOfAJobIsNotShownAfterIt(t *testing.T) {
	t.Parallel()
	c := newReads(&counting{})
	get := func(ctx context.Context) string {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stint.local/v1/jobs/x/outputs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "application/json")
		resp, err := c.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	before := get(t.Context())
	just, old := time.Now(), time.Now().Add(-time.Hour)
	after := get(sinceEnd(t.Context(), &wire.Job{EndedAt: &just}))
	if after == before {
		t.Error("an answer of before the end is taken for one of after it")
	}
	if got := get(sinceEnd(t.Context(), &wire.Job{EndedAt: &old})); got != after {
		t.Errorf("of a job that ended long ago %s is read, and %s was there", got, after)
	}
	if got := get(sinceEnd(t.Context(), &wire.Job{})); got != after {
		t.Errorf("of a job that goes on %s is read, and %s was there", got, after)
	}
}
