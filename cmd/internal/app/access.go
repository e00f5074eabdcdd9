package app

import (
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// APIConnection says how the API at a location is reached.
func APIConnection(at sqldb.Location, c config.APIAccess) (httpsink.Connection, error) {
	base, user, password := at.API()
	if base == "" {
		return httpsink.Connection{}, tasks.WithHint(nil, "give a connection whose url begins with https://", "%s is no API", at.Redacted())
	}
	conn := httpsink.Connection{BaseURL: base}
	if user != "" {
		conn.Auth = httpsink.Auth{Type: httpsink.AuthBasic, Username: user, Password: httpsink.Secret(password)}
	}
	return withAccess(conn, c)
}

// withAccess puts what the configuration says about an API into a connection.
func withAccess(conn httpsink.Connection, c config.APIAccess) (httpsink.Connection, error) {
	switch {
	case !c.TokenURL.IsZero():
		conn.Auth = httpsink.Auth{Type: httpsink.AuthOAuth2, TokenURL: c.TokenURL.Reveal(), ClientID: c.ClientID, ClientSecret: httpsink.Secret(c.ClientSecret.Reveal()),
			Scopes: c.Scopes, Params: c.TokenParamMap(), InBody: c.ClientInBody}
	case !c.Token.IsZero() && c.Header != "":
		conn.Auth = httpsink.Auth{Type: httpsink.AuthHeader, Header: c.Header, Value: httpsink.Secret(c.Token.Reveal())}
	case !c.Token.IsZero():
		conn.Auth = httpsink.Auth{Type: httpsink.AuthBearer, Token: httpsink.Secret(c.Token.Reveal())}
	}
	if headers := c.HeaderMap(); headers != nil {
		conn.Headers = make(map[string]httpsink.Secret, len(headers))
		for name, value := range headers {
			conn.Headers[name] = httpsink.Secret(value.Reveal())
		}
	}
	conn.Proxy = httpsink.Secret(c.Proxy.Reveal())
	files, err := c.Certificates()
	conn.TLS = httpsink.TLS{CA: files.CA, Certificate: files.Cert, Key: httpsink.Secret(files.Key.Reveal())}
	return conn, err
}
