package config

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Alerts says which rules are evaluated, how often, and who is told.
type Alerts struct {
	// Rules is the folder of the rule files; "" evaluates none.
	Rules string `key:"rules"`
	// Every is the time between two looks for rules that are due; 0 is the shortest run_every of the rules.
	Every time.Duration `key:"every"`
	// RunEvery is how often a rule is evaluated that does not say it, at least 1s.
	RunEvery time.Duration `key:"run_every"`
	// BufferTime is how far back events are looked for that arrived late, where a rule does not say it.
	BufferTime time.Duration `key:"buffer_time"`
	// Source is the connection that a rule asks that names none.
	Source string `key:"source"`
	// URL is the public address of the API, for the links in messages; "" is no links.
	URL URL `key:"url"`
	// LinkKey signs the links with which an alert is taken without a login, once each; "" is no such links. All processes have the same.
	LinkKey Secret `key:"link_key"`
	// Heartbeat is how long a rule may go without being evaluated; 0 is three times its run_every, at least 5m.
	Heartbeat time.Duration `key:"heartbeat"`
	// Watch are the channels that are told when a rule fails or stands still.
	Watch []string `key:"watch"`
	// SignOfLife is a daily message that all is well.
	SignOfLife SignOfLife `key:"sign_of_life"`
	// Keep is how long alerts that are over are kept.
	Keep time.Duration `key:"keep"`
	// Channels are where messages go.
	Channels AlertChannels `key:"channels"`
}

// SignOfLife is a message each day that rules are evaluated: whose absence is the alarm.
type SignOfLife struct {
	// Channel gets it; "" is nobody.
	Channel string `key:"channel"`
	// At is when, as HH:MM.
	At string `key:"at"`
	// Zone is the IANA name of the zone in which At is read.
	Zone string `key:"zone"`
}

// AlertChannel is one place that messages of alerts go to. docs/alert-channels.md says which parts a type has.
type AlertChannel struct {
	// Name is a-z, digits, _, - and ., at most 64.
	Name string `key:"name" jsonschema:"required"`
	// Type is what receives them: slack, email, pagerduty and so on.
	Type string `key:"type" jsonschema:"enum=webhook,enum=slack,enum=mattermost,enum=rocketchat,enum=discord,enum=googlechat,enum=teams,enum=ms_teams,enum=ms_power_automate,enum=telegram,enum=email,enum=sms,enum=pagerduty,enum=opsgenie,enum=victorops,enum=pagertree,enum=alertmanager,enum=matrixhookshot,enum=dingtalk,enum=workwechat,enum=lark,enum=webex,enum=chatwork,enum=shoutrrr,enum=debug"`
	// URL is where it is; public services have a default. Of it, scheme and host alone are shown.
	URL URL `key:"url"`
	// Token is a key or a bot's token; of a webhook, the whsec_ secret that signs.
	Token Secret `key:"token"`
	// To are the receivers: addresses of mail, numbers, chats, a room.
	To []string `key:"to"`
	// From is the sender: an address of mail, a number, a name.
	From string `key:"from"`
	// User is shown to a mail server or a webhook; of SMS it is the account.
	User string `key:"user"`
	// Password belongs to User.
	Password Secret `key:"password"`
	// TLS is, of mail, starttls, tls or none; "" goes by the URL.
	TLS string `key:"tls" jsonschema:"enum=,enum=starttls,enum=tls,enum=none"`
	// CA is a file of the certificates (PEM) that the server's is checked against; "" are the system's.
	CA string `key:"ca"`
	// Quiet are hours in which nothing is sent; what is still open then is sent when they end.
	Quiet QuietHours `key:"quiet"`
	// PerMinute is how many messages are sent a minute; what goes beyond waits for the next one. 0 is no limit.
	PerMinute int `key:"per_minute"`
	// Again says whether a message is sent again of which it is not known whether it arrived: true or false; "" goes by the type.
	Again string `key:"again" jsonschema:"oneof_type=boolean;string"`
	// Timeout is how long the receiver may take to answer; 0 is 15s.
	Timeout time.Duration `key:"timeout"`
	// Private lets it lead into a private network, or to this machine, and be without TLS.
	Private bool `key:"private"`
	// Options are the type's own.
	Options json.RawMessage `key:"options"`
}

// AlertChannels are in the order in which their names first appeared.
type AlertChannels []AlertChannel

