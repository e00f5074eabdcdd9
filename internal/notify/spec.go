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
	// Type is one of Types, or, of rules alone, post or post2.
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
	// Known are names that stand for something where a match has no such field: options of a rule, and its name. Nil is none.
	Known map[string]any
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
	"slack":             {openChat(slackBody), []string{"url"}, slackOptions},
	"mattermost":        {openChat(mattermostBody), []string{"url"}, mattermostOptions},
	"rocketchat":        {openChat(rocketchatBody), []string{"url"}, rocketchatOptions},
	"discord":           {openChat(discordBody), []string{"url"}, discordOptions},
	"googlechat":        {openChat(googleChatBody), []string{"url"}, googleChatOptions},
	"teams":             {openChat(adaptiveBody), []string{"url"}, adaptiveOptions},
	"ms_power_automate": {openChat(adaptiveBody), []string{"url"}, adaptiveOptions},
	"ms_teams":          {openChat(cardBody), []string{"url"}, cardOptions},
	"telegram":          {openTelegram, []string{"token", "to"}, []string{"thread", "parse_mode"}},
	"email":             {openMail, []string{"url", "from", "to"}, []string{"cc", "bcc", "reply_to", "hello", "format"}},
	"sms":               {openSMS, []string{"user", "password", "to"}, []string{"account", "segments", "service"}},
	"pagerduty":         {openPagerDuty, []string{"token"}, pagerDutyOptions},
	"opsgenie":          {openOpsgenie, []string{"token"}, opsgenieOptions},
	"victorops":         {openVictorOps, []string{"token", "to"}, []string{"message_type", "entity_id", "display_name"}},
	"pagertree":         {openPagerTree, []string{"url"}, nil},
	"alertmanager":      {openAlertmanager, []string{"url"}, alertmanagerOptions},
	"matrixhookshot":    {openChat(hookshotBody), []string{"url"}, []string{"text", "html"}},
	"dingtalk":          {openRobot(dingtalk), []string{"token"}, []string{"format", "single_title", "single_url", "orientation", "buttons"}},
	"workwechat":        {openRobot(workwechat), []string{"token"}, []string{"format"}},
	"lark":              {openRobot(lark), []string{"token"}, []string{"format"}},
	"webex":             {openRobot(webex), []string{"token"}, []string{"format"}},
	"chatwork":          {openChatwork, []string{"token", "to"}, nil},
	"post":              {openPost(false), []string{"url"}, postOptions},
	"post2":             {openPost(true), []string{"url"}, post2Options},
	"shoutrrr":          {openShoutrrr, []string{"url"}, nil},
	"debug":             {openDebug, nil, nil},
}

// ofRules are the types that rules alone have: who makes a channel has webhook, which is signed, and knows messages by their ids.
var ofRules = []string{"post", "post2"}

// Types are the types of channels that a configuration can have, sorted.
func Types() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(kinds)), func(t string) bool { return slices.Contains(ofRules, t) })
}

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
	for _, option := range []string{"headers", "static"} {
		for _, text := range textsIn(s.Options[option]) {
			list = append(list, strings.Split(text, `"`)...) // it may be JSON
		}
	}
	return slices.DeleteFunc(list, func(t string) bool { return len(t) < 6 && t != s.Password && t != s.Token || t == "" })
}

// textsIn are the texts within a value, at any depth.
func textsIn(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, x := range v {
			list = append(list, textsIn(x)...)
		}
	case map[string]any:
		for _, x := range v {
			list = append(list, textsIn(x)...)
		}
	}
	return list
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
