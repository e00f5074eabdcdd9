package promsource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/stint-run/stint/internal/outbound"
	"github.com/stint-run/stint/tasks"
)

// parseBase reads the URL of a server. Its errors never repeat it, as it may hold a password.
func parseBase(text string) (*url.URL, error) {
	const form = "write http://HOST:9090/PREFIX or https://HOST/PREFIX"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, tasks.WithHint(nil, form, "the URL of the Prometheus cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, tasks.WithHint(nil, form, "the URL of the Prometheus begins with %q", u.Scheme)
	case u.Hostname() == "":
		return nil, tasks.WithHint(nil, form, "the URL of the Prometheus names no host")
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

// noRedirect keeps credentials from going where nobody has sent them.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport makes a pool of connections.
func (c Connection) transport() (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // asked for by name
	if c.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, tasks.WithHint(nil, "it begins with -----BEGIN CERTIFICATE-----", "the ca of the Prometheus holds no certificate in PEM")
		}
	}
	if c.Certificate != "" || c.Key != "" {
		pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
		if err != nil {
			return nil, tasks.WithHint(err, "give certificate and key, both in PEM, of one pair", "the certificate for the Prometheus cannot be used")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	if c.Proxy != "" {
		proxy, err := url.Parse(c.Proxy)
		if err != nil || proxy.Host == "" {
			return nil, tasks.WithHint(nil, "write http://proxy.example.com:3128", "the proxy for the Prometheus is no URL with a host")
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}

// unreachable makes an error of a request that got no answer: it passes when the server is back, unless the caller has given up.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL
	}
	err = outbound.Reworded(err, shown(strings.ToValidUTF8(err.Error(), "?"))) // it may quote the line of the answer that it could not read
	var unknown x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var invalid x509.CertificateInvalidError
	var noName *net.DNSError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown), errors.As(err, &wrongHost), errors.As(err, &invalid):
		return tasks.WithHint(err, "name the certificates of its authority as ca of the connection", "the certificate of %s is not trusted", c.shown)
	case errors.As(err, &record):
		return tasks.WithHint(err, "the server speaks plain HTTP: leave TLS out of the connection", "no encrypted connection to %s", c.shown)
	case errors.As(err, &noName) && noName.IsNotFound:
		return tasks.WithHint(err, "check the host name in the URL, and the name service of this machine", "the host of %s is not known", c.shown)
	}
	hint := "check the host and the firewall between here and there"
	if errors.Is(err, syscall.ECONNREFUSED) {
		hint = "is the server up? is the port right (9090 is that of Prometheus)?"
	} else if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		hint = "nothing is lost; the window is asked for again"
	}
	return tasks.RetryAfter(tasks.WithHint(err, hint, "no answer from %s", c.shown), time.Second)
}
