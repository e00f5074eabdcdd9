package app

import (
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// PrometheusConnection says how the Prometheus at a location is reached.
func PrometheusConnection(at sqldb.Location, c config.APIAccess) (promsource.Connection, error) {
	base, insecure := at.Metrics()
	if base == "" {
		return promsource.Connection{}, tasks.WithHint(nil, "give a connection whose url begins with prometheus://", "%s is no Prometheus", at.Redacted())
	}
	files, err := c.Certificates()
	if err != nil {
		return promsource.Connection{}, err
	}
	conn := promsource.Connection{URL: base, Insecure: insecure, Token: c.Token.Reveal(), Header: c.Header, Proxy: c.Proxy.Reveal(), CA: files.CA, Certificate: files.Cert,
		Key: files.Key.Reveal(), Headers: map[string]string{}}
	for name, value := range c.HeaderMap() {
		conn.Headers[name] = value.Reveal()
	}
	return conn, nil
}
