package notify

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Spec says what a channel is. Its texts are as they are used: whoever makes one has followed file: and env:, and keeps it out of
// logs.
type Spec struct {
	Name string
	// Type is one of Types.
	Type string
	// URL is where it sends to. Types with a public service of their own have a default.
	URL string
	// Token is what the receiver knows the sender by: a bot's token, an integration key, an API key; of a webhook, the whsec_ secret that
	// signs.
	Token string
	// User and Password are shown to a mail server, or a webhook; of SMS they are the account and its token.
	User, Password string
	// From is the sender: an address of mail, a number, the name under which a chat shows it.
	From string
	// To are the receivers: addresses of mail, numbers, chats; of a chat that is reached by an address of its own, the room.
	To []string
	// TLS is, of mail, starttls, tls or none; "" goes by the URL.
	TLS string
	// Private lets it lead into a private network, or to this machine, and be without TLS.
	Private bool
	// Roots are what servers' certificates are checked against; nil are the system's.
	Roots *x509.CertPool
	// Options are the type's own. One that it does not know is an error.
	Options map[string]any
	// Timeout is how long a receiver may take to answer; 0 is 15 s.
	Timeout time.Duration
	// Log is where debug writes; nil is the default logger.
	Log *slog.Logger
}

// kind is a type of channels.
type kind struct {
	open    func(Spec) (Channel, error)
	needs   []string // parts that have to be there
	options []string
}

var kinds = map[string]kind{
	"webhook":           {openWebhook, []string{"url"}, []string{"headers"}},
	"slack":             {openChat(slackBody), []string{"url"}, chatOptions},
	"mattermost":        {openChat(mattermostBody), []string{"url"}, chatOptions},
	"rocketchat":        {openChat(rocketchatBody), []string{"url"}, chatOptions},
	"discord":           {openChat(discordBody), []string{"url"}, []string{"icon_url"}},
	"googlechat":        {openChat(googleChatBody), []string{"url"}, nil},
	"teams":             {openChat(adaptiveBody), []string{"url"}, nil},
	"ms_power_automate": {openChat(adaptiveBody), []string{"url"}, nil},
	"ms_teams":          {openChat(cardBody), []string{"url"}, nil},
	"telegram":          {openTelegram, []string{"token", "to"}, []string{"thread"}},
	"email":             {openMail, []string{"url", "from", "to"}, []string{"cc", "bcc", "reply_to", "hello", "format"}},
	"sms":               {openSMS, []string{"user", "password", "to"}, []string{"account", "segments", "service"}},
	"pagerduty":         {openPagerDuty, []string{"token"}, []string{"client", "source", "component", "group", "class"}},
	"opsgenie":          {openOpsgenie, []string{"token"}, []string{"tags", "teams", "source"}},
	"shoutrrr":          {openShoutrrr, []string{"url"}, nil},
	"debug":             {openDebug, nil, nil},
}

// Types are the types of channels, sorted.
func Types() []string { return slices.Sorted(maps.Keys(kinds)) }

// New opens a channel; no connection is made before there is something to send. Its error says what is wrong with the spec, without
// its secrets.
func New(s Spec) (Channel, error) {
	k, known := kinds[s.Type]
	if !known {
		return nil, fmt.Errorf("channel %s: there is no type %q; there are %s", s.Name, s.Type, strings.Join(Types(), ", "))
	}
	given := map[string]bool{"url": s.URL != "", "token": s.Token != "", "user": s.User != "", "password": s.Password != "", "from": s.From != "", "to": len(s.To) > 0}
	for _, part := range k.needs {
		if !given[part] {
			return nil, fmt.Errorf("channel %s: %s needs %s", s.Name, s.Type, part)
		}
	}
	for _, option := range slices.Sorted(maps.Keys(s.Options)) {
		if !slices.Contains(k.options, option) {
			return nil, fmt.Errorf("channel %s: %s has no option %q%s", s.Name, s.Type, option, among(k.options))
		}
	}
	if s.Timeout <= 0 {
		s.Timeout = defaultTimeout
	}
	c, err := k.open(s)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", s.Name, err)
	}
	return c, nil
}

func among(options []string) string {
	if len(options) == 0 {
		return "; it has none"
	}
	return "; it has " + strings.Join(options, ", ")
}

// text returns an option that is one text.
func (s Spec) text(option string) (string, error) {
	switch v := s.Options[option].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case fmt.Stringer:
		return v.String(), nil
	case int, int64, float64:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("the option %s is no text", option)
}

// texts returns an option that is one text or several.
func (s Spec) texts(option string) ([]string, error) {
	list, many := s.Options[option].([]any)
	if !many {
		one, err := s.text(option)
		if err != nil || one == "" {
			return nil, err
		}
		return []string{one}, nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("the option %s has something in it that is no text", option)
		}
		out[i] = text
	}
	return out, nil
}

// web reads the address of a server that speaks HTTP. fallback is the service's own.
func (s Spec) web(fallback string) (*url.URL, error) {
	address := s.URL
	if address == "" {
		address = fallback
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("url: want https://HOST/PATH") // the error's own text may quote the address
	case u.Scheme == "http" && !s.Private:
		return nil, fmt.Errorf("url: anybody on the way could read what is sent: write https://, or set private: true if it leads into a network of your own")
	}
	return u, nil
}

// secrets are the texts that nobody may see.
func (s Spec) secrets() []string {
	list := []string{s.Token, s.Password, s.URL}
	if u, err := url.Parse(s.URL); err == nil {
		if s.Type == "shoutrrr" { // a service's address has its token in any place of it
			list = append(list, u.User.Username(), u.Hostname())
		}
		if password, has := u.User.Password(); has {
			list = append(list, password)
		}
		list = append(list, u.RequestURI(), u.EscapedPath(), u.Path)
		list = append(list, strings.Split(u.Path, "/")...)
		for _, values := range u.Query() {
			list = append(list, values...)
		}
	}
	if headers, ok := s.Options["headers"].(map[string]any); ok {
		for _, v := range headers {
			text, _ := v.(string)
			list = append(list, text)
		}
	}
	return slices.DeleteFunc(list, func(t string) bool { return len(t) < 6 && t != s.Password && t != s.Token || t == "" })
}

// hide takes secrets out of a text, the longest first: one may be a part of another.
func hide(text string, secrets []string) string {
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
		if escaped := url.QueryEscape(s); escaped != s {
			text = strings.ReplaceAll(text, escaped, "[redacted]")
		}
	}
	return text
}
