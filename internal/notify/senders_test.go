package notify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/notify/notifytest"
)

// found is a message about two matches.
func found() notify.Message {
	m := message()
	m.Matches = []map[string]any{{"host": map[string]any{"name": "web-1"}, "n": json.Number("12"), "say": "a \"b\"\n\\c", "@timestamp": "2026-11-26T08:00:00Z"}, {"host": map[string]any{"name": "web-2"}}}
	return m
}

// described opens what an entry of a rule describes.
func described(t *testing.T, name, options string) notify.Channel {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		t.Fatal(err)
	}
	specs, err := notify.FromAlerter(name, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var channels []notify.Channel
	for _, s := range specs {
		s.Known = map[string]any{"name": "r", "team": "core", "jinja_root_name": "root"}
		channels = append(channels, open(t, s))
	}
	return notify.All(channels...)
}

// has follows paths through what has arrived.
func has(t *testing.T, body any, want map[string]any) {
	t.Helper()
	for path, v := range want {
		var steps []any
		for p := range strings.SplitSeq(path, "/") {
			if len(p) == 1 && p[0] >= '0' && p[0] <= '9' {
				steps = append(steps, int(p[0]-'0'))
			} else {
				steps = append(steps, p)
			}
		}
		if got := at(body, steps...); fmt.Sprint(got) != fmt.Sprint(v) {
			t.Errorf("%s is\n%q, want\n%q", path, got, v)
		}
	}
}

func body(t *testing.T, r notifytest.Request) (v any) {
	t.Helper()
	if err := json.Unmarshal(r.Body, &v); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return v
}

func TestEachMatchIsPostedInTheFormOfTheRule(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	c := described(t, "post", `{"http_post_url": "`+in.URL+`/x", "http_post_payload": {"ip": "host.name", "none": "gone"}, "http_post_static_payload": {"key": "`+token+`", "deep": {"n": 1}},
		"http_post_headers": {"Authorization": "Basic x", "X-N": 5}}`)
	send(t, c, found())
	got := in.Requests()
	if len(got) != 2 || c.Keyed() || got[0].Header.Get("Authorization") != "Basic x" || got[0].Header.Get("X-N") != "5" || got[0].Header.Get("Accept") != "application/json;charset=utf-8" ||
		got[0].Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%+v", got)
	}
	if want := `{"deep":{"n":1},"ip":"web-1","key":"` + token + `","none":null}`; string(got[0].Body) != want {
		t.Errorf("%s, want %s", got[0].Body, want)
	}
	has(t, body(t, got[1]), map[string]any{"ip": "web-2"})
	for _, event := range []string{notify.Acknowledged, notify.Resolved} {
		m := found()
		m.Event = event
		send(t, c, m)
	}
	if n := len(in.Requests()); n != 2 {
		t.Errorf("%d requests: an alert that is over is no match", n)
	}
	send(t, described(t, "post", `{"http_post_url": ["`+in.URL+`/1", "`+in.URL+`/2"]}`), notify.Message{ID: "2", Event: notify.Opened})
	if got := in.Requests(); len(got) != 4 || string(got[2].Body) != "{}" {
		t.Errorf("a message without matches is %s", got[2].Body)
	}
	send(t, described(t, "post", `{"http_post_url": "`+in.URL+`", "http_post_payload": {"a": "n"}, "http_post_all_values": true}`), found())
	has(t, body(t, in.Requests()[4]), map[string]any{"a": 12, "n": 12, "host/name": "web-1"})
}

