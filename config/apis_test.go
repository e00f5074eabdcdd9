package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
)

// pair returns a certificate and its key, in PEM.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	text := func(typ string, b []byte) string { return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b})) }
	return text("CERTIFICATE", der), text("EC PRIVATE KEY", secret)
}

func TestAnAPIHasCredentialsHeadersAProxyAndCertificates(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	dir := filepath.Dir(write(t, map[string]string{"cert.pem": cert, "key.pem": key}))
	file := write(t, map[string]string{"stint.yaml": `connections:
  - name: crm
    url: https://crm.example.com/api
    token_url: https://login.example.com/token?tenant=hidden
    client_id: stint
    client_secret: env:SECRET
    client_in_body: true
    scopes: [read, write]
    token_params: ["audience=https://crm.example.com/?a=b"]
    headers: |
      X-Tenant: acme
      X-Key:hidden1
    proxy: http://me:hidden2@proxy:3128
    ca: ` + dir + `/cert.pem
    cert: ` + dir + `/cert.pem
    key: ` + dir + `/key.pem
`})
	c, origins := load(t, config.Options{File: file, Env: config.Env{"SECRET=hidden3", "STINT_CONNECTIONS_CRM_CLIENT_ID=other"}})
	crm := c.Connections[0]
	if crm.ClientID != "other" || crm.ClientSecret.Reveal() != "hidden3" || !crm.ClientInBody || len(crm.Scopes) != 2 || crm.TokenParamMap()["audience"] != "https://crm.example.com/?a=b" {
		t.Errorf("%+v", crm)
	}
	if h := crm.HeaderMap(); len(h) != 2 || h["X-Tenant"].Reveal() != "acme" || h["X-Key"].Reveal() != "hidden1" {
		t.Errorf("headers: %d", len(h))
	}
	files, err := crm.Certificates()
	if err != nil || files.CA != cert || files.Cert != cert || files.Key.Reveal() != key {
		t.Errorf("certificates: %v", err)
	}
	shown := fmt.Sprintf("%+v %#v %+v", crm, crm, files)
	for _, o := range origins.All() {
		shown += o.Value
	}
	if strings.Contains(shown, "hidden") || strings.Contains(shown, "PRIVATE KEY") {
		t.Errorf("a secret is shown: %s", shown)
	}
}

func TestAnAPIThatCannotBeReachedSoIsRefused(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	other, _ := pair(t)
	dir := filepath.Dir(write(t, map[string]string{"cert.pem": cert, "other.pem": other, "key.pem": key}))
	const https = "url: 'https://h', "
	for part, want := range map[string]string{
		https + "header: X-Key":                          "connections.a.token: is missing (give the header's value as token)",
		https + "header: 'X Key', token: topsecret":      `connections.a.header: "X Key" is no name for a header`,
		https + "client_id: x":                           "connections.a.client_id: has no token_url to go with (set token_url too, or remove it)",
		https + "scopes: [x]":                            "connections.a.scopes: has no token_url to go with",
		https + "token_url: 'https://l/t'":               "connections.a.client_id: is missing (say who we are at token_url)",
		https + "token_url: 'https://l/t', client_id: x": "connections.a.client_secret: is missing (write file:PATH or env:NAME)",
		https + "token_url: 'https://l/t', client_id: x, client_secret: topsecret, token: topsecret":         "connections.a.token: cannot stand beside token_url, which gives tokens",
		https + "token_url: 'https://l/t', client_id: x, client_secret: topsecret, password: topsecret":      "connections.a.token_url: cannot stand beside a password",
		https + "token_url: 'https://topsecret@l/t', client_id: x, client_secret: topsecret":                 "connections.a.token_url: has a user in it",
		https + "token_url: 'l/t', client_id: x, client_secret: topsecret":                                   "connections.a.token_url: the address of a server begins with http",
		https + "token_url: 'https://l/t', client_id: x, client_secret: topsecret, token_params: [audience]": "connections.a.token_params: want NAME=VALUE",
		https + "headers: 'topsecret'":                                      "connections.a.headers: line 1 is no header (write NAME: VALUE on each line)",
		https + `headers: "X-A: b\nX B: topsecret"`:                         "connections.a.headers: line 2 is no header",
		https + "headers: 'authorization: topsecret'":                       "connections.a.headers: Authorization cannot be set here",
		https + "proxy: 'proxy:3128'":                                       "connections.a.proxy: the address of a server begins with http",
		https + "ca: /nowhere.pem":                                          "connections.a.ca: cannot be read: no such file or directory (give the right path)",
		https + "ca: '" + dir + "/key.pem'":                                 "key.pem has no certificate in it (name a file in PEM form)",
		https + "cert: '" + dir + "/cert.pem'":                              "connections.a.cert: has no key to go with (set key too)",
		https + "key: '" + dir + "/key.pem'":                                "connections.a.key: has no cert to go with (set cert too)",
		https + "cert: '" + dir + "/other.pem', key: '" + dir + "/key.pem'": "connections.a.cert: cannot be used: ",
		"url: 'http://h', ca: '" + dir + "/cert.pem'":                       "connections.a.url: has no certificates (write https://, or remove ca, cert and key)",
		"url: 'sqlite:a', scopes: [x]":                                      "connections.a.scopes: only APIs have it (remove it)",
		"url: 'csv:a', proxy: 'http://p'":                                   "connections.a.proxy: only APIs have it (remove it)",
		https + "tokn_url: x":                                               `unknown key "connections.a.tokn_url" (did you mean "connections.a.token_url"?)`,
	} {
		file := write(t, map[string]string{"stint.yaml": "connections:\n  - {name: a, " + part + "}\n"})
		if got := problems(t, config.Options{File: file}); !strings.Contains(got, want) || strings.Contains(got, "topsecret") {
			t.Errorf("%s: got\n%swant %s", part, got, want)
		}
	}
}
