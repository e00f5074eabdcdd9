package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/webhook"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/notify/notifytest"
)

// token opens no door anywhere; it must not be seen in any error.
const token = "s3cr3t-t0ken"

func message() notify.Message {
	return notify.Message{ID: "alr_1/0/1/ops", Alert: "alr_1", Event: notify.Opened, Rule: "checkout is slow", Key: "eu", Severity: "critical",
		Subject: "Checkout <slow> @here", Text: "p99 & p50\n<!channel> are high\n", At: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC),
		AckURL: "https://stint.example.com/a/x?t=1", ViewURL: "https://stint.example.com/alerts/alr_1", Matches: []map[string]any{{"host": "a"}}}
}

func open(t *testing.T, s notify.Spec) notify.Channel {
	t.Helper()
	if s.Name == "" {
		s.Name = "ops"
	}
	s.Private = true
	c, err := notify.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c notify.Channel, m notify.Message) {
	t.Helper()
	if err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// refused sends and returns the error, which has to be there and to keep secrets to itself.
func refused(t *testing.T, c notify.Channel) *notify.Error {
	t.Helper()
	err := c.Send(t.Context(), message())
	e, ok := errors.AsType[*notify.Error](err)
	if !ok {
		t.Fatalf("the error is %v", err)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the error has a secret: %v", err)
	}
	return e
}

// at follows a path through JSON.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(map[string]any)
			v = o[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func TestEachTypeOfChatGetsItsOwnForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  string
		want map[string]any // by path
	}{
		{"slack", map[string]any{"attachments.0.title": "Checkout &lt;slow&gt; @here", "attachments.0.color": "#a30200", "attachments.0.title_link": "https://stint.example.com/alerts/alr_1",
			"attachments.0.text": "p99 &amp; p50\n&lt;!channel&gt; are high\n\n<https://stint.example.com/a/x?t=1|Take it>\n<https://stint.example.com/alerts/alr_1|Show it>",
			"channel":            "#ops", "username": "stint", "icon_emoji": ":bell:", "unfurl_links": false}},
		{"mattermost", map[string]any{"attachments.0.title": "Checkout <slow> @\u200bhere", "channel": "#ops", "username": "stint"}},
		{"rocketchat", map[string]any{"attachments.0.title": "Checkout <slow> @\u200bhere", "channel": "#ops", "alias": "stint", "emoji": ":bell:"}},
		{"discord", map[string]any{"embeds.0.title": "Checkout <slow> @here", "embeds.0.color": float64(0xa30200), "embeds.0.timestamp": "2026-11-26T08:00:00Z",
			"allowed_mentions.parse": []any{}, "username": "stint",
			"embeds.0.description": "p99 & p50\n<!channel> are high\n\n[Take it](https://stint.example.com/a/x?t=1)\n[Show it](https://stint.example.com/alerts/alr_1)"}},
		{"googlechat", map[string]any{"text": "*Checkout <slow> @here*\np99 & p50\n‹!channel› are high\n\n<https://stint.example.com/a/x?t=1|Take it>\n<https://stint.example.com/alerts/alr_1|Show it>"}},
		{"teams", map[string]any{"type": "message", "attachments.0.contentType": "application/vnd.microsoft.card.adaptive", "attachments.0.content.type": "AdaptiveCard",
			"attachments.0.content.body.0.text": "Checkout <slow> @here", "attachments.0.content.actions.0.url": "https://stint.example.com/a/x?t=1"}},
		{"ms_power_automate", map[string]any{"type": "message", "attachments.0.content.body.0.color": "attention"}},
		{"ms_teams", map[string]any{"@type": "MessageCard", "title": "Checkout <slow> @here", "themeColor": "a30200", "potentialAction.0.targets.0.uri": "https://stint.example.com/a/x?t=1"}},
	} {
		t.Run(c.typ, func(t *testing.T) {
			t.Parallel()
			in := notifytest.NewInbox(t)
			spec := notify.Spec{Type: c.typ, URL: in.URL + "/hooks/" + token}
			if c.typ == "slack" || c.typ == "mattermost" || c.typ == "rocketchat" {
				spec.To, spec.Options = []string{"#ops"}, map[string]any{"icon_emoji": ":bell:"}
			}
			spec.From = "stint"
			ch := open(t, spec)
			send(t, ch, message())
			got := in.Requests()[0]
			for path, want := range c.want {
				var steps []any
				for p := range strings.SplitSeq(path, ".") {
					if n := strings.Index("0123456789", p); n >= 0 && len(p) == 1 {
						steps = append(steps, n)
					} else {
						steps = append(steps, p)
					}
				}
				if v := at(got.JSON(), steps...); fmt.Sprint(v) != fmt.Sprint(want) {
					t.Errorf("%s is\n%q, want\n%q", path, v, want)
				}
			}
			if got.Header.Get("Content-Type") != "application/json" || ch.Keyed() || got.Header.Get("Idempotency-Key") != "" {
				t.Errorf("%v, keyed %v", got.Header, ch.Keyed())
			}
			long := message()
			long.Text = strings.Repeat("x", 100_000)
			send(t, ch, long)
			if body := in.Requests()[1].Body; len(body) > 20_000 || !bytes.Contains(body, []byte("more characters")) || !bytes.Contains(body, []byte(long.AckURL)) {
				t.Errorf("a long message has %d bytes", len(body))
			}
		})
	}
}

