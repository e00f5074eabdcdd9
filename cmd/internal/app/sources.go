package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// prometheus says how the Prometheus behind a connection's name is reached.
func (a *App) prometheus(name string) (promsource.Connection, error) {
	at, err := a.Locate(name)
	if err != nil {
		return promsource.Connection{}, err
	}
	c, _ := a.o.Connections.Get(name)
	out, err := PrometheusConnection(at, c.APIAccess)
	out.Timeout = c.ConnectTimeout
	return out, err
}

// search opens the Elasticsearch or OpenSearch behind a connection's name.
func (a *App) search(_ context.Context, name string) (source.Source, error) {
	c, ok := a.o.Connections.Get(name)
	if !ok {
		return nil, tasks.Permanent(tasks.WithHint(nil, "name it under connections in the configuration of every worker", "the connection %q is not known where this was asked for", name))
	}
	address, err := elastic.ParseURL(c.DSN())
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	o := elastic.Options{Headers: map[string]string{}}
	for h, value := range c.HeaderMap() {
		o.Headers[h] = value.Reveal()
	}
	switch token := c.Token.Reveal(); {
	case token != "" && c.Header != "":
		o.Headers[c.Header] = token
	case token != "":
		address.Token = token
	}
	if c.ConnectTimeout > 0 {
		address.Timeout = c.ConnectTimeout
	}
	files, err := c.Certificates()
	if err != nil {
		return nil, err
	}
	if files.CA != "" || files.Cert != "" {
		if o.TLS, err = certificates(name, files.CA, files.Cert, files.Key.Reveal()); err != nil {
			return nil, err
		}
	}
	client, err := elastic.New(address, o)
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	return source.NewElastic(client), nil
}

// certificates are what a connection says of them, in PEM.
func certificates(name, ca, certificate, key string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, tasks.Permanent(fmt.Errorf("connection %s: ca has no certificate in it", name))
		}
	}
	if certificate != "" {
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			return nil, tasks.Permanent(fmt.Errorf("connection %s: read its certificate: %w", name, err))
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
