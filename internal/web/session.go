package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net/http"
	"strings"

	"github.com/stint-run/stint/internal/api"
)

// A browser keeps a random text in a cookie that scripts cannot read and that other sites cannot send. It is the session, where tokens
// are asked for; where none are, it only ties forms to their pages.

func isSecure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// cookieName has the prefix by which a browser holds to this very host, where there is TLS.
func cookieName(r *http.Request) string {
	if isSecure(r) {
		return "__Host-stint"
	}
	return "stint"
}

func cookieOf(r *http.Request) string {
	c, err := r.Cookie(cookieName(r))
	if err != nil || len(c.Value) > 100 {
		return ""
	}
	return c.Value
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, same http.SameSite) {
	age := int(api.SessionLife.Seconds())
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: isSecure(r), SameSite: same})
}

// secretOf is what forms of a cookie's pages carry: who does not have the page cannot know it.
func secretOf(cookie string) string {
	sum := sha256.Sum256([]byte("form " + cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// visit finds out who asks for a page. When it returns false the request has been answered.
func (s *Site) visit(w http.ResponseWriter, r *http.Request) (*visit, bool) {
	cookie := cookieOf(r)
	ctx, err := s.api.Visitor(r, cookie)
	if err != nil {
		s.fail(w, r, nil, problemOf(err))
		return nil, false
	}
	if cookie == "" { // nobody has to log in
		cookie = randomText()
		setCookie(w, r, cookie, http.SameSiteLaxMode) // it is no session; without it a link from elsewhere would make another, and break the forms of open pages
	}
	v := &visit{Request: r, ctx: ctx, client: s.client, secret: secretOf(cookie), once: randomText()}
	if v.me, err = s.client.About(ctx); err != nil {
		s.fail(w, r, v, problemOf(err))
		return nil, false
	}
	return v, true
}

// visitStream is visit for a stream. Where nobody is logged in it has the page asked for anew: one that gets another page instead of a stream
// would try again for ever.
func (s *Site) visitStream(w http.ResponseWriter, r *http.Request) (*visit, bool) {
	if _, err := s.api.Visitor(r, cookieOf(r)); err != nil && problemOf(err).Status == http.StatusUnauthorized {
		w.Header().Set("Content-Type", "text/event-stream")
		if _, err := io.WriteString(w, "event: reload\ndata: \"\"\n\n"); err != nil {
			s.log.DebugContext(r.Context(), "could not answer", "err", err)
		}
		return nil, false
	}
	return s.visit(w, r)
}

func randomText() string {
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		panic("web: no random source: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// isOurs reports whether a form comes from a page that this visitor was shown. When it returns false the request has been answered.
func (s *Site) isOurs(w http.ResponseWriter, r *http.Request, v *visit) bool {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, v, &shown{Status: http.StatusBadRequest, Title: titleOf(http.StatusBadRequest), Detail: "The form is too long, or broken.", Hint: "Send less, or use the API."})
		return false
	}
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(v.secret)) != 1 {
		s.fail(w, r, v, &shown{Status: http.StatusForbidden, Title: "This form is from another session", Detail: "Nothing was done.", Hint: "Load the page again and send the form once more."})
		return false
	}
	return true
}

// loginBody is what the page of the login shows.
type loginBody struct {
	To    string
	Wrong *shown
}

func (s *Site) sessionRoutes() {
	s.mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		to := local(r.URL.Query().Get("to"))
		if _, err := s.api.Visitor(r, cookieOf(r)); err == nil { // somebody is logged in, or nobody has to be
			if to == "" {
				to = "/"
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		s.login(w, r, http.StatusOK, loginBody{To: to})
	})
	// A form of the login needs no secret of a session: there is none yet. The cookie is SameSite, and other sites cannot send forms.
	s.mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		to := local(r.PostFormValue("to"))
		cookie, err := s.api.Login(r, strings.TrimSpace(r.PostFormValue("token")))
		if err != nil {
			p := problemOf(err)
			s.login(w, r, p.Status, loginBody{To: to, Wrong: p})
			return
		}
		setCookie(w, r, cookie, http.SameSiteStrictMode)
		if to == "" {
			to = "/"
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	s.action("/logout", func(v *visit) (string, string, error) {
		return "/login", "", s.api.Logout(v.ctx, cookieOf(v.Request))
	})
	s.mux.HandleFunc("GET /theme/{theme}", s.setTheme)
}

func (s *Site) login(w http.ResponseWriter, r *http.Request, status int, b loginBody) {
	x := s.view(&visit{Request: r}, "", content{Title: "Log in", Body: b})
	s.render(w, r, status, "login", x)
}

const themeCookie = "stint_theme"

// themeOf returns the theme that a browser has asked for: light, dark, or "" for what its system has.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// setTheme is no form: it changes nothing but how this browser shows pages.
func (s *Site) setTheme(w http.ResponseWriter, r *http.Request) {
	c := &http.Cookie{Name: themeCookie, Value: r.PathValue("theme"), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: isSecure(r), SameSite: http.SameSiteLaxMode}
	if c.Value != "light" && c.Value != "dark" {
		c.Value, c.MaxAge = "", -1
	}
	http.SetCookie(w, c)
	to := local(r.URL.Query().Get("to"))
	if to == "" {
		to = "/"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