func TestAnAnswerSaysWhetherItIsWorthAnotherTry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault     notifytest.Fault
		permanent bool
		unknown   bool
		after     time.Duration
		text      string
	}{
		"wrong":          {fault: notifytest.Fault{Status: 400, Body: "no  such\nroom " + token}, permanent: true, text: "the receiver answered 400: no such room [redacted]"},
		"gone":           {fault: notifytest.Fault{Status: 404}, permanent: true, text: "the receiver answered 404"},
		"too many":       {fault: notifytest.Fault{Status: 429, Header: http.Header{"Retry-After": {"7"}}}, after: 7 * time.Second},
		"busy":           {fault: notifytest.Fault{Status: 503, Header: http.Header{"Retry-After": {"Thu, 26 Nov 2026 08:01:00 GMT"}, "Date": {"Thu, 26 Nov 2026 08:00:00 GMT"}}}, after: time.Minute},
		"patience":       {fault: notifytest.Fault{Status: 503, Header: http.Header{"Retry-After": {"999999"}}}, after: time.Hour},
		"broken":         {fault: notifytest.Fault{Status: 500}},
		"timed out":      {fault: notifytest.Fault{Status: 408}},
		"behind a proxy": {fault: notifytest.Fault{Status: 504}, unknown: true},
		"elsewhere":      {fault: notifytest.Fault{Status: 307, Header: http.Header{"Location": {"http://elsewhere.example.com/"}}}, permanent: true, text: "the receiver answered 307: redirects are not followed"},
		"cut":            {fault: notifytest.Fault{Cut: true}, unknown: true},
		"silent":         {fault: notifytest.Fault{Hang: true}, unknown: true, text: "the receiver did not answer in time"},
		"a book":         {fault: notifytest.Fault{Status: 400, Body: strings.Repeat("long ", 100_000)}, permanent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := notifytest.NewInbox(t)
			ch := open(t, notify.Spec{Type: "slack", URL: in.URL + "/hooks/" + token, Timeout: 500 * time.Millisecond})
			in.Fail(c.fault)
			e := refused(t, ch)
			if e.Permanent != c.permanent || e.Unknown != c.unknown || e.After != c.after || !strings.Contains(e.Error(), c.text) || len(e.Error()) > 400 {
				t.Errorf("%+v: %v", e, e)
			}
			send(t, ch, message())
			if n := len(in.Requests()); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
		})
	}
}

