package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// SessionLife is how long a browser stays logged in.
const SessionLife = 12 * time.Hour

type fromKey struct{}

// Login begins a session of a browser for whoever shows a token. It returns what the browser keeps in a cookie; Redis has only a sum
// of it, and forgets that after SessionLife. What is wrong is a *wire.Problem, the same whatever is wrong with the token.
func (a *API) Login(r *http.Request, secret string) (string, error) {
	ctx, cancel := context.WithTimeout(r.Context(), a.patience)
	defer cancel()
	ctx = context.WithValue(ctx, openKey{}, nil) // where no token is asked for, none is a login either
	p, problem := a.identify(ctx, "Bearer "+secret, r.Host, r.RemoteAddr, false)
	entry := wire.AuditEntry{By: p.Name, TokenID: p.ID, Role: p.Token.Role, From: host(r.RemoteAddr), Action: "login", Target: "/login", Status: http.StatusOK}
	if problem != nil {
		if entry.Status = problem.Status; entry.Status != http.StatusTooManyRequests {
			a.note(ctx, entry)
		}
		if problem.Status == http.StatusUnauthorized {
			problem.Detail, problem.Hint = "no such token", "paste a whole token: it begins with "+tokenPrefix+"; stint tokens create makes one"
		}
		return "", problem
	}
	cookie := make([]byte, 32)
	if _, err := rand.Read(cookie); err != nil {
		panic("api: no random source: " + err.Error())
	}
	text := base64.RawURLEncoding.EncodeToString(cookie)
	if err := a.store.SaveSession(ctx, sessionSum(text), store.Session{Token: p.ID, At: time.Now().UTC()}, SessionLife); err != nil {
		a.log.WarnContext(ctx, "a session could not be written", "err", err)
		return "", unreachable()
	}
	a.note(ctx, entry)
	return text, nil
}

// Logout ends a session. What is wrong is a *wire.Problem.
func (a *API) Logout(ctx context.Context, cookie string) error {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	if err := a.store.EndSession(ctx, sessionSum(cookie)); err != nil {
		a.log.WarnContext(ctx, "a session could not be ended", "err", err)
		return unreachable()
	}
	return nil
}

func sessionSum(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

// Visitor returns a context in which requests within the process (Within) are those of whoever a page is shown to: of the session's
// token or, where the API asks for none, of anybody. What is wrong is a *wire.Problem.
func (a *API) Visitor(r *http.Request, cookie string) (context.Context, error) {
	ctx := context.WithValue(r.Context(), fromKey{}, r.RemoteAddr)
	tokens, err := a.tokens.list(ctx)
	if err != nil {
		a.log.WarnContext(ctx, "the tokens cannot be read", "err", err)
		return nil, unreachable()
	}
	if len(tokens) == 0 {
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
		p, problem := a.identify(ctx, "", r.Host, r.RemoteAddr, forwarded)
		if problem != nil {
			return nil, problem
		}
		return context.WithValue(ctx, principalKey{}, p), nil
	}
	none := refused(http.StatusUnauthorized, "log in with a token", "nobody is logged in")
	if cookie == "" {
		return nil, none
	}
	look, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	s, err := a.store.Session(look, sessionSum(cookie))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, none
	case err != nil:
		a.log.WarnContext(ctx, "a session cannot be read", "err", err)
		return nil, unreachable()
	}
	t, known := tokens[s.Token]
	if !known || expired(t, time.Now()) {
		return nil, none
	}
	return context.WithValue(ctx, principalKey{}, principal{Token: t.Token, role: role(t.Role)}), nil
}

// VisitorKey names, for caches, what may be seen in a context of Visitor.
func VisitorKey(ctx context.Context) string {
	p := principalOf(ctx)
	return p.ID + "/" + p.Name
}

// Within carries requests to the API within the process in the name of the context's visitor (Visitor).
func Within(a *API) http.RoundTripper { return &inProcess{api: a} }
