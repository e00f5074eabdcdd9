package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
)

func (s *Site) accessRoutes() {
	s.page("/audit", "audit", "audit", s.audit)
	s.page("/access", "access", "access", s.access)
	s.mux.HandleFunc("POST /access/tokens", s.makeToken)
	s.action("/access/tokens/{id}/revoke", s.revokeToken)
	s.action("/access/limits", s.setLimits)
	s.page("/access/webhooks/{name}", "access", "webhook", s.webhook)
	s.action("/access/webhooks/{name}/test", s.testWebhook)
	s.action("/access/webhooks/{name}/again", s.sendAgain)
}

// accessBody is who may do what, and what is told to whom.
type accessBody struct {
	Tokens   []accessToken
	Roles    []string
	Lives    []life
	Tenants  []wire.Tenant
	Edit     wire.Tenant // what the form of limits begins with
	Webhooks []wire.Webhook
}

// accessToken is a token as it is shown.
type accessToken struct {
	wire.Token
	Over bool // its time is
}

// life is how long a token may hold.
type life struct{ Value, Name string }

var lives = []life{{"720h", "30 days"}, {"24h", "1 day"}, {"168h", "7 days"}, {"2160h", "90 days"}, {"8760h", "1 year"}, {"", "for ever, until it is revoked"}}

func (s *Site) access(v *visit) (content, error) {
	b := accessBody{Roles: roles, Lives: lives}
	tokens, err := v.client.Tokens(v.ctx)
	if err != nil {
		return content{}, err
	}
	slices.SortFunc(tokens, func(x, y wire.Token) int { return y.CreatedAt.Compare(x.CreatedAt) })
	for _, t := range tokens {
		b.Tokens = append(b.Tokens, accessToken{t, t.ExpiresAt != nil && t.ExpiresAt.Before(time.Now())})
	}
	if b.Tenants, err = v.client.Tenants(v.ctx); err != nil {
		return content{}, err
	}
	if name := v.URL.Query().Get("tenant"); name != "" {
		b.Edit.Name = name
		for _, t := range b.Tenants {
			if t.Name == name {
				b.Edit = t
			}
		}
	}
	if b.Webhooks, err = v.client.Webhooks(v.ctx); err != nil {
		return content{}, err
	}
	return content{Title: "Access", Body: b}, nil
}

// tokenBody is a token that was just made.
type tokenBody struct {
	*wire.MadeToken
	First bool // from now on everybody has to log in
}

// makeToken answers with the page itself, and leads nowhere: the secret stands in no address and no cookie, and is shown this once.
func (s *Site) makeToken(w http.ResponseWriter, r *http.Request) {
	v, ok := s.visit(w, r)
	if !ok || !s.isOurs(w, r, v) {
		return
	}
	n, err := newTokenOf(r)
	first := false
	if err == nil {
		var there []wire.Token
		if there, err = v.client.Tokens(v.ctx); err == nil && len(there) == 0 {
			if first = true; n.Role != "admin" || len(n.Tenants) > 0 {
				err = badInput("from the first token on everybody has to log in, and only an admin of all tenants can make another", "the first token has to be an admin of all tenants")
			}
		}
	}
	if err != nil {
		s.goBack(w, r, v, err)
		return
	}
	made, err := v.client.MakeToken(v.ctx, n)
	if err != nil {
		s.goBack(w, r, v, err)
		return
	}
	x := s.view(v, "access", content{Title: "The new token", Body: tokenBody{made, first}})
	x.Path = "/access" // there is nothing to load again here
	s.render(w, r, http.StatusOK, "accessmade", x)
}

func newTokenOf(r *http.Request) (n wire.NewToken, err error) {
	n = wire.NewToken{Name: strings.TrimSpace(r.PostFormValue("name")), Role: r.PostFormValue("role"), Tenants: namesOf(r.PostFormValue("tenants"))}
	switch {
	case n.Name == "":
		return n, badInput("say whose it is, such as “billing service” or “Ann”", "the token has no name")
	case !slices.Contains(roles, n.Role):
		return n, badInput("there are "+strings.Join(roles, ", "), "there is no role %q", n.Role)
	}
	if text := r.PostFormValue("life"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return n, badInput("write a duration, such as 720h", "%q is no time that a token may hold", text)
		}
		at := time.Now().Add(d).UTC().Truncate(time.Second)
		n.ExpiresAt = &at
	}
	return n, nil
}

// namesOf takes a list apart that somebody typed with commas or spaces; nil when there is nothing in it.
func namesOf(text string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' }), func(s string) bool { return s == "" })
}

func (s *Site) revokeToken(v *visit) (string, string, error) {
	if v.PostFormValue("sure") == "" {
		return "", "", badInput("tick “yes, revoke” beside it: whoever uses it is locked out at once", "nothing was revoked")
	}
	if err := v.client.RevokeToken(v.ctx, v.PathValue("id")); err != nil {
		return "", "", err
	}
	return "/access", "The token is revoked. Every server refuses it within a second or so.", nil
}

func (s *Site) setLimits(v *visit) (string, string, error) {
	name := strings.TrimSpace(v.PostFormValue("tenant"))
	if name == "" {
		return "", "", badInput("name one, or * for all that are not named", "no tenant is named")
	}
	var l wire.Limits
	for field, into := range map[string]*int{"running": &l.RunningJobs, "steps": &l.StepsPerSecond} {
		text := strings.TrimSpace(v.PostFormValue(field))
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return "", "", badInput("write a whole number; 0 is without limit", "%q is no limit", text)
		}
		*into = n
	}
	if err := v.client.SetLimits(v.ctx, name, l); err != nil {
		return "", "", err
	}
	if l == (wire.Limits{}) {
		return "/access", "What was said of " + name + " is taken away.", nil
	}
	return "/access", "The limits of " + name + " are set.", nil
}

// deliveryStates are what messages can be filtered by.
var deliveryStates = []string{wire.DeliveryPending, wire.DeliveryDelivered, wire.DeliveryGaveUp}

// webhookBody is a webhook and its messages.
type webhookBody struct {
	Hook       wire.Webhook
	State      string
	States     []string
	Deliveries []wire.Delivery
}

// messagesShown is how many messages a page of a webhook has.
const messagesShown = 100

func (s *Site) webhook(v *visit) (content, error) {
	name := v.PathValue("name")
	b := webhookBody{State: v.URL.Query().Get("state"), States: deliveryStates}
	list, err := v.client.Webhooks(v.ctx)
	if err != nil {
		return content{}, err
	}
	if b.Deliveries, err = v.client.Deliveries(v.ctx, name, b.State, messagesShown); err != nil { // also says that there is no such webhook
		return content{}, err
	}
	for _, h := range list {
		if h.Name == name {
			b.Hook = h
		}
	}
	return content{Title: "Webhook " + name, Body: b}, nil
}

func (s *Site) testWebhook(v *visit) (string, string, error) {
	name := v.PathValue("name")
	d, err := v.client.TestWebhook(v.ctx, name)
	if err != nil {
		return "", "", err
	}
	return to("access", "webhooks", name), "The test " + d.ID + " is on its way.", nil
}

func (s *Site) sendAgain(v *visit) (string, string, error) {
	d, err := v.client.Redeliver(v.ctx, v.PathValue("name"), v.PostFormValue("id"))
	if err != nil {
		return "", "", err
	}
	return "", d.ID + " is sent again.", nil
}
