package httpsink

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Connection says how an API is reached. It comes from the worker's configuration; plans, jobs and reports know its name alone.
type Connection struct {
	// BaseURL is what each path is appended to, such as https://api.example.com/tenant7. It may not hold a user or a query.
	BaseURL string `json:"base_url" yaml:"base_url"`
	// Auth are the credentials; the zero value sends none.
	Auth Auth `json:"auth,omitzero" yaml:"auth,omitempty"`
	// Headers go with each request. They are taken to be secret.
	Headers map[string]Secret `json:"headers,omitempty" yaml:"headers,omitempty"`
	// Proxy is the URL of a proxy; "" connects directly, whatever the process environment says.
	Proxy Secret `json:"proxy,omitempty" yaml:"proxy,omitempty"`
	// TLS is for servers that the system's certificates do not cover.
	TLS TLS `json:"tls,omitzero" yaml:"tls,omitempty"`
}

// TLS says whom to trust and who we are.
type TLS struct {
	// CA are certificates in PEM that are trusted instead of the system's; "" trusts the system's.
	CA string `json:"ca,omitempty" yaml:"ca,omitempty"`
	// Certificate and Key, in PEM, are shown to the server; "" shows none.
	Certificate string `json:"certificate,omitempty" yaml:"certificate,omitempty"`
	Key         Secret `json:"key,omitempty" yaml:"key,omitempty"`
	// Insecure trusts any certificate. It is for tests and only allowed on loopback.
	Insecure bool `json:"insecure,omitempty" yaml:"insecure,omitempty"`
}

// Check returns what is wrong with the connection; nil if nothing is. It connects to nothing, and its errors hold no secret.
func (c Connection) Check() error {
	if _, err := c.base(); err != nil {
		return err
	}
	if _, err := c.transport(1); err != nil {
		return err
	}
	for name, value := range c.Headers {
		if textproto.CanonicalMIMEHeaderKey(name) == "Authorization" {
			return connectionError("headers", "Use auth.", "Authorization cannot be set here")
		}
		if strings.ContainsFunc(string(value), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return connectionError("headers."+name, "A secret that is read from a file may end with a line break.", "the value has control characters")
		}
	}
	return c.Auth.check()
}

func connectionError(field, hint, format string, args ...any) error {
	return tasks.WithHint(nil, hint, "connection: "+field+": "+format, args...)
}

func (c Connection) base() (*url.URL, error) {
	u, err := url.Parse(c.BaseURL)
	if err != nil { // its text would have the URL, which may hold a password
		return nil, connectionError("base_url", "Write https://api.example.com.", "it is no URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, connectionError("base_url", "Write https://api.example.com.", "it is no http or https URL with a host")
	case u.User != nil:
		return nil, connectionError("base_url", "Use auth: {type: basic, username: .., password: ..}.", "it holds a user name or a password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, connectionError("base_url", "Queries belong to the paths of the plan, keys to the headers.", "it holds a query or a fragment")
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

// transport makes a pool of connections for so many requests at once. HTTP/1.1 alone: a connection that breaks takes one request with
// it, not all that are under way.
func (c Connection) transport(concurrency int) (*http.Transport, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.TLS.Insecure} //nolint:gosec // loopback only, see below
	if c.TLS.Insecure && !loopback(base.Hostname()) {
		return nil, connectionError("tls.insecure", "Give the server's certificate, or that of its authority, as tls.ca.", "it is allowed on loopback only")
	}
	if c.TLS.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.TLS.CA)) {
			return nil, connectionError("tls.ca", "It begins with -----BEGIN CERTIFICATE-----.", "it holds no certificate in PEM")
		}
	}
	if c.TLS.Certificate != "" || c.TLS.Key != "" {
		pair, err := tls.X509KeyPair([]byte(c.TLS.Certificate), []byte(c.TLS.Key))
		if err != nil {
			return nil, connectionError("tls.certificate", "Give certificate and key, both in PEM, of one pair.", "certificate and key cannot be used: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           concurrency,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      false,
	}
	if c.Proxy != "" {
		proxy, err := url.Parse(string(c.Proxy))
		if err != nil || proxy.Host == "" {
			return nil, connectionError("proxy", "Write http://proxy.example.com:3128.", "it is no URL with a host")
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secrets are the texts that must not be shown, in the forms in which a server might echo them.
func (c Connection) secrets() []string {
	plain := []string{string(c.Auth.Password), string(c.Auth.Token), string(c.Auth.Value), string(c.Auth.ClientSecret), string(c.TLS.Key), string(c.Proxy)}
	for _, value := range c.Headers {
		plain = append(plain, string(value))
	}
	if c.Auth.Type == AuthBasic {
		plain = append(plain, basic(c.Auth.Username, c.Auth.Password))
	}
	if c.Auth.ClientSecret != "" {
		plain = append(plain, basic(url.QueryEscape(c.Auth.ClientID), Secret(url.QueryEscape(string(c.Auth.ClientSecret)))))
	}
	return plain
}

func basic(user string, password Secret) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + string(password)))
}