func TestAReceiverMayHaveACertificateOfItsOwn(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	read := func(name string) ([]byte, error) {
		if name != "ca.pem" {
			return []byte("no certificate"), nil
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), nil
	}
	for ca, want := range map[any]string{"ca.pem": "", true: "certificate", nil: "certificate"} {
		specs, err := notify.FromAlerter("post", map[string]any{"http_post_url": s.URL, "http_post_ca_certs": ca}, read)
		if err != nil {
			t.Fatal(err)
		}
		if err := open(t, specs[0]).Send(t.Context(), notify.Message{}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", ca, err)
		}
	}
	if arrived.Load() != 1 {
		t.Errorf("%d requests", arrived.Load())
	}
	if _, err := notify.FromAlerter("post", map[string]any{"http_post_url": s.URL, "http_post_ca_certs": "x"}, read); err == nil || err.Error() != "http_post_ca_certs: the file has no certificate in it" {
		t.Error(err)
	}
}

func TestAMatchThatWasPostedIsNotPostedAgainByTheNextTry(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	in.Fail(notifytest.Fault{}, notifytest.Fault{Status: 503, Body: "no " + token})
	c := described(t, "post", `{"http_post_url": "`+in.URL+`", "http_post_static_payload": {"key": "`+token+`"}}`)
	err := c.Send(t.Context(), found())
	if e, ok := errors.AsType[*notify.Error](err); !ok || !e.Unknown || e.Permanent || strings.Contains(err.Error(), token) {
		t.Fatalf("%v", err)
	}
	send(t, c, found())
	got := in.Requests()
	if len(got) != 3 || !strings.Contains(string(got[2].Body), "web-2") {
		t.Errorf("%d requests", len(got))
	}
}

func TestTemplatesOfARuleMakeWhatIsPosted(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	for _, options := range []string{
		`"http_post2_payload": {"on {{ host.name }}": "{{ _data['@timestamp'] }} {{ root[\"n\"] }}", "list": ["{{ say }}", 5, {"x": "{{ n }}"}], "plain": "text"}, "http_post2_raw_fields": {"count": "n", "plain": "host"},
			"http_post2_headers": {"X-{{ n }}": "{{ host.name }}"}`,
		`"http_post2_payload": "{\"on {{ host.name }}\": \"{{ _data['@timestamp'] }} {{ root['n'] }}\", \"list\": [\"{{ say }}\", 5, {\"x\": \"{{ n }}\"}]{% if n > 5 %}, \"plain\": 1{% endif %}}",
			"http_post2_raw_fields": {"count": "n", "plain": "host"}, "http_post2_headers": "{\"X-{{ n }}\": \"{{ host.name }}\"}"`,
	} {
		m := found()
		m.Matches = m.Matches[:1]
		send(t, described(t, "post2", `{"http_post2_url": "`+in.URL+`", `+options+`}`), m)
		got := in.Requests()[len(in.Requests())-1]
		has(t, body(t, got), map[string]any{"on web-1": "2026-11-26T08:00:00Z 12", "list/0": "a \"b\"\n\\c", "list/1": 5, "list/2/x": "12", "count": 12, "plain/name": "web-1"})
		if got.Header.Get("X-12") != "web-1" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", got.Header)
		}
	}
	m := found()
	m.Matches[0]["say"] = "x\r\nX-Evil: y"
	for options, want := range map[string]string{
		`"http_post2_headers": {"X-A": "{{ say }}"}`: `the headers: "X-A" is no header with a text`,
		`"http_post2_payload": "{{ n }}"`:            "what the template makes is no JSON with names and values",
	} {
		err := described(t, "post2", `{"http_post2_url": "`+in.URL+`", `+options+`}`).Send(t.Context(), m)
		if e, ok := errors.AsType[*notify.Error](err); !ok || !e.Permanent || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestChatsAreDressedAsTheRuleSays(t *testing.T) {
	t.Parallel()
	fields := `[{"title": "Host", "value": "host.name", "short": true}, {"title": "Team", "value": "team"}, {"title": "Gone", "value": "gone"}]`
	for _, c := range []struct {
		name, options string
		want          map[string]any
	}{
		{"slack", `"slack_msg_color": "good", "slack_title": "T", "slack_title_link": "https://l", "slack_footer": "F", "slack_author_name": "A", "slack_msg_pretext": "P", "slack_text_string": "<!here>", "slack_alert_fields": ` + fields,
			map[string]any{"text": "<!here>", "attachments/0/color": "good", "attachments/0/title": "T", "attachments/0/title_link": "https://l", "attachments/0/footer": "F", "attachments/0/author_name": "A",
				"attachments/0/pretext": "P", "attachments/0/fields/0/value": "web-1", "attachments/0/fields/0/short": true, "attachments/0/fields/1/value": "core", "attachments/0/fields/2/value": "&lt;MISSING VALUE&gt;"}},
		{"mattermost", `"mattermost_title": "T", "mattermost_msg_fields": [{"title": "Both", "value": "{0} of {1}", "args": ["host.name", "gone"]}]`,
			map[string]any{"attachments/0/title": "T", "attachments/0/fields/0/value": "web-1 of <MISSING VALUE>"}},
		{"rocketchat", `"rocket_chat_text_string": "hi", "rocket_chat_alert_fields": ` + fields, map[string]any{"text": "hi", "attachments/0/fields/0/value": "web-1"}},
		{"discord", `"discord_emoji_title": ":x:", "discord_embed_color": 255, "discord_embed_footer": "F", "discord_embed_icon_url": "https://i"`,
			map[string]any{"embeds/0/title": ":x: Checkout <slow> @here", "embeds/0/color": 255, "embeds/0/footer/text": "F", "embeds/0/footer/icon_url": "https://i"}},
		{"googlechat", `"googlechat_format": "card", "googlechat_header_title": "T", "googlechat_header_image": "https://i", "googlechat_footer_kibanalink": "https://k"`,
			map[string]any{"cardsV2/0/card/header/title": "T", "cardsV2/0/card/header/imageUrl": "https://i", "cardsV2/0/card/sections/0/widgets/1/buttonList/buttons/2/onClick/openLink/url": "https://k"}},
		{"ms_teams", `"ms_teams_alert_summary": "S", "ms_teams_theme_color": "#00ff00", "ms_teams_alert_fixed_width": true, "ms_teams_alert_facts": [{"name": "Host", "value": "host.name"}, {"name": "Env", "value": "prod"}]`,
			map[string]any{"summary": "S", "themeColor": "00ff00", "text": "```p99 & p50```\n\n```<!channel> are high```", "sections/0/facts/0/value": "web-1", "sections/0/facts/1/value": "prod"}},
		{"ms_power_automate", `"ms_power_automate_alert_summary": "S", "ms_power_automate_summary_text_size": "small", "ms_power_automate_body_text_size": "large", "ms_power_automate_teams_card_width_full": true,
			"ms_power_automate_alert_facts": [{"name": "Host", "value": "host.name"}]`,
			map[string]any{"attachments/0/content/body/0/text": "S", "attachments/0/content/body/0/size": "small", "attachments/0/content/body/1/size": "large", "attachments/0/content/msteams/width": "Full",
				"attachments/0/content/body/2/facts/0/value": "web-1"}},
		{"matrixhookshot", `"matrixhookshot_username": "bot", "matrixhookshot_html": "<b>x</b>"`, map[string]any{"username": "bot", "html": "<b>x</b>"}},
	} {
		in := notifytest.NewInbox(t)
		prefix := map[string]string{"rocketchat": "rocket_chat"}[c.name]
		if prefix == "" {
			prefix = c.name
		}
		send(t, described(t, c.name, `{"`+prefix+`_webhook_url": "`+in.URL+`", `+c.options+`}`), found())
		t.Log(c.name)
		has(t, body(t, in.Requests()[0]), c.want)
	}
	in := notifytest.NewInbox(t)
	send(t, described(t, "teams", `{"ms_teams_webhook_url": "`+in.URL+`/a", "ms_power_automate_webhook_url": "`+in.URL+`/b"}`), found())
	if len(in.Requests()) != 2 {
		t.Errorf("%d requests to both forms of Teams", len(in.Requests()))
	}
}

func TestRoomsThatAreReachedByAKeyGetTheirForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ, format, path, refusal string
		want                       map[string]any
	}{
		{"dingtalk", "", "/robot/send?access_token=" + token, `{"errcode":310000,"errmsg":"` + token + `"}`, map[string]any{"msgtype": "text"}},
		{"dingtalk", "markdown", "/robot/send?access_token=" + token, `{"errcode":310000}`, map[string]any{"msgtype": "markdown", "markdown/title": "Checkout <slow> @here"}},
		{"workwechat", "markdown", "/cgi-bin/webhook/send?key=" + token, `{"errcode":93000}`, map[string]any{"msgtype": "markdown"}},
		{"lark", "", "/open-apis/bot/v2/hook/" + token, `{"code":19001,"msg":"param invalid"}`, map[string]any{"msg_type": "text"}},
		{"webex", "markdown", "/v1/webhooks/incoming/" + token, "", nil},
	} {
		in := notifytest.NewInbox(t)
		spec := notify.Spec{Type: c.typ, URL: in.URL, Token: token, Options: map[string]any{}}
		if c.format != "" {
			spec.Options["format"] = c.format
		}
		ch := open(t, spec)
		send(t, ch, found())
		got := in.Requests()[0]
		path := got.Path
		if len(got.Query) > 0 {
			path += "?" + got.Query.Encode()
		}
		if path != c.path || !strings.Contains(string(got.Body), "https://stint.example.com/a/x") {
			t.Errorf("%s: %s %s", c.typ, path, got.Body)
		}
		has(t, body(t, got), c.want)
		if c.refusal == "" {
			continue
		}
		in.Fail(notifytest.Fault{Body: c.refusal})
		if e := refused(t, ch); !e.Permanent {
			t.Errorf("%s: %v", c.typ, e)
		}
		long := found()
		long.Text = strings.Repeat("ü", 100_000)
		send(t, ch, long)
		if n := len(in.Requests()[2].Body); c.typ == "workwechat" && n > 4200 || n > 20_000 {
			t.Errorf("%s: a long message has %d bytes", c.typ, n)
		}
	}
	in := notifytest.NewInbox(t)
	send(t, open(t, notify.Spec{Type: "dingtalk", URL: in.URL, Token: token, Password: "SECx"}), found())
	q := in.Requests()[0].Query
	mac := hmac.New(sha256.New, []byte("SECx"))
	mac.Write([]byte(q.Get("timestamp") + "\nSECx"))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Get("sign") != want || q.Get("access_token") != token {
		t.Errorf("%v is not signed %s", q, want)
	}
	in = notifytest.NewInbox(t)
	send(t, open(t, notify.Spec{Type: "chatwork", URL: in.URL, Token: token, To: []string{"42", "43"}}), found())
	got := in.Requests()
	form, err := url.ParseQuery(string(got[0].Body))
	if err != nil || len(got) != 2 || got[0].Path != "/v2/rooms/42/messages" || got[0].Header.Get("X-ChatWorkToken") != token || !strings.HasPrefix(form.Get("body"), "Checkout <slow>") {
		t.Errorf("%+v %v", got, form)
	}
}

