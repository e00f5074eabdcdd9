package httpsink_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/tasks"
)

const canary = "canary/secret+1\"x"

// connections are all the ways in which a connection holds secrets.
func connections(url string) map[string]httpsink.Connection {
	return map[string]httpsink.Connection{
		"basic":   {BaseURL: url, Auth: httpsink.Auth{Type: httpsink.AuthBasic, Username: "u", Password: canary}},
		"bearer":  {BaseURL: url, Auth: httpsink.Auth{Type: httpsink.AuthBearer, Token: canary}},
		"header":  {BaseURL: url, Auth: httpsink.Auth{Type: httpsink.AuthHeader, Header: "X-Api-Key", Value: canary}},
		"headers": {BaseURL: url, Headers: map[string]httpsink.Secret{"X-Api-Key": canary}},
		"oauth2":  {BaseURL: url, Auth: httpsink.Auth{Type: httpsink.AuthOAuth2, TokenURL: url + "/token", ClientID: "c", ClientSecret: canary}},
		"in body": {BaseURL: url, Auth: httpsink.Auth{Type: httpsink.AuthOAuth2, TokenURL: url + "/token", ClientID: "c", ClientSecret: canary, InBody: true}},
	}
}

// leaks finds the canary in any of its spellings.
func leaks(text string) bool {
	return strings.Contains(text, "canary") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("u:"+canary))) ||
		strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("c:"+canary))) || strings.Contains(text, "Y2FuYXJ5")
}

func TestNoSecretIsShownWhateverTheAPIEchoes(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 422, 500, 200, 302} {
		a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				reply(w, http.StatusOK, `{"access_token": "canary-token-17", "expires_in": 3600}`)
				return
			}
			body, _ := json.Marshal(map[string]any{"message": fmt.Sprint("you sent ", r.Header), "bare": canary, "deep": r.Header})
			w.Header().Set("Location", "https://elsewhere.example/"+canary)
			reply(w, status, string(body)+strings.Repeat(" ", 10))
		})
		for name, c := range connections(a.url) {
			e := one
			e.ID = "$.id"
			o := quick()
			o.Tries = 2
			s := sink(t, c, e, o)
			answers, err := deliver(t, s, numbered(1))
			text, _ := json.Marshal(answers)
			shown := fmt.Sprintf("%v %+v %#v %s %s", err, answers, answers, text, tasks.HintOf(err))
			if leaks(shown) {
				t.Errorf("%s, status %d: %s", name, status, shown)
			}
			if status != 500 && status != 422 && !tasks.IsPermanent(err) {
				t.Errorf("%s, status %d: %v", name, status, err)
			}
		}
	}
	for name, c := range connections("https://api.example") {
		text, err := json.Marshal(c)
		if shown := fmt.Sprintf("%v %+v %#v %s %v", c, c, c, text, err); leaks(shown) {
			t.Errorf("%s is shown as %s", name, shown)
		}
	}
}

func TestNoSecretIsShownWhenTheServerCannotBeReached(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range connections(gone.URL) {
		e := one
		e.Path = "/v1/records?key={{ .legacy_id }}"
		o := quick()
		o.Tries = 2
		answers, err := deliver(t, sink(t, c, e, o), numbered(1))
		if shown := fmt.Sprintf("%v %+v", err, answers); leaks(shown) || strings.Contains(shown, "key=") {
			t.Errorf("%s: %s", name, shown)
		}
		if a := answers["r0"]; err == nil && (a.Outcome != httpsink.Failed || a.Code != "connection" || a.Uncertain) {
			t.Errorf("%s: what was never sent is answered %+v", name, a)
		}
	}
}

func TestATokenThatExpiresIsRenewedAndNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	server := apitest.New(apitest.Options{Token: canary, TokenUses: 100})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := connections(server.URL())["oauth2"]
	c.Auth.TokenURL, c.Auth.ClientID = server.URL()+"/oauth/token", "client"
	e := one
	e.ID = "$.data.id"
	records := numbered(1000)
	s := sink(t, c, e, quick())
	answers, err := deliver(t, s, records)
	if err != nil {
		t.Fatal(err)
	}
	state := server.State()
	for _, r := range records {
		if state.Effects[r.Key] != 1 || answers[r.Key].Outcome != httpsink.Created {
			t.Errorf("%s took effect %d times, %+v", r.Key, state.Effects[r.Key], answers[r.Key])
		}
	}
	if n := state.Counts.Tokens; n < 10 || n > 20 {
		t.Errorf("%d tokens were fetched for 1000 requests", n)
	}
	c.Auth.ClientSecret = "another-secret"
	if _, err := deliver(t, sink(t, c, e, quick()), numbered(1)); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "invalid_client") || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "another") {
		t.Errorf("a wrong secret gave %v", err)
	}
}

func TestRefusedCredentialsStopTheJobWithAHint(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 407} {
		a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, status, `{"message": "no such user"}`) })
		_, err := deliver(t, sink(t, to(a.url), one, quick()), numbered(3))
		if !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "auth of the connection") || !strings.Contains(err.Error(), "no such user") {
			t.Errorf("%d gave %v", status, err)
		}
	}
}

func TestOnlyRedirectsThatKeepTheRequestAndTheServerAreFollowed(t *testing.T) {
	t.Parallel()
	other := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	for _, c := range []struct {
		status   int
		location string
		followed bool
	}{
		{307, "/v2/records", true}, {308, "/v2/records", true}, {307, "/v1/records", false}, // a circle
		{301, "/v2/records", false}, {302, "/v2/records", false}, {303, "/v2/records", false}, {307, other.url + "/v2/records", false}, {308, "", false},
	} {
		a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/records" {
				reply(w, http.StatusCreated, "")
				return
			}
			w.Header().Set("Location", c.location)
			w.WriteHeader(c.status)
		})
		answers, err := deliver(t, sink(t, to(a.url), one, quick()), numbered(1))
		seen := a.requests()
		if c.followed {
			if err != nil || answers["r0"].Outcome != httpsink.Created || len(seen) != 2 || seen[0].Body != seen[1].Body || seen[0].Key != seen[1].Key || seen[1].Method != http.MethodPost {
				t.Errorf("%d to %s: %v, %+v", c.status, c.location, err, seen)
			}
		} else if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "redirects") || tasks.HintOf(err) == "" {
			t.Errorf("%d to %s: %v", c.status, c.location, err)
		}
	}
	if n := len(other.requests()); n > 0 {
		t.Errorf("%d requests went to another server", n)
	}
}

func TestAServerIsTrustedByItsAuthorityAloneAndKnowsUsByOurCertificate(t *testing.T) {
	t.Parallel()
	certificate, key := selfSigned(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") }))
	ours := x509.NewCertPool()
	ours.AppendCertsFromPEM([]byte(certificate))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	c := to(server.URL)
	c.TLS.Certificate, c.TLS.Key = certificate, httpsink.Secret(key)
	if _, err := deliver(t, sink(t, c, one, quick()), numbered(1)); !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "tls.ca") {
		t.Errorf("an unknown authority gave %v", err)
	}
	c.TLS.CA = authority
	if answers, err := deliver(t, sink(t, c, one, quick()), numbered(1)); err != nil || answers["r0"].Outcome != httpsink.Created {
		t.Errorf("%+v, %v", answers, err)
	}
	c.TLS = httpsink.TLS{Insecure: true, Certificate: certificate, Key: httpsink.Secret(key)}
	if answers, err := deliver(t, sink(t, c, one, quick()), numbered(1)); err != nil || answers["r0"].Outcome != httpsink.Created {
		t.Errorf("insecure, on loopback: %+v, %v", answers, err)
	}
	c.TLS = httpsink.TLS{CA: authority}
	o := quick()
	o.Tries = 2
	if answers, err := deliver(t, sink(t, c, one, o), numbered(1)); err == nil && answers["r0"].Outcome == httpsink.Created {
		t.Error("the server took us without a certificate")
	}
}

// selfSigned returns a certificate and its key, in PEM.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stint"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}