func TestAReceiverThatIsNotThereHasNotTakenTheMessage(t *testing.T) {
	t.Parallel()
	ch := open(t, notify.Spec{Type: "slack", URL: "http://127.0.0.1:1/hooks/" + token})
	if e := refused(t, ch); e.Unknown || e.Permanent {
		t.Errorf("%+v", e)
	}
	in := notifytest.NewInbox(t)
	ch = open(t, notify.Spec{Type: "slack", URL: in.URL + "/" + token})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := ch.Send(ctx, message())
	if e, ok := errors.AsType[*notify.Error](err); !ok || e.Unknown || len(in.Requests()) > 0 {
		t.Errorf("%v after %d requests", err, len(in.Requests()))
	}
}

func TestAMessageGoesToThePublicInternetOnlyAndIsEncrypted(t *testing.T) {
	t.Parallel()
	in := notifytest.NewSecureInbox(t)
	public, err := notify.New(notify.Spec{Name: "ops", Type: "webhook", URL: in.URL + "/" + token, Roots: in.Roots})
	if err != nil {
		t.Fatal(err)
	}
	if e := refused(t, public); !e.Permanent || e.Unknown || !strings.Contains(e.Error(), "private: true") {
		t.Errorf("%+v: %v", e, e)
	}
	stranger := open(t, notify.Spec{Type: "webhook", URL: in.URL + "/" + token})
	if e := refused(t, stranger); e.Unknown || !strings.Contains(e.Error(), "certificate") {
		t.Errorf("%+v: %v", e, e)
	}
	if n := len(in.Requests()); n > 0 {
		t.Errorf("%d arrived", n)
	}
	send(t, open(t, notify.Spec{Type: "webhook", URL: in.URL + "/" + token, Roots: in.Roots}), message())
	if _, err := notify.New(notify.Spec{Name: "ops", Type: "webhook", URL: "http://example.com/" + token}); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("http: %v", err)
	}
}

func TestAWebhookIsSignedAndKnowsItsMessagesAgain(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA="
	ch := open(t, notify.Spec{Type: "webhook", URL: in.URL + "/in", Token: secret, User: "me", Password: "pass-word", Options: map[string]any{"headers": map[string]any{"X-Team": "ops"}}})
	in.Fail(notifytest.Fault{Cut: true})
	if e := refused(t, ch); !e.Unknown {
		t.Errorf("%+v", e)
	}
	send(t, ch, message())
	got := in.Requests()
	s, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		if err := webhook.Verify(s, r.Header, r.Body, time.Now()); err != nil {
			t.Error(err)
		}
	}
	o := got[1].JSON()
	if len(got) != 2 || in.Keys()[message().ID] != 2 || !ch.Keyed() || o["alert"] != "alr_1" || o["id"] != message().ID || o["at"] != "2026-11-26T08:00:00Z" || at(o, "matches", 0, "host") != "a" {
		t.Errorf("%d requests, keyed %v, %v", len(got), ch.Keyed(), o)
	}
	if h := got[1].Header; h.Get("X-Team") != "ops" || h.Get("Authorization") != "Basic bWU6cGFzcy13b3Jk" || h.Get(webhook.HeaderID) != message().ID {
		t.Errorf("%v", h)
	}
}

func TestAPagerHasOneIncidentForEachAlert(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	ch := open(t, notify.Spec{Type: "pagerduty", URL: in.URL, Token: token, Options: map[string]any{"component": "shop"}})
	for event, action := range map[string]string{notify.Opened: "trigger", notify.Repeated: "trigger", notify.Escalated: "trigger", notify.Acknowledged: "acknowledge", notify.Resolved: "resolve"} {
		m := message()
		m.Event = event
		send(t, ch, m)
		got := in.Requests()[len(in.Requests())-1]
		o := got.JSON()
		if got.Path != "/v2/enqueue" || o["event_action"] != action || o["dedup_key"] != "alr_1" || o["routing_key"] != token {
			t.Errorf("%s: %s %v", event, got.Path, o)
		}
		if action == "trigger" && (at(o, "payload", "severity") != "critical" || at(o, "payload", "summary") != m.Subject || at(o, "payload", "component") != "shop" || at(o, "links", 0, "href") != m.AckURL) {
			t.Errorf("%v", o)
		}
	}
	if !ch.Keyed() || in.Keys()["alr_1"] != 5 {
		t.Errorf("keyed %v, %v", ch.Keyed(), in.Keys())
	}
	in.Fail(notifytest.Fault{Status: 400, Body: `{"status":"invalid event","errors":["` + token + ` is no key"]}`})
	if e := refused(t, ch); !e.Permanent || !strings.Contains(e.Error(), "invalid event") {
		t.Errorf("%v", e)
	}
}

func TestOpsgenieKnowsAnAlertByItsAlias(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	ch := open(t, notify.Spec{Type: "opsgenie", URL: in.URL, Token: token, Options: map[string]any{"tags": []any{"shop"}, "teams": "ops"}})
	m := message()
	m.Alert = "alr/1"
	for _, event := range []string{notify.Opened, notify.Acknowledged, notify.Resolved} {
		m.Event = event
		send(t, ch, m)
	}
	got := in.Requests()
	o := got[0].JSON()
	if got[0].Path != "/v2/alerts" || got[0].Header.Get("Authorization") != "GenieKey "+token || o["alias"] != "alr/1" || o["priority"] != "P1" || at(o, "responders", 0, "name") != "ops" || at(o, "tags", 0) != "shop" {
		t.Errorf("%s %v", got[0].Path, o)
	}
	if got[1].Path != "/v2/alerts/alr%2F1/acknowledge" || got[2].Path != "/v2/alerts/alr%2F1/close" || got[2].Query.Get("identifierType") != "alias" || !ch.Keyed() {
		t.Errorf("%s %s", got[1].Path, got[2].Path)
	}
}

func TestTelegramTellsEachChatAndFollowsItsPatience(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	ch := open(t, notify.Spec{Type: "telegram", URL: in.URL, Token: "12:" + token, To: []string{"-100", "-200"}, Options: map[string]any{"thread": 7}})
	in.Fail(notifytest.Fault{}, notifytest.Fault{Status: 429, Body: `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 9 of bot12:` + token + `","parameters":{"retry_after":9}}`})
	e := refused(t, ch)
	if e.After != 9*time.Second || !e.Unknown || e.Permanent || !strings.Contains(e.Error(), "1 of 2 have got it; -200: the receiver answered 429: Too Many Requests") {
		t.Errorf("%+v: %v", e, e)
	}
	send(t, ch, message()) // only to whom it has not been sent
	got := in.Requests()
	if len(got) != 3 || got[2].JSON()["chat_id"] != "-200" || got[0].Path != "/bot12:"+token+"/sendMessage" || at(got[0].JSON(), "link_preview_options", "is_disabled") != true || ch.Keyed() {
		t.Errorf("%d requests, the last to %v", len(got), got[len(got)-1].JSON())
	}
	if text, _ := got[0].JSON()["text"].(string); !strings.HasPrefix(text, "Checkout <slow> @here\n\np99") || !strings.HasSuffix(text, "Take it: https://stint.example.com/a/x?t=1\nShow it: https://stint.example.com/alerts/alr_1") {
		t.Errorf("%q", text)
	}
	in.Fail(notifytest.Fault{Status: 403}, notifytest.Fault{Status: 403})
	other := open(t, notify.Spec{Type: "telegram", URL: in.URL, Token: token, To: []string{"1", "2"}})
	if e := refused(t, other); !e.Permanent || e.Unknown {
		t.Errorf("%+v", e)
	}
}

