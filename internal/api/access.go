package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// principal is who asks.
type principal struct {
	wire.Token
	role role
}

// sees reports whether the caller may know of a tenant.
func (p principal) sees(tenant string) bool {
	return p.Tenants == nil || slices.Contains(p.Tenants, tenant)
}

type principalKey struct{}

// AsLocal marks a request that comes from this very process: it may do everything, in that name.
func AsLocal(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, principalKey{}, principal{Token: wire.Token{Name: name, Role: string(admin)}, role: admin})
}

// principalOf returns who asks; the access check has put it there.
func principalOf(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

// openKey marks requests of a listener on loopback, which needs no token as long as there is none.
type openKey struct{}

// access lets a request through when its caller may do what the route does, and writes what was done, or refused, to the audit
// trail.
func (a *API) access(ctx huma.Context, next func(huma.Context)) {
	n, _ := ctx.Operation().Metadata[needsKey].(needs)
	if n.open {
		next(ctx)
		return
	}
	forwarded := ctx.Header("X-Forwarded-For") != "" || ctx.Header("Forwarded") != ""
	p, problem := a.identify(ctx.Context(), ctx.Header("Authorization"), ctx.Host(), ctx.RemoteAddr(), forwarded)
	if problem == nil {
		problem = a.authorize(p, n)
	}
	if ctx.Method() != http.MethodGet && ctx.Method() != http.MethodHead {
		defer a.audit(ctx, p) // also when the route panics
	}
	if problem != nil {
		a.refuse(ctx, problem)
		return
	}
	within := context.WithValue(ctx.Context(), principalKey{}, p)
	if !n.long {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(within, a.patience)
		defer cancel()
	}
	next(huma.WithContext(ctx, within))
}

// authorize says what is wrong when a caller may not do something.
func (a *API) authorize(p principal, n needs) *wire.Problem {
	if !a.callers.allow(p.ID, a.o.RequestsPerSecond) {
		return refused(http.StatusTooManyRequests, "ask less often; api.requests_per_second is the limit", "too many requests by the token %q", p.Name)
	}
	if !p.role.allows(n.role) {
		return refused(http.StatusForbidden, "ask for a token of that role, or have somebody do it who has one", "this needs the role %s; the token %q has the role %s", n.role, p.Name, p.role)
	}
	if n.fleet && p.Tenants != nil {
		return refused(http.StatusForbidden, "use a token that is not of single tenants", "this is about all tenants; the token %q is for %s alone", p.Name, list(p.Tenants))
	}
	return nil
}

// identify says who asks. Whatever is wrong with a token, the same is done and the same is said: how long it takes tells
// nothing of which tokens there are.
func (a *API) identify(ctx context.Context, authorization, at, from string, forwarded bool) (principal, *wire.Problem) {
	if p, ok := ctx.Value(principalKey{}).(principal); ok {
		return p, nil
	}
	tokens, err := a.tokens.list(ctx)
	if err != nil {
		a.log.WarnContext(ctx, "the tokens cannot be read", "request_id", requestID(ctx), "err", err)
		return principal{}, unreachable()
	}
	if len(tokens) == 0 && ctx.Value(openKey{}) != nil {
		if forwarded { // a proxy of this machine opens it to all
			return principal{}, refused(http.StatusForbidden, "make a token first: stint tokens create --role admin --name NAME", "without tokens this server answers to this machine only, and a proxy passed this request on")
		}
		if !isLoopback(at) { // a page that made its own name lead here: DNS rebinding
			return principal{}, refused(http.StatusForbidden, "use 127.0.0.1 or localhost", "without tokens this server answers to names of this machine only")
		}
		return principal{Token: wire.Token{Name: "loopback", Role: string(admin)}, role: admin}, nil
	}
	scheme, given, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		given = ""
	}
	if t, ok := match(tokens, given, time.Now()); ok {
		return principal{Token: t.Token, role: role(t.Role)}, nil
	}
	if !a.strangers.allow(host(from), strangersPerSecond) {
		return principal{Token: wire.Token{Name: "unknown"}}, refused(http.StatusTooManyRequests, "wait a little", "too many requests without a token that is known")
	}
	return principal{Token: wire.Token{Name: "unknown"}}, refused(http.StatusUnauthorized, "send one as Authorization: Bearer TOKEN; commands: --token-file FILE or STINT_TOKEN. stint tokens create makes one", "a token is needed, and none that is known was given")
}

// strangersPerSecond is how many requests a second without a known token one address may send.
const strangersPerSecond = 10

