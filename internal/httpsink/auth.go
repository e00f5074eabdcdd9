package httpsink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Auth are the credentials of a connection, of one type.
type Auth struct {
	// Type is one of the types below; "" sends no credentials.
	Type     string `json:"type,omitempty" yaml:"type,omitempty"`
	Username string `json:"username,omitempty" yaml:"username,omitempty"` // basic
	Password Secret `json:"password,omitempty" yaml:"password,omitempty"` // basic
	Token    Secret `json:"token,omitempty" yaml:"token,omitempty"`       // bearer
	Header   string `json:"header,omitempty" yaml:"header,omitempty"`     // header: its name, such as X-Api-Key
	Value    Secret `json:"value,omitempty" yaml:"value,omitempty"`       // header: its value
	// What follows is for oauth2. The client's id and secret go to TokenURL in a Basic header, or in the body if InBody is set.
	TokenURL     string            `json:"token_url,omitempty" yaml:"token_url,omitempty"`
	ClientID     string            `json:"client_id,omitempty" yaml:"client_id,omitempty"`
	ClientSecret Secret            `json:"client_secret,omitempty" yaml:"client_secret,omitempty"`
	Scopes       []string          `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	Params       map[string]string `json:"params,omitempty" yaml:"params,omitempty"` // such as audience
	InBody       bool              `json:"in_body,omitempty" yaml:"in_body,omitempty"`
}

// Types of Auth.
const (
	AuthNone   = "none"
	AuthBasic  = "basic"
	AuthBearer = "bearer"
	AuthHeader = "header"
	AuthOAuth2 = "oauth2" // client credentials: RFC 6749, 4.4
)

func (a Auth) check() error {
	type field struct{ name, value string }
	needs := map[string][]field{
		"":         nil,
		AuthNone:   nil,
		AuthBasic:  {{"username", a.Username}, {"password", string(a.Password)}},
		AuthBearer: {{"token", string(a.Token)}},
		AuthHeader: {{"header", a.Header}, {"value", string(a.Value)}},
		AuthOAuth2: {{"token_url", a.TokenURL}, {"client_id", a.ClientID}, {"client_secret", string(a.ClientSecret)}},
	}
	fields, ok := needs[a.Type]
	if !ok {
		return connectionError("auth.type", "Write none, basic, bearer, header or oauth2.", "%q is unknown", a.Type)
	}
	for _, f := range fields {
		if f.value == "" {
			return connectionError("auth."+f.name, "Set it, as a secret by file: or env:.", "%s needs it", a.Type)
		}
		if strings.ContainsFunc(f.value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return connectionError("auth."+f.name, "A secret that is read from a file may end with a line break.", "it has control characters")
		}
	}
	if a.Type == AuthOAuth2 {
		if u, err := url.Parse(a.TokenURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			return connectionError("auth.token_url", "Write https://login.example.com/oauth/token.", "it is no http or https URL without a user")
		}
	}
	return nil
}

// credentials put themselves on requests. Those of OAuth 2 are fetched when they are needed first, kept, and fetched again before they
// expire or when the API does not take them any more.
type credentials struct {
	auth   Auth
	client *http.Client

	fetching chan struct{} // holds one: who fetches a token; the others wait for it instead of fetching their own
	mu       sync.Mutex
	token    string
	expires  time.Time // zero: not known
	given    []string  // the last tokens, as answers may still echo them
}

// keptTokens is how many tokens are remembered for as long as they must not be shown.
const keptTokens = 8

func newCredentials(auth Auth, client *http.Client) *credentials {
	return &credentials{auth: auth, client: client, fetching: make(chan struct{}, 1)}
}

// tokenMargin is how long before its end a token is not used any more.
const tokenMargin = 10 * time.Second

// tokenTimeout is of one request for a token.
const tokenTimeout = 30 * time.Second

// apply puts the credentials on a request, and returns the token it used, for a later renew.
func (c *credentials) apply(ctx context.Context, r *http.Request) (string, error) {
	switch c.auth.Type {
	case AuthBasic:
		r.SetBasicAuth(c.auth.Username, string(c.auth.Password))
	case AuthBearer:
		r.Header.Set("Authorization", "Bearer "+string(c.auth.Token))
	case AuthHeader:
		r.Header.Set(c.auth.Header, string(c.auth.Value))
	case AuthOAuth2:
		token, err := c.valid(ctx)
		if err != nil {
			return "", err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		return token, nil
	}
	return "", nil
}

// valid returns a token that should be taken, after fetching one where need be.
func (c *credentials) valid(ctx context.Context) (string, error) {
	select {
	case c.fetching <- struct{}{}:
		defer func() { <-c.fetching }()
	case <-ctx.Done():
		return "", &tokenError{cause: ctx.Err()}
	}
	c.mu.Lock()
	token, expires := c.token, c.expires
	c.mu.Unlock()
	if token != "" && (expires.IsZero() || time.Until(expires) >= tokenMargin) {
		return token, nil
	}
	return c.fetch(ctx)
}

// refuse forgets a token that the API did not take, and reports whether there can be another.
func (c *credentials) refuse(token string) bool {
	if c.auth.Type != AuthOAuth2 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token { // else somebody has fetched another one meanwhile
		c.token = ""
	}
	return true
}

// tokens returns what must not be shown.
func (c *credentials) tokens() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.given)
}

// fetch gets a token and keeps it.
func (c *credentials) fetch(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(c.auth.Scopes) > 0 {
		form.Set("scope", strings.Join(c.auth.Scopes, " "))
	}
	for _, name := range slices.Sorted(maps.Keys(c.auth.Params)) {
		form.Set(name, c.auth.Params[name])
	}
	if c.auth.InBody {
		form.Set("client_id", c.auth.ClientID)
		form.Set("client_secret", string(c.auth.ClientSecret))
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.auth.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", tasks.Permanent(errors.New("the token URL cannot be used"))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", jsonType)
	if !c.auth.InBody {
		r.SetBasicAuth(url.QueryEscape(c.auth.ClientID), url.QueryEscape(string(c.auth.ClientSecret)))
	}
	response, err := c.client.Do(r)
	if err != nil {
		return "", &tokenError{cause: bare(err)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", &tokenError{cause: bare(err)}
	}
	if class := response.StatusCode / 100; class == 4 && !RetryDefault.has(response.StatusCode) {
		return "", tasks.Permanent(tasks.WithHint(nil, "Look at client_id, client_secret and scopes of the connection.",
			"the token URL refuses the credentials: status %d %s", response.StatusCode, oauthCode(body)))
	} else if class != 2 {
		return "", &tokenError{cause: fmt.Errorf("status %d", response.StatusCode)}
	}
	return c.take(body)
}

func (c *credentials) take(body []byte) (string, error) {
	v, err := decode(body)
	object, ok := v.(map[string]any)
	token := plain(object["access_token"])
	if err != nil || !ok || token == "" {
		return "", tasks.Permanent(tasks.WithHint(nil, "Look at token_url of the connection.", "the token URL answers without an access_token"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token, c.expires = token, time.Time{}
	c.given = append(c.given[max(0, len(c.given)-keptTokens+1):], token)
	if seconds, err := time.ParseDuration(plain(object["expires_in"]) + "s"); err == nil && seconds > 0 {
		c.expires = time.Now().Add(max(seconds, tokenMargin+time.Second))
	}
	return token, nil
}

// oauthCode returns the error code of RFC 6749, 5.2, if that is what it is; the description may echo what was sent.
func oauthCode(body []byte) string {
	v, _ := decode(body)
	object, _ := v.(map[string]any)
	code := plain(object["error"])
	if len(code) > 40 || strings.ContainsFunc(code, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return ""
	}
	return code
}

// tokenError: no token could be had this time. The request it was for has not been sent.
type tokenError struct{ cause error }

func (e *tokenError) Error() string { return "fetching an access token: " + e.cause.Error() }
func (e *tokenError) Unwrap() error { return e.cause }

// bare takes the URL off an error of net/http: paths hold values of records, and queries may hold keys.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
