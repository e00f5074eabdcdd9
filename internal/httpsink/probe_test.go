package httpsink_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks"
)

func TestAProbeSaysWhetherSomebodyAnswersAndTakesTheCredentials(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet || r.URL.Path != "/base" || r.Header.Get("X-Tenant") != "acme":
			w.WriteHeader(http.StatusTeapot)
		case r.Header.Get("Authorization") != "Bearer right":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	for token, want := range map[string]int{"right": http.StatusNotFound, "wrong": http.StatusUnauthorized} {
		c := httpsink.Connection{BaseURL: s.URL + "/base/", Auth: httpsink.Auth{Type: httpsink.AuthBearer, Token: httpsink.Secret(token)}, Headers: map[string]httpsink.Secret{"X-Tenant": "acme"}}
		p, err := httpsink.Probe(t.Context(), c)
		if err != nil || p.Status != want || p.Took <= 0 || p.Refused() != (token == "wrong") {
			t.Errorf("%s: got %+v, %v", token, p, err)
		}
	}
	_, err := httpsink.Probe(t.Context(), httpsink.Connection{BaseURL: "http://127.0.0.1:1", Headers: map[string]httpsink.Secret{"X-Key": "hidden"}})
	if err == nil || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody listens there, and got %v", err)
	}
}