func TestWhoCallsPeopleKnowsAnAlertFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	events := []string{notify.Opened, notify.Acknowledged, notify.Resolved}
	for _, c := range []struct {
		typ, key, event, path string
		want                  []string
		spec                  notify.Spec
	}{
		{"victorops", "entity_id", "message_type", "/integrations/generic/20131114/alert/" + token + "/web", []string{"CRITICAL", "ACKNOWLEDGEMENT", "RECOVERY"}, notify.Spec{Token: token, To: []string{"web"}}},
		{"pagertree", "Id", "event_type", "/", []string{"create", "acknowledge", "resolve"}, notify.Spec{}},
		{"pagerduty", "dedup_key", "event_action", "/v2/enqueue", []string{"trigger", "acknowledge", "resolve"}, notify.Spec{Token: token}},
	} {
		in := notifytest.NewInbox(t)
		c.spec.Type, c.spec.URL = c.typ, in.URL
		ch := open(t, c.spec)
		var got []string
		for _, event := range events {
			m := found()
			m.Event = event
			send(t, ch, m)
		}
		for _, r := range in.Requests() {
			got = append(got, fmt.Sprint(r.JSON()[c.event]))
			if r.JSON()[c.key] != "alr_1" || r.Path != c.path {
				t.Errorf("%s: %s %s", c.typ, r.Path, r.Body)
			}
		}
		if !slices.Equal(got, c.want) || !ch.Keyed() {
			t.Errorf("%s: %v, keyed %v", c.typ, got, ch.Keyed())
		}
	}
}