func TestATextMessageIsShortAndKeepsItsLink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subject, text, ack string
		segments           int
		most               int // septets or characters
		want               string
	}{
		"all of it":      {subject: "Disk full", text: "on db-1\nsince 8:00", ack: "https://x.io/a", segments: 1, want: "Disk full: on db-1 since 8:00\nhttps://x.io/a"},
		"cut":            {subject: "Disk full", text: strings.Repeat("word ", 60), ack: "https://x.io/a", segments: 1, most: 160},
		"two":            {subject: "Disk full", text: strings.Repeat("word ", 90), ack: "https://x.io/a", segments: 2, most: 306},
		"other alphabet": {subject: "Диск полон", text: strings.Repeat("слово ", 60), ack: "https://x.io/a", segments: 1, most: 70},
		"said twice":     {subject: "Disk full", text: "Disk full on db-1", segments: 1, want: "Disk full on db-1"},
		"a book":         {subject: "Disk full", text: strings.Repeat("word ", 100_000), ack: "https://x.io/a", segments: 3, most: 459},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := notifytest.NewInbox(t)
			ch := open(t, notify.Spec{Type: "sms", URL: in.URL, User: "AC1", Password: token, From: "+1", To: []string{"+2", "+3"}, Options: map[string]any{"segments": c.segments}})
			send(t, ch, notify.Message{ID: "m", Subject: c.subject, Text: c.text, AckURL: c.ack})
			got := in.Requests()
			form, err := url.ParseQuery(string(got[0].Body))
			if err != nil || len(got) != 2 || got[0].Path != "/2010-04-01/Accounts/AC1/Messages.json" || got[0].Key != "m/+2" || got[1].Key != "m/+3" || form.Get("From") != "+1" || form.Get("To") != "+2" {
				t.Errorf("%v %v %v", err, got[0], form)
			}
			body := form.Get("Body")
			n := len([]rune(body))
			if c.want != "" && body != c.want || c.most > 0 && (n > c.most || n < c.most-10 || !strings.HasSuffix(body, "...\n"+c.ack)) {
				t.Errorf("%d characters: %q", n, body)
			}
		})
	}
}

func TestAMistakeInASpecIsNamedWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]notify.Spec{
		`there is no type "pigeon"`:                                 {Type: "pigeon"},
		"slack needs url":                                           {Type: "slack"},
		"telegram needs to":                                         {Type: "telegram", Token: token},
		`slack has no option "colour"; it has icon_emoji`:           {Type: "slack", URL: "https://x.io/" + token, Options: map[string]any{"colour": "red"}},
		"url: want https://HOST/PATH":                               {Type: "slack", URL: "nowhere " + token},
		"token: a secret begins with whsec_":                        {Type: "webhook", URL: "https://x.io", Token: token},
		"url: want smtp://HOST:587":                                 {Type: "email", URL: "https://" + token, From: "a@b.c", To: []string{"d@e.f"}},
		"from: want an address":                                     {Type: "email", URL: "smtp://h", From: "nobody", To: []string{"d@e.f"}},
		`to: "nobody" is no address`:                                {Type: "email", URL: "smtp://h", From: "a@b.c", To: []string{"nobody"}},
		"tls: anybody on the way could read the mail":               {Type: "email", URL: "smtp://h", From: "a@b.c", To: []string{"d@e.f"}, TLS: "none"},
		`tls: want starttls, tls or none, got "ssl"`:                {Type: "email", URL: "smtp://h", From: "a@b.c", To: []string{"d@e.f"}, TLS: "ssl"},
		"write it as user, and its password as password":            {Type: "email", URL: "smtp://me:" + token + "@h", From: "a@b.c", To: []string{"d@e.f"}},
		"the option segments is 1, 2 or 3":                          {Type: "sms", User: "u", Password: token, From: "+1", To: []string{"+2"}, Options: map[string]any{"segments": 9}},
		"sms needs from, or the option service":                     {Type: "sms", User: "u", Password: token, To: []string{"+2"}},
		`there is no service "pigeon"`:                              {Type: "shoutrrr", URL: "pigeon://" + token},
		"ntfy connects to the host of the URL without asking":       {Type: "shoutrrr", URL: "ntfy://ntfy.sh/" + token},
		"to: an address leads into one room":                        {Type: "slack", URL: "https://x.io/" + token, To: []string{"a", "b"}},
		`the option headers: "a b" is no header`:                    {Type: "webhook", URL: "https://x.io/", Options: map[string]any{"headers": map[string]any{"a b": token}}},
		"token: want the one that BotFather gave":                   {Type: "telegram", Token: token + "/..", To: []string{"1"}},
		"write https://, or set private: true if it leads into a n": {Type: "pagerduty", Token: token, URL: "http://x.io/" + token},
	} {
		s.Name = "ops"
		_, err := notify.New(s)
		if err == nil || !strings.HasPrefix(err.Error(), "channel ops: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, s := range []notify.Spec{{Type: "telegram", Token: token, To: []string{"1"}}, {Type: "pagerduty", Token: token}, {Type: "opsgenie", Token: token},
		{Type: "sms", User: "u", Password: token, From: "+1", To: []string{"+2"}}, {Type: "shoutrrr", URL: "pushover://shoutrrr:token@user"}, {Type: "debug"}} {
		if _, err := notify.New(s); err != nil {
			t.Error(err)
		}
	}
}

