package app

import (
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/elastic"
)

// SearchServer makes the client of a connection whose URL is elasticsearch:// or opensearch://, or http:// or https:// of such a
// server. It connects to nothing.
func SearchServer(c config.Connection) (*elastic.Client, error) {
	at, err := elastic.ParseURL(c.DSN())
	if err != nil {
		return nil, err
	}
	files, err := c.Certificates()
	if err != nil {
		return nil, err
	}
	o := elastic.Options{CA: files.CA, Cert: files.Cert, Key: files.Key.Reveal(), Proxy: c.Proxy.Reveal(), Headers: map[string]string{}}
	for name, value := range c.HeaderMap() {
		o.Headers[name] = value.Reveal()
	}
	switch {
	case !c.Token.IsZero() && c.Header != "":
		o.Headers[c.Header] = c.Token.Reveal()
	case !c.Token.IsZero():
		at.Token = c.Token.Reveal()
	}
	return elastic.New(at, o)
}