// QuietHours are a part of the day, From to To, that may go over midnight. The zero value is none.
type QuietHours struct {
	// From is when they begin, as HH:MM.
	From string `key:"from"`
	// To is when they end, as HH:MM.
	To string `key:"to"`
	// Zone is the IANA name of the zone in which both are read; "" is UTC.
	Zone string `key:"zone"`
	// Days are those on which they begin: mon, tue, wed, thu, fri, sat, sun; none is all.
	Days []string `key:"days"`
}

// defaultAlerts is what holds where nobody has said anything.
var defaultAlerts = Alerts{RunEvery: time.Minute, BufferTime: 15 * time.Minute, SignOfLife: SignOfLife{At: "09:00", Zone: "UTC"}, Keep: 30 * 24 * time.Hour}

// SendAgain reports whether a message is sent again of which it is not known whether it has arrived. Where nothing is said a pager, a
// text message, mail and a webhook are, and a chat is not; post and post2, which rules alone have, are webhooks.
func (c AlertChannel) SendAgain() bool {
	if c.Again != "" {
		return c.Again == "true"
	}
	return slices.Contains([]string{"pagerduty", "opsgenie", "victorops", "pagertree", "alertmanager", "sms", "email", "webhook", "post", "post2"}, c.Type)
}

// channelTypes are the types, and the parts that one has to have.
var channelTypes = []struct {
	name  string
	needs []string
}{
	{"webhook", []string{"url"}}, {"slack", []string{"url"}}, {"mattermost", []string{"url"}}, {"rocketchat", []string{"url"}}, {"discord", []string{"url"}}, {"googlechat", []string{"url"}},
	{"teams", []string{"url"}}, {"ms_teams", []string{"url"}}, {"ms_power_automate", []string{"url"}}, {"telegram", []string{"token", "to"}}, {"email", []string{"url", "from", "to"}},
	{"sms", []string{"user", "password", "to"}}, {"pagerduty", []string{"token"}}, {"opsgenie", []string{"token"}}, {"victorops", []string{"token", "to"}}, {"pagertree", []string{"url"}},
	{"alertmanager", []string{"url"}}, {"matrixhookshot", []string{"url"}}, {"dingtalk", []string{"token"}}, {"workwechat", []string{"token"}}, {"lark", []string{"token"}}, {"webex", []string{"token"}},
	{"chatwork", []string{"token", "to"}}, {"shoutrrr", []string{"url"}}, {"debug", nil},
}

// ChannelTypes returns the types that a channel can have.
func ChannelTypes() []string {
	names := make([]string, len(channelTypes))
	for i, t := range channelTypes {
		names[i] = t.name
	}
	return names
}

func (a Alerts) check(k *checker, connections Connections) {
	for _, p := range []struct {
		key   string
		d     time.Duration
		least time.Duration
		zero  bool
	}{
		{"every", a.Every, time.Second, true}, {"run_every", a.RunEvery, time.Second, false}, {"buffer_time", a.BufferTime, time.Second, false},
		{"heartbeat", a.Heartbeat, time.Second, true}, {"keep", a.Keep, time.Hour, false},
	} {
		if p.d < p.least && (p.d != 0 || !p.zero) {
			k.add("alerts."+p.key, "write a duration such as 30s, 15m or 720h", "want %s or more, got %s", p.least, p.d)
		}
	}
	if a.Source != "" {
		if _, there := connections.Get(a.Source); !there {
			k.add("alerts.source", "name one of connections", "there is no connection %q", a.Source)
		}
	}
	k.web("alerts.url", a.URL, "https://HOST")
	for _, name := range a.Watch {
		k.channel("alerts.watch", name, a.Channels)
	}
	if a.SignOfLife.Channel != "" {
		k.channel("alerts.sign_of_life.channel", a.SignOfLife.Channel, a.Channels)
	}
	k.clock("alerts.sign_of_life.at", a.SignOfLife.At)
	k.zone("alerts.sign_of_life.zone", a.SignOfLife.Zone)
	for _, c := range a.Channels {
		c.check(k)
	}
}

// channel checks the name of one.
func (k *checker) channel(key, name string, channels AlertChannels) {
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = c.Name
	}
	if slices.Contains(names, name) {
		return
	}
	hint := "name one of alerts.channels"
	if meant := nearest(name, names); meant != "" {
		hint = `did you mean "` + meant + `"?`
	}
	k.add(key, hint, "there is no channel %q", name)
}

// clock checks a time of day.
func (k *checker) clock(key, text string) {
	if _, err := time.Parse("15:04", text); err != nil || len(text) != 5 {
		k.add(key, `write it as "09:00"`, "want a time of day, got %q", text)
	}
}

