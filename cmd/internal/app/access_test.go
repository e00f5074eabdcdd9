package app

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/httpsink"
)

func TestAnAPIIsReachedAsTheConfigurationSays(t *testing.T) {
	t.Parallel()
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "stint" || secret != "s3cret" || r.FormValue("scope") != "read write" || r.FormValue("audience") != "api" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"t0ken","expires_in":3600}`)
	}))
	defer login.Close()
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0ken" || r.Header.Get("X-Tenant") != "acme" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer api.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := withAccess(httpsink.Connection{BaseURL: api.URL}, config.APIAccess{TokenURL: config.NewURL(login.URL), ClientID: "stint", ClientSecret: config.NewSecret("s3cret"),
		Scopes: []string{"read", "write"}, TokenParams: []string{"audience=api"}, Headers: config.NewSecret("X-Tenant: acme\n"), CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := httpsink.New(conn, httpsink.Endpoint{Path: "/c"}, httpsink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	var got []httpsink.Answer
	err = sink.Deliver(t.Context(), []httpsink.Record{{Key: "1", IdempotencyKey: "1", Fields: map[string]any{"id": 1}}}, func(a []httpsink.Answer) error {
		got = append(got, a...)
		return nil
	})
	if err != nil || len(got) != 1 || got[0].Outcome != httpsink.Created {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestACertificateThatIsGoneIsNotPassedOver(t *testing.T) {
	t.Parallel()
	if _, err := withAccess(httpsink.Connection{BaseURL: "https://h"}, config.APIAccess{CA: filepath.Join(t.TempDir(), "gone.pem")}); err == nil {
		t.Error("want an error")
	}
}