func TestDebugWritesTheMessageWithoutTheLinkThatTakesIt(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	ch := open(t, notify.Spec{Type: "debug", Log: slog.New(slog.NewTextHandler(&b, nil))})
	send(t, ch, message())
	if got := b.String(); !strings.Contains(got, "channel=ops") || !strings.Contains(got, "alert=alr_1") || strings.Contains(got, message().AckURL) {
		t.Errorf("%s", got)
	}
}

func TestShoutrrrSendsThroughItsServices(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	host := strings.TrimPrefix(in.URL, "http://")
	ch := open(t, notify.Spec{Type: "shoutrrr", URL: "generic://" + host + "/in/" + token + "?disabletls=yes", Timeout: 2 * time.Second})
	send(t, ch, message())
	if got := in.Requests()[0]; !strings.HasPrefix(string(got.Body), "Checkout <slow> @here\n\np99") || !strings.Contains(string(got.Body), "Take it: ") || ch.Keyed() {
		t.Errorf("%s", got.Body)
	}
	ntfy := open(t, notify.Spec{Type: "shoutrrr", URL: "ntfy://" + host + "/alerts?scheme=http", Timeout: 2 * time.Second})
	in.Fail(notifytest.Fault{Body: "{}"})
	send(t, ntfy, message())
	if got := in.Requests()[1]; got.Header.Get("Title") != "Checkout <slow> @here" || got.Path != "/alerts" {
		t.Errorf("%v %s", got.Header, got.Path)
	}
	for name, c := range map[string]struct {
		fault              notifytest.Fault
		permanent, unknown bool
	}{"wrong": {notifytest.Fault{Status: 403}, true, false}, "broken": {notifytest.Fault{Status: 500}, false, false}, "silent": {notifytest.Fault{Hang: true}, false, true}, "cut": {notifytest.Fault{Cut: true}, false, true}} {
		in.Fail(c.fault)
		if e := refused(t, ch); e.Permanent != c.permanent || e.Unknown != c.unknown {
			t.Errorf("%s: %+v %v", name, e, e)
		}
	}
	nobody := open(t, notify.Spec{Type: "shoutrrr", URL: "generic://127.0.0.1:443/" + token + "?disabletls=yes"})
	if e := refused(t, nobody); e.Permanent || e.Unknown {
		t.Errorf("nobody is there: %+v %v", e, e)
	}
}