// zone checks the name of a time zone. Local is what this machine is set to, which another is not.
func (k *checker) zone(key, name string) {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		k.add(key, "write an IANA name such as Europe/Berlin or UTC", "there is no time zone %q", name)
	}
}

func (c AlertChannel) check(k *checker) {
	part := func(name string) string { return itemKey("alerts.channels", c.Name, name) }
	i := slices.IndexFunc(channelTypes, func(t struct {
		name  string
		needs []string
	}) bool {
		return t.name == c.Type
	})
	if i < 0 {
		k.oneOf(part("type"), c.Type, ChannelTypes()...)
	} else {
		there := map[string]bool{"url": !c.URL.IsZero(), "token": !c.Token.IsZero(), "user": c.User != "", "password": !c.Password.IsZero(), "from": c.From != "", "to": len(c.To) > 0}
		for _, need := range channelTypes[i].needs {
			if !there[need] {
				k.add(part(need), "docs/alert-channels.md shows each type", "is missing: %s needs it", c.Type)
			}
		}
		c.checkURL(k, part("url"))
	}
	if c.TLS != "" && c.Type != "email" {
		k.add(part("tls"), "leave it away", "is for email")
	} else if c.TLS != "" {
		k.oneOf(part("tls"), c.TLS, "starttls", "tls", "none")
		if c.TLS == "none" && !c.Private {
			k.add(part("tls"), "leave it away, or set private: true if the server is in a network of your own", "anybody on the way could read the mail")
		}
	}
	if c.Again != "" && c.Again != "true" && c.Again != "false" {
		k.add(part("again"), "write true or false, or leave it away", "%q is neither true nor false", c.Again)
	}
	k.notNegative(part("per_minute"), c.PerMinute, "0 is no limit")
	if c.Timeout < 0 {
		k.add(part("timeout"), "0s is the default", "want 0 or more, got %s", c.Timeout)
	}
	c.Quiet.check(k, part("quiet"))
}

// checkURL checks the form of the address. What stands there is not repeated: it may be a secret.
func (c AlertChannel) checkURL(k *checker, key string) {
	if c.URL.IsZero() {
		return
	}
	u, err := url.Parse(c.URL.Reveal())
	switch c.Type {
	case "debug":
		k.add(key, "leave it away", "debug writes into the log")
	case "email":
		if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.User != nil {
			k.add(key, "write smtp://HOST:587 or smtps://HOST:465, and user and password apart", "is no address of a mail server")
		}
	case "shoutrrr":
		if err != nil || u.Scheme == "" {
			k.add(key, "write it as pushover://shoutrrr:TOKEN@USER", "is no address of a service")
		}
	default:
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
			k.add(key, "write https://HOST/PATH", "is no address of a server")
		case u.Scheme == "http" && !c.Private:
			k.add(key, "write https://, or set private: true if it leads into a network of your own", "anybody on the way could read what is sent")
		case !c.Private && privateHost(u.Hostname()):
			k.add(key, "set private: true", "leads into a private network")
		}
	}
}

// privateHost reports whether a host is seen to be one at first sight; what a name leads to is looked at when it is dialled.
func privateHost(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified())
}

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func (q QuietHours) check(k *checker, key string) {
	if q.From == "" && q.To == "" {
		if len(q.Days) > 0 || q.Zone != "" {
			k.add(key+".from", `write from: "22:00" and to: "06:00"`, "is missing")
		}
		return
	}
	k.clock(key+".from", q.From)
	k.clock(key+".to", q.To)
	if q.From == q.To {
		k.add(key+".to", "leave quiet away, or say another time", "is when they begin: nothing would ever be sent, or always")
	}
	k.zone(key+".zone", q.Zone)
	for _, day := range q.Days {
		k.oneOf(key+".days", day, weekdays...)
	}
}

// showAddress is the address of a channel as a person may see it: the rest of many an address is all that it takes to send.
func showAddress(u URL) string {
	p, err := url.Parse(u.Reveal())
	if err != nil || u.IsZero() {
		return u.String()
	}
	switch {
	case !slices.Contains([]string{"http", "https", "smtp", "smtps"}, p.Scheme):
		return p.Scheme + "://" + redacted
	case strings.Trim(p.Path, "/") == "" && p.RawQuery == "" && p.User == nil:
		return p.Scheme + "://" + p.Host
	}
	return p.Scheme + "://" + p.Host + "/" + redacted
}