func TestAPagerHearsWhatTheRuleSays(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	var o map[string]any
	options := func(text string) map[string]any {
		o = nil
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	known := map[string]any{"team": "core"}
	send(t, open(t, notify.Spec{Type: "pagerduty", URL: in.URL, Token: "k", Known: known, Options: options(`{"incident_key": "{0}/{1}", "incident_key_args": ["host.name", "team"], "component": "{0}", "component_args": ["gone"],
		"severity": "info", "details": {"host": "host.name", "env": "prod"}, "info": false}`)}), found())
	has(t, body(t, in.Requests()[0]), map[string]any{"dedup_key": "web-1/core", "payload/component": "<MISSING VALUE>", "payload/severity": "info", "payload/custom_details/host": "web-1", "payload/custom_details/env": "prod",
		"payload/custom_details/text": nil})
	m := found()
	m.Matches[0]["level"], m.Matches[0]["oncall"] = "2", "ann"
	ch := open(t, notify.Spec{Type: "opsgenie", URL: in.URL, Token: "k", Known: known, Options: options(`{"alias": "x-{host[name]}", "message": "{say}", "priority": "P{level}", "entity": "{n}", "tags": ["a", "{level}"], "teams": ["{t}", "all"],
		"teams_args": {"t": "team"}, "recipients": ["{who}"], "recipients_args": {"who": "gone"}, "default_recipients": ["bob"], "user": "svc", "details": {"Author": "Ann", "Host": {"field": "host.name"}, "No": {"field": "gone"}}}`)})
	send(t, ch, m)
	got := body(t, in.Requests()[1])
	has(t, got, map[string]any{"alias": "x-web-1", "priority": "P2", "entity": "12", "tags/1": "2", "responders/0/name": "core", "responders/1/name": "all", "responders/2/username": "bob", "user": "svc", "details/Author": "Ann",
		"details/Host": "web-1", "details/No": nil})
	m.Event = notify.Resolved
	send(t, ch, m)
	if path := in.Requests()[2].Path; path != "/v2/alerts/x-web-1/close" {
		t.Error(path)
	}
}

func TestAlertmanagerIsHandedAnAlertAndItsEnd(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	c := described(t, "alertmanager", `{"alertmanager_hosts": ["`+in.URL+`"], "alertmanager_labels": {"host": "{{ host.name }}", "team": "x"}, "alertmanager_fields": {"n": "n", "all": "host", "gone": "gone"},
		"alertmanager_annotations": {"severity": "P3"}, "alertmanager_resolve_time": "10m", "alertmanager_alert_text_labelname": "body", "alertmanager_basic_auth_login": "u", "alertmanager_basic_auth_password": "p"}`)
	for _, event := range []string{notify.Opened, notify.Acknowledged, notify.Resolved} {
		m := found()
		m.Event = event
		send(t, c, m)
	}
	got := in.Requests()
	if len(got) != 2 || got[0].Path != "/api/v2/alerts" || !c.Keyed() || got[0].Header.Get("Authorization") == "" {
		t.Fatalf("%+v", got)
	}
	has(t, body(t, got[0]), map[string]any{"0/labels": map[string]any{"alertname": "checkout is slow", "elastalert_rule": "checkout is slow", "host": "web-1", "team": "x", "n": "12", "all": `{"name":"web-1"}`},
		"0/annotations/severity": "P3", "0/annotations/summary": "Checkout <slow> @here", "0/annotations/body": "p99 & p50\n<!channel> are high\n", "0/endsAt": "2026-11-26T08:10:00Z", "0/startsAt": nil})
	has(t, body(t, got[1]), map[string]any{"0/endsAt": "2026-11-26T08:00:00Z"})
}

// Whatever a match is like, and whatever a rule makes of it, a channel sends something, or says why it cannot: it never ends the process.
func TestOddMatchesEndNoChannel(t *testing.T) {
	t.Parallel()
	matches := [][]map[string]any{nil, {nil}, {{}}, {{"host": nil, "n": []any{}, "@timestamp": 5}}, {{"host": []any{map[string]any{"name": 1}}, "n": map[string]any{}, "level": true}}}
	for _, typ := range []string{"slack", "mattermost", "rocketchat", "discord", "googlechat", "ms_teams", "ms_power_automate", "matrixhookshot", "pagerduty", "opsgenie", "victorops", "pagertree", "alertmanager",
		"dingtalk", "workwechat", "lark", "webex", "chatwork", "post", "post2"} {
		in := notifytest.NewInbox(t)
		s := notify.Spec{Type: typ, URL: in.URL, Token: token, To: []string{"1"}, Options: map[string]any{}}
		fields := []any{map[string]any{"title": "x", "value": "host.name", "args": []any{"n", 5}}, map[string]any{"name": 1}}
		switch typ {
		case "slack", "mattermost", "rocketchat":
			s.Options["fields"] = fields
		case "ms_teams", "ms_power_automate":
			s.Options["facts"] = fields
		case "pagerduty":
			s.Options = map[string]any{"component": "{0[x]} {1}", "component_args": []any{"host", "n"}, "details": map[string]any{"a": "host", "b": 1}}
		case "opsgenie":
			s.Options = map[string]any{"alias": "{host}{", "tags": []any{"{n[0]}"}, "teams": []any{"{t}"}, "teams_args": map[string]any{"t": "host"}, "details": map[string]any{"a": map[string]any{}, "b": 1}}
		case "alertmanager":
			s.Options = map[string]any{"labels": map[string]any{"a": "{{ host.name.x.y }}", "b": 1}, "fields": map[string]any{"c": "host", "d": 2}}
		case "post":
			s.Options = map[string]any{"payload": map[string]any{"a": "host.name"}}
		case "post2":
			s.Options = map[string]any{"payload": `{"a": "{{ host.name.x }}", "b": {{ n | length }}}`, "headers": map[string]any{"X-{{ n }}": "{{ 1 / 0 }}"}}
		case "webex":
			s.Options = map[string]any{"format": "markdown"}
		}
		if typ != "chatwork" && typ != "victorops" { // of the others it is a room
			s.To = nil
		}
		ch := open(t, s)
		for _, list := range matches {
			for _, event := range []string{notify.Opened, notify.Resolved, ""} {
				err := ch.Send(t.Context(), notify.Message{Event: event, Matches: list})
				if err != nil && (typ != "post2" || strings.Contains(err.Error(), token)) {
					t.Errorf("%s: %v", typ, err)
				}
			}
		}
	}
}

func TestAMessageThatTelegramCannotReadIsSentAsItStands(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	in.Fail(notifytest.Fault{Status: 400, Body: `{"ok":false,"description":"Bad Request: can't parse entities: Can't find end"}`})
	send(t, open(t, notify.Spec{Type: "telegram", URL: in.URL, Token: "1:x", To: []string{"5"}, Options: map[string]any{"parse_mode": "markdown"}}), found())
	got := in.Requests()
	if len(got) != 2 || got[0].JSON()["parse_mode"] != "Markdown" || got[1].JSON()["parse_mode"] != nil {
		t.Errorf("%+v", got)
	}
}