// nobody is what a token is compared with that is not there.
var nobody = store.StoredToken{Hash: strings.Repeat("0", 64)}

// match finds the token of a secret. It hashes and compares once, in constant time, whether or not there is such a token.
func match(tokens map[string]store.StoredToken, given string, now time.Time) (store.StoredToken, bool) {
	id, _, _ := strings.Cut(strings.TrimPrefix(given, tokenPrefix), "_")
	t, known := tokens[id]
	if !known {
		t = nobody
	}
	sum := sha256.Sum256([]byte(given))
	same := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(t.Hash)) == 1
	return t, same && known && !expired(t, now)
}

func expired(t store.StoredToken, now time.Time) bool {
	return t.ExpiresAt != nil && now.After(*t.ExpiresAt)
}

// tokenPrefix marks a token, for people and for those who look for secrets in code.
const tokenPrefix = "stint_"

// MakeToken makes a token and its secret, of 32 random bytes. Only the hash is kept.
func MakeToken(n wire.NewToken, by string, now time.Time) (store.StoredToken, wire.MadeToken) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		panic("api: no random source: " + err.Error())
	}
	t := wire.Token{ID: store.RandomID()[:12], Name: n.Name, Role: n.Role, Tenants: n.Tenants, ExpiresAt: n.ExpiresAt, CreatedBy: by, CreatedAt: now.UTC().Truncate(time.Millisecond)}
	text := tokenPrefix + t.ID + "_" + base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(text))
	return store.StoredToken{Token: t, Hash: hex.EncodeToString(sum[:])}, wire.MadeToken{Token: t, Secret: text}
}

// refuse answers with a problem instead of calling the route.
func (a *API) refuse(ctx huma.Context, p *wire.Problem) {
	hurdles(p, ctx.SetHeader)
	p.RequestID = requestID(ctx.Context())
	if err := writeProblem(ctx, p); err != nil {
		a.log.DebugContext(ctx.Context(), "could not answer", "err", err)
	}
}

// hurdles sets the headers that go with a refusal.
func hurdles(p *wire.Problem, set func(name, value string)) {
	switch p.Status {
	case http.StatusUnauthorized:
		set("WWW-Authenticate", `Bearer realm="stint"`)
	case http.StatusTooManyRequests:
		set("Retry-After", "1")
	}
}

// audit notes what was done, or refused. Who asks too often leaves no entry for each time: it would cost more than to refuse.
// tokenCache remembers the tokens for a moment, so that a request does not read them and takes as long whatever it sends.
type tokenCache struct {
	store *store.Store
	mu    sync.Mutex
	tried time.Time
	read  time.Time
	err   error // of the last try
	byID  map[string]store.StoredToken
}

// How long tokens are remembered: a revoked one is refused after the first, and while Redis is away all are known for the second.
const (
	tokensFresh = time.Second
	tokensKept  = time.Minute
)

func (c *tokenCache) list(ctx context.Context) (map[string]store.StoredToken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.tried) < tokensFresh {
		return c.known()
	}
	// All wait for this one, so it does not end with the request that happens to ask; and when Redis is away the next ones do not
	// wait each for its turn to find that out.
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	tokens, err := c.store.Tokens(rctx)
	c.tried, c.err = time.Now(), err
	if err != nil {
		return c.known()
	}
	byID := make(map[string]store.StoredToken, len(tokens))
	for _, t := range tokens {
		byID[t.ID] = t
	}
	c.byID, c.read = byID, c.tried
	return byID, nil
}

// known returns what was read last, unless that is too long ago.
func (c *tokenCache) known() (map[string]store.StoredToken, error) {
	if c.err != nil && (c.byID == nil || time.Since(c.read) > tokensKept) {
		return nil, c.err
	}
	return c.byID, nil
}

// valid reports whether a caller's token is still one, for what goes on after its request was let in.
func (a *API) valid(ctx context.Context, p principal) bool {
	if p.ID == "" {
		return true
	}
	tokens, err := a.tokens.list(ctx)
	if err != nil {
		return false
	}
	t, known := tokens[p.ID]
	return known && !expired(t, time.Now())
}

// forget makes the next request read the tokens anew.
func (c *tokenCache) forget() {
	c.mu.Lock()
	c.tried = time.Time{}
	c.mu.Unlock()
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// isLoopback reports whether a host, with or without a port, is this machine to itself.
func isLoopback(addr string) bool {
	h := strings.Trim(host(addr), "[]")
	if strings.EqualFold(h, "localhost") {
		return true
	}
	ip := net.ParseIP(h)
	return ip != nil && ip.IsLoopback()
}
