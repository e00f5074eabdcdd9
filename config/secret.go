package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

// redacted stands wherever a secret would.
const redacted = "[redacted]"

// Secret is a text that no log, report or JSON gets to see. The zero value is an empty one.
type Secret struct{ value string }

// NewSecret hides a text.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the text itself, for the one who has to use it.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.value == "" }

// String returns "[redacted]", or "" for an empty secret.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// Format writes what String returns, whatever the verb: %x and %#v would otherwise reach the text.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText writes what String returns; JSON and YAML use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is what slog writes.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// URL is an address that may have a password in it. Shown are scheme, user, host and path; the password and the values
// of the query are not. The zero value is no address.
type URL struct{ value string }

// NewURL hides the secrets of an address.
func NewURL(value string) URL { return URL{value} }

// Reveal returns the whole address, for the one who has to use it.
func (u URL) Reveal() string { return u.value }

// IsZero reports whether there is no address.
func (u URL) IsZero() bool { return u.value == "" }

// Scheme returns what stands before the first colon, in lower case; "" when there is none.
func (u URL) Scheme() string {
	scheme, _, found := strings.Cut(u.value, ":")
	if !found {
		return ""
	}
	return strings.ToLower(scheme)
}

// pathSchemes are those whose addresses are paths, which are no secrets.
var pathSchemes = []string{"sqlite", "file", "csv", "tsv", "ndjson", "dbf"}

// String returns the address without its secrets.
func (u URL) String() string {
	if u.value == "" {
		return ""
	}
	if !strings.Contains(u.value, "://") || u.Scheme() == "file" {
		scheme, path, found := strings.Cut(u.value, ":")
		if !found || !slices.Contains(pathSchemes, u.Scheme()) {
			return redacted
		}
		path, query, _ := strings.Cut(path, "?")
		return scheme + ":" + path + maskQuery(query)
	}
	p, err := url.Parse(u.value)
	if err != nil || p.Scheme == "" || strings.Count(u.value, "@") > 1 || p.User == nil && strings.Contains(p.Path, "@") {
		return redacted // also where nobody can tell a password from the rest
	}
	var b strings.Builder
	b.WriteString(p.Scheme + "://")
	if p.User != nil {
		b.WriteString(url.User(p.User.Username()).String())
		if _, has := p.User.Password(); has {
			b.WriteString(":" + redacted)
		}
		b.WriteByte('@')
	}
	b.WriteString(p.Host + p.EscapedPath())
	if p.Scheme == "s3" && artifactsQueryIsPlain(p.RawQuery) {
		b.WriteString("?" + p.RawQuery)
	} else {
		b.WriteString(maskQuery(p.RawQuery))
	}
	return b.String()
}

// artifactsQueryIsPlain reports whether the query of an s3:// address has only words that are no secrets.
func artifactsQueryIsPlain(query string) bool {
	values, err := url.ParseQuery(query)
	for name := range values {
		if !slices.Contains(artifactsQuery, name) {
			return false
		}
	}
	return err == nil && query != "" && !strings.Contains(values.Get("endpoint"), "@") && len(values["endpoint"]) <= 1
}

// maskQuery keeps the names of a query and hides its values.
func maskQuery(query string) string {
	if query == "" {
		return ""
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, _, found := strings.Cut(part, "=")
		if parts[i] = name; found {
			parts[i] += "=" + redacted
		} else {
			parts[i] = redacted // a lone word may be anything
		}
	}
	return "?" + strings.Join(parts, "&")
}

// hasPassword reports whether the address itself holds a password.
func (u URL) hasPassword() bool {
	p, err := url.Parse(u.value)
	if err != nil || p.User == nil {
		return false
	}
	_, has := p.User.Password()
	return has
}

// withPassword returns the whole address with a password put in.
func (u URL) withPassword(password Secret) string {
	if password.IsZero() {
		return u.value
	}
	p, err := url.Parse(u.value)
	if err != nil {
		return u.value
	}
	user := ""
	if p.User != nil {
		user = p.User.Username()
	}
	p.User = url.UserPassword(user, password.Reveal())
	return p.String()
}

// Format writes what String returns, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { fmt.Fprint(f, u.String()) }

// MarshalText writes what String returns; JSON and YAML use it.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue is what slog writes.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }
