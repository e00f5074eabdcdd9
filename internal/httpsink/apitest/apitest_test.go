package apitest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink/apitest"
)

// post sends a record until it gets an answer, each time under the key that it is given.
func post(t *testing.T, client *http.Client, url, legacyID string, key func() string) {
	t.Helper()
	for range 100 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/records", strings.NewReader(`{"legacy_id": "`+legacyID+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", key())
		r.GetBody = nil // what is repeated is repeated here
		response, err := client.Do(r)
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusCreated {
			return
		}
	}
	t.Fatalf("%s never got an answer", legacyID)
}

func TestAClientThatRepeatsUnderAnotherKeyIsFoundOut(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{true, false} {
		server := apitest.New(apitest.Options{Faults: apitest.Hostile(), Seed: 1, HangFor: 100 * time.Millisecond})
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Timeout: 50 * time.Millisecond, Transport: &http.Transport{}}
		keys := 0
		for i := range 200 {
			id := strconv.Itoa(i)
			post(t, client, server.URL(), id, func() string {
				if keys++; same {
					return id
				}
				return "new " + strconv.Itoa(keys)
			})
		}
		client.CloseIdleConnections()
		state, err := apitest.StateOf(t.Context(), server.URL())
		if err != nil || len(state.Effects) != 200 || len(state.IDs) != 200 {
			t.Errorf("%d records took effect, %v", len(state.Effects), err)
		}
		if twice := len(state.Twice()); (twice > 0) == same {
			t.Errorf("with the same key each time: %t; %d records took effect more than once", same, twice)
		}
		if c := state.Counts; c.Errors == 0 || c.Hangs == 0 || c.Busy == 0 || c.Cuts == 0 {
			t.Errorf("there were not all faults: %+v", c)
		}
		server.Close()
	}
}
