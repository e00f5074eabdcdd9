package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"strings"
)

// APIAccess is the part of a Connection that is for APIs.
type APIAccess struct {
	// Token is what an API knows us by: a bearer token, or the value of Header; "" means user and password, if there are any.
	Token Secret `key:"token"`
	// Header is the header that takes Token, such as X-Api-Key; "" is Authorization, with Bearer in front.
	Header string `key:"header"`
	// TokenURL is where tokens are fetched (OAuth 2, client credentials), such as https://login.example.com/oauth/token, instead of Token.
	TokenURL URL `key:"token_url"`
	// ClientID is who we are at TokenURL.
	ClientID string `key:"client_id"`
	// ClientSecret belongs to ClientID.
	ClientSecret Secret `key:"client_secret"`
	// ClientInBody sends ClientID and ClientSecret in the body of the request to TokenURL, and not in a Basic header.
	ClientInBody bool `key:"client_in_body"`
	// Scopes are asked for at TokenURL.
	Scopes []string `key:"scopes"`
	// TokenParams are further NAME=VALUE pairs for TokenURL, such as audience=https://api.example.com.
	TokenParams []string `key:"token_params"`
	// Headers go with each request, one NAME: VALUE on a line. They are taken to be secret.
	Headers Secret `key:"headers"`
	// Proxy is the address of a proxy, http:// or https://; "" connects directly, whatever the process environment says.
	Proxy URL `key:"proxy"`
	// CA is the path of the certificates (PEM) that the server's is checked against; "" means those of the system.
	CA string `key:"ca"`
	// Cert is the path of the certificate (PEM) that is shown to the server; "" shows none.
	Cert string `key:"cert"`
	// Key is the path of the key (PEM) of Cert.
	Key string `key:"key"`
}

// Certificates are the contents of the files of an APIAccess, in PEM; "" where there is none.
type Certificates struct {
	CA, Cert string
	Key      Secret
}

// Certificates reads the files. The error names the file and has no secret in it.
func (a APIAccess) Certificates() (Certificates, error) {
	var k checker
	c := a.certificates(&k, func(part string) string { return part })
	return c, asError(k.problems)
}

func (a APIAccess) certificates(k *checker, part func(string) string) (c Certificates) {
	read := func(key, path string) string {
		if path == "" {
			return ""
		}
		content, err := os.ReadFile(path)
		if err != nil {
			k.add(part(key), "give the right path", "cannot be read: %v", errors.Unwrap(err))
		}
		return string(content)
	}
	before := len(k.problems)
	c.CA, c.Cert, c.Key = read("ca", a.CA), read("cert", a.Cert), NewSecret(read("key", a.Key))
	switch {
	case len(k.problems) > before:
	case a.Cert != "" && a.Key == "":
		k.add(part("cert"), "set key too", "has no key to go with")
	case a.Key != "" && a.Cert == "":
		k.add(part("key"), "set cert too", "has no cert to go with")
	case a.Cert != "":
		if _, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key.Reveal())); err != nil {
			k.add(part("cert"), "certificate and key are files in PEM form and belong together", "cannot be used: %v", err)
		}
	}
	if a.CA != "" && len(k.problems) == before && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CA)) {
		k.add(part("ca"), "name a file in PEM form", "%s has no certificate in it", a.CA)
	}
	return c
}

// HeaderMap returns Headers by name.
func (a APIAccess) HeaderMap() map[string]Secret {
	if a.Headers.IsZero() {
		return nil
	}
	m := map[string]Secret{}
	for line := range strings.Lines(a.Headers.Reveal()) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			m[strings.TrimSpace(name)] = NewSecret(strings.TrimSpace(value))
		}
	}
	return m
}

// TokenParamMap returns TokenParams by name.
func (a APIAccess) TokenParamMap() map[string]string { return labelMap(a.TokenParams) }

// parts are those that are set, by their keys.
func (a APIAccess) parts() []string {
	var set []string
	for _, p := range []struct {
		key string
		set bool
	}{
		{"token", !a.Token.IsZero()}, {"header", a.Header != ""}, {"token_url", !a.TokenURL.IsZero()}, {"client_id", a.ClientID != ""},
		{"client_secret", !a.ClientSecret.IsZero()}, {"client_in_body", a.ClientInBody}, {"scopes", len(a.Scopes) > 0}, {"token_params", len(a.TokenParams) > 0},
		{"headers", !a.Headers.IsZero()}, {"proxy", !a.Proxy.IsZero()}, {"ca", a.CA != ""}, {"cert", a.Cert != ""}, {"key", a.Key != ""},
	} {
		if p.set {
			set = append(set, p.key)
		}
	}
	return set
}

// check looks at the parts; password says that there is one besides, and secure that the API is reached by https.
func (a APIAccess) check(k *checker, part func(string) string, password, secure bool) {
	if a.Header != "" && a.Token.IsZero() {
		k.add(part("token"), "give the header's value as token", "is missing")
	}
	if a.Header != "" && strings.ContainsFunc(a.Header, notOfName) {
		k.add(part("header"), "write a name such as X-Api-Key", "%q is no name for a header", a.Header)
	}
	if a.TokenURL.IsZero() {
		for _, key := range a.parts() {
			if strings.HasPrefix(key, "client_") || key == "scopes" || key == "token_params" {
				k.add(part(key), "set token_url too, or remove it", "has no token_url to go with")
			}
		}
	} else {
		a.checkOAuth(k, part, password)
	}
	for i, line := range strings.Split(strings.TrimSpace(a.Headers.Reveal()), "\n") {
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		switch {
		case a.Headers.IsZero():
		case !ok || name == "" || strings.TrimSpace(value) == "" || strings.ContainsFunc(name, notOfName):
			k.add(part("headers"), "write NAME: VALUE on each line", "line %d is no header", i+1) // what stands there may be secret
		case strings.EqualFold(name, "Authorization"):
			k.add(part("headers"), "set token, or a user and a password", "Authorization cannot be set here")
		}
	}
	if !a.Proxy.IsZero() {
		k.web(part("proxy"), a.Proxy, "http://HOST:3128")
	}
	if !secure && (a.CA != "" || a.Cert != "" || a.Key != "") {
		k.add(part("url"), "write https://, or remove ca, cert and key", "has no certificates")
	} else {
		a.certificates(k, part)
	}
}

func (a APIAccess) checkOAuth(k *checker, part func(string) string, password bool) {
	const form = "https://login.example.com/oauth/token"
	k.web(part("token_url"), a.TokenURL, form)
	if u, err := url.Parse(a.TokenURL.Reveal()); err == nil && u.User != nil {
		k.add(part("token_url"), "set client_id and client_secret", "has a user in it")
	}
	if !a.Token.IsZero() {
		k.add(part("token"), "leave one of them away", "cannot stand beside token_url, which gives tokens")
	}
	if password {
		k.add(part("token_url"), "leave one of them away", "cannot stand beside a password")
	}
	if a.ClientID == "" {
		k.add(part("client_id"), "say who we are at token_url", "is missing")
	}
	if a.ClientSecret.IsZero() {
		k.add(part("client_secret"), "write file:PATH or env:NAME", "is missing")
	}
	k.labels(part("token_params"), a.TokenParams)
}

// notOfName reports whether a character cannot be in the name of a header (RFC 9110, token).
func notOfName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// forAPIs complains about parts that only APIs have.
func (a APIAccess) forAPIs(k *checker, part func(string) string) {
	for _, key := range a.parts() {
		k.add(part(key), "remove it", "only APIs have it")
	}
}
