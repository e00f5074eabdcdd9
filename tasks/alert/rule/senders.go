package rule

import (
	"maps"
	"slices"
	"strings"
)

// Sender is a type of alert, in ElastAlert's words, that stint can send.
type Sender struct {
	Name string
	// Needs are the options that it cannot do without. Of several names with | between them one is enough.
	Needs []string
	Doc   string
}

// Senders returns all that can be named in alert: besides the channels of the configuration.
func Senders() []Sender { return slices.Clone(senders) }

var senders = []Sender{
	{"slack", []string{"slack_webhook_url"}, "Slack, or what takes its webhooks"},
	{"mattermost", []string{"mattermost_webhook_url"}, "Mattermost"},
	{"rocketchat", []string{"rocket_chat_webhook_url"}, "Rocket.Chat"},
	{"discord", []string{"discord_webhook_url"}, "Discord"},
	{"googlechat", []string{"googlechat_webhook_url"}, "Google Chat"},
	{"ms_teams", []string{"ms_teams_webhook_url"}, "Microsoft Teams, by its connectors"},
	{"ms_power_automate", []string{"ms_power_automate_webhook_url"}, "Microsoft Teams, by Power Automate"},
	{"teams", []string{"ms_power_automate_webhook_url|ms_teams_webhook_url"}, "Microsoft Teams, whichever of the two has a webhook"},
	{"telegram", []string{"telegram_bot_token", "telegram_room_id"}, "Telegram"},
	{"email", []string{"email"}, "mail, over SMTP"},
	{"pagerduty", []string{"pagerduty_service_key", "pagerduty_client_name"}, "PagerDuty"},
	{"opsgenie", []string{"opsgenie_key"}, "Opsgenie"},
	{"twilio", []string{"twilio_account_sid", "twilio_auth_token", "twilio_to_number", "twilio_from_number|twilio_message_service_sid"}, "text messages, by Twilio or what takes its requests"},
	{"victorops", []string{"victorops_api_key", "victorops_routing_key", "victorops_message_type"}, "Splunk On-Call, which was VictorOps"},
	{"pagertree", []string{"pagertree_integration_url"}, "PagerTree"},
	{"alertmanager", []string{"alertmanager_hosts"}, "Alertmanager, by version 2 of its API"},
	{"matrixhookshot", []string{"matrixhookshot_webhook_url"}, "Matrix, by a webhook of Hookshot"},
	{"dingtalk", []string{"dingtalk_access_token"}, "DingTalk"},
	{"workwechat", []string{"work_wechat_bot_id"}, "WeCom, which is WeChat for work"},
	{"lark", []string{"lark_bot_id"}, "Lark, or Feishu"},
	{"webex_incoming", []string{"webex_incoming_webhook_id"}, "Webex, by an incoming webhook"},
	{"webex_webhook", []string{"webex_webhook_id"}, "the same, by its name of old"},
	{"chatwork", []string{"chatwork_apikey", "chatwork_room_id"}, "Chatwork"},
	{"post", []string{"http_post_url"}, "a webhook, with fields of each match"},
	{"post2", []string{"http_post2_url"}, "a webhook, with templates for each match"},
	{"debug", nil, "the log of the worker"},
}

// senderNamed finds one by its name.
func senderNamed(name string) (Sender, bool) {
	i := slices.IndexFunc(senders, func(s Sender) bool { return s.Name == name })
	if i < 0 {
		return Sender{}, false
	}
	return senders[i], true
}

// isSender reports whether a name is one that can, or could, be alerted.
func isSender(name string) bool {
	_, ok := senderNamed(name)
	return ok || slices.ContainsFunc(refusedSenders, func(s refusedSender) bool { return s.name == name })
}

func senderNames() []string {
	list := make([]string, len(senders))
	for i := range senders {
		list[i] = senders[i].Name
	}
	return list
}

// belongs reports whether an option is of a sender.
func (o *Option) belongs(sender string) bool {
	if sender == "teams" {
		return o.Of == "ms_teams" || o.Of == "ms_power_automate"
	}
	return o.Of == sender
}

// refusedSender is a type of alert of ElastAlert that stint cannot send.
type refusedSender struct {
	name, prefix string // of its options; "" where they have lines of their own
	why          string
}

var refusedSenders = []refusedSender{
	{"alerta", "alerta_", ""},
	{"command", "", "a rule does not run programs on workers"}, {"datadog", "datadog_", ""},
	{"exotel", "exotel_", ""}, {"flashduty", "flashduty_", ""}, {"gelf", "gelf_", ""}, {"gitter", "gitter_", ""},
	{"hivealerter", "hive_", ""}, {"indexer", "indexer_", ""}, {"iris", "iris_", ""}, {"jira", "jira_", ""},
	{"linenotify", "linenotify_", "LINE has ended it"}, {"line", "line_", "LINE has ended it"},
	{"servicenow", "servicenow_", ""}, {"service_now", "service_now_", ""}, {"ses", "ses_", ""}, {"smseagle", "smseagle_", ""},
	{"sns", "sns_", ""}, {"sqs", "sqs_", ""}, {"stomp", "stomp_", ""}, {"tencent_sms", "tencent_sms_", ""},
	{"yzj", "yzj_", ""}, {"zabbix", "zbx_", ""},
	{"stride", "stride_", "Stride has ended"}, {"hipchat", "hipchat_", "HipChat has ended"}, {"aws_sns", "aws_sns_", ""},
}

// refusal says why a type of alert cannot be sent, and what to do; "" when nothing is known of it.
func refusal(name string) (why, hint string) {
	use := "name a channel of the configuration, or another sender: docs/alert-rules.md"
	for _, s := range refusedSenders {
		if s.name == name {
			if s.why == "" {
				return "stint cannot send to " + name, use
			}
			return "stint cannot send to " + name + ": " + s.why, use
		}
	}
	if strings.Contains(name, ".") {
		return "a module of Python cannot be loaded: " + name, use
	}
	return "", ""
}

const (
	byProxy   = "no proxy is used: workers need a way out of their own"
	byRoots   = "certificates are checked against those of the system"
	byTLS     = "certificates are always checked"
	byTime    = "an answer has to come within 15 seconds"
	noLink    = "no link to Kibana or OpenSearch Dashboards is made"
	byChannel = "a channel of the configuration says it: alerts.channels"
)

// withRoots are the senders whose receivers may have certificates of their own.
var withRoots = []string{"slack", "mattermost", "rocketchat", "ms_teams", "ms_power_automate", "pagerduty", "alertmanager", "matrixhookshot", "post", "post2"}

// of puts the sender into its options, and adds those that each has, with its own prefix.
func of(sender, prefix string, options ...Option) []Option {
	list := slices.Clone(options)
	common := map[string]string{"proxy": byProxy, "proxy_login": byProxy, "proxy_pass": byProxy, "proxy_password": byProxy, "ca_certs": byRoots, "ignore_ssl_errors": byTLS, "timeout": byTime}
	for _, s := range []string{"attach_kibana_discover_url", "kibana_discover_color", "kibana_discover_title", "attach_opensearch_discover_url", "opensearch_discover_color",
		"opensearch_discover_title", "kibana_discover_attach_url", "opensearch_discover_attach_url", "attach_jira_ticket_url", "jira_ticket_color", "jira_ticket_title"} {
		common[s] = noLink
	}
	for _, suffix := range slices.Sorted(maps.Keys(common)) {
		list = append(list, Option{Name: prefix + suffix, Kind: KindAny, Standing: Elsewhere, Why: common[suffix], Secret: strings.HasPrefix(suffix, "proxy_")})
	}
	if slices.Contains(withRoots, sender) {
		i := slices.IndexFunc(list, func(o Option) bool { return o.Name == prefix+"ca_certs" })
		list[i] = Option{Name: prefix + "ca_certs", Kind: KindAny, Doc: "A file of the workers with the certificates (PEM) that the receiver's is checked against; true is the system's."}
	}
	for i := range list {
		list[i].Of = sender
	}
	return list
}

// room are the options of chats that take messages of Slack's form.
func room(prefix string, others ...Option) []Option {
	return append([]Option{
		{Name: prefix + "username_override", Kind: KindString, Doc: "Who it is from."},
		{Name: prefix + "channel_override", Kind: KindStrings, Doc: "The channels that it goes to, instead of the webhook's."},
		{Name: prefix + "webhook_url", Kind: KindStrings, Secret: true, Doc: "Where it goes."},
		{Name: prefix + "emoji_override", Kind: KindString, Doc: "The emoji beside it."},
		{Name: prefix + "msg_color", Kind: KindWord, Words: []string{"danger", "warning", "good"}, Doc: "Its colour; by how bad it is, when nothing is said."},
	}, others...)
}

// attached are those of chats with all of Slack's attachments.
func attached(prefix string, others ...Option) []Option {
	list := room(prefix)
	for _, o := range []struct{ name, doc string }{
		{"icon_url_override", "The picture beside it."}, {"title", "Its title, instead of the subject."}, {"title_link", "Where the title leads."}, {"footer", "What stands below it."},
		{"footer_icon", "The picture beside the footer."}, {"image_url", "A picture."}, {"thumb_url", "A small picture."}, {"author_name", "An author."},
		{"author_link", "Where the author leads."}, {"author_icon", "The author's picture."}, {"msg_pretext", "What stands before it."},
	} {
		list = append(list, Option{Name: prefix + o.name, Kind: KindString, Doc: o.doc})
	}
	return append(list, others...)
}

// senderOptions are those of the senders.
var senderOptions = slices.Concat(
	of("slack", "slack_", attached("slack_",
		Option{Name: "slack_text_string", Kind: KindString, Doc: "What stands above it."},
		Option{Name: "slack_parse_override", Kind: KindWord, Words: []string{"none", "full"}, Standing: Elsewhere, Why: "texts are shown as they are: nothing in them becomes a mention"},
		Option{Name: "slack_alert_fields", Kind: KindAny, Doc: "Fields of the match beside it: [{title, value, short}]."})...),
	of("mattermost", "mattermost_", attached("mattermost_",
		Option{Name: "mattermost_msg_fields", Kind: KindAny, Doc: "Fields of the match beside it: [{title, value, args, short}]."})...),
	of("rocketchat", "rocket_chat_", room("rocket_chat_",
		Option{Name: "rocket_chat_text_string", Kind: KindString, Doc: "What stands above it."},
		Option{Name: "rocket_chat_alert_fields", Kind: KindAny, Doc: "Fields of the match beside it: [{title, value, short}]."})...),
	of("discord", "discord_",
		Option{Name: "discord_webhook_url", Kind: KindStrings, Secret: true, Doc: "Where it goes."},
		Option{Name: "discord_http_proxy", Kind: KindAny, Standing: Elsewhere, Why: byProxy},
		Option{Name: "discord_https_proxy", Kind: KindAny, Standing: Elsewhere, Why: byProxy},
		Option{Name: "discord_emoji_title", Kind: KindString, Doc: "The emoji before the title."},
		Option{Name: "discord_embed_color", Kind: KindInt, Doc: "Its colour: 0xE24D42."},
		Option{Name: "discord_embed_footer", Kind: KindString, Doc: "What stands below it."},
		Option{Name: "discord_embed_icon_url", Kind: KindString, Doc: "The picture beside the footer."}),
	of("googlechat", "googlechat_",
		Option{Name: "googlechat_webhook_url", Kind: KindStrings, Secret: true, Doc: "Where it goes."},
		Option{Name: "googlechat_format", Kind: KindWord, Words: []string{"basic", "card"}, Doc: "Its form."},
		Option{Name: "googlechat_header_title", Kind: KindString, Doc: "Of a card: its title."},
		Option{Name: "googlechat_header_subtitle", Kind: KindString, Doc: "Of a card: what stands below the title."},
		Option{Name: "googlechat_header_image", Kind: KindString, Doc: "Of a card: its picture."},
		Option{Name: "googlechat_footer_kibanalink", Kind: KindString, Doc: "Of a card: a link below it."}),
	of("ms_teams", "ms_teams_",
		Option{Name: "ms_teams_webhook_url", Kind: KindStrings, Secret: true, Doc: "Where it goes."},
		Option{Name: "ms_teams_alert_summary", Kind: KindString, Doc: "What is shown of it where there is no room for more."},
		Option{Name: "ms_teams_theme_color", Kind: KindString, Doc: "Its colour: #ff0000."},
		Option{Name: "ms_teams_alert_fixed_width", Kind: KindBool, Doc: "The text as code."},
		Option{Name: "ms_teams_alert_facts", Kind: KindAny, Doc: "Fields beside it: [{name, value}]."}),
	of("ms_power_automate", "ms_power_automate_",
		Option{Name: "ms_power_automate_webhook_url", Kind: KindStrings, Secret: true, Doc: "Where it goes."},
		Option{Name: "ms_power_automate_webhook_url_from_field", Kind: KindAny, Standing: Refused, Why: "where an alert goes must not be written by an event", Doc: "The field with the webhook."},
		Option{Name: "ms_power_automate_alert_summary", Kind: KindString, Doc: "Its title, instead of the subject."},
		Option{Name: "ms_power_automate_summary_text_size", Kind: KindWord, Words: []string{"large", "default", "small", "medium", "extraLarge"}, Doc: "The size of the title."},
		Option{Name: "ms_power_automate_body_text_size", Kind: KindWord, Words: []string{"default", "small", "medium", "large", "extraLarge"}, Doc: "The size of the text."},
		Option{Name: "ms_power_automate_teams_card_width_full", Kind: KindBool, Doc: "As wide as there is room."},
		Option{Name: "ms_power_automate_alert_facts", Kind: KindAny, Doc: "Fields beside it: [{name, value}]."}),
	of("telegram", "telegram_",
		Option{Name: "telegram_bot_token", Kind: KindString, Secret: true, Doc: "The bot that it is from."},
		Option{Name: "telegram_room_id", Kind: KindString, Doc: "The chat that it goes to."},
		Option{Name: "telegram_api_url", Kind: KindString, Doc: "Where the API is; api.telegram.org."},
		Option{Name: "telegram_parse_mode", Kind: KindWord, Words: []string{"markdown", "markdownV2", "html"}, Doc: "How Telegram reads it; plain text, when nothing is said, and when Telegram cannot read it so."},
		Option{Name: "telegram_thread_id", Kind: KindString, Doc: "The topic within the chat."}),
	mailOptions,
	of("pagerduty", "pagerduty_", pagerdutyOptions...),
	of("opsgenie", "opsgenie_", opsgenieOptions...),
	of("twilio", "twilio_",
		Option{Name: "twilio_account_sid", Kind: KindString, Doc: "The account."},
		Option{Name: "twilio_auth_token", Kind: KindString, Secret: true, Doc: "Its token."},
		Option{Name: "twilio_to_number", Kind: KindStrings, Doc: "Whom it goes to."},
		Option{Name: "twilio_from_number", Kind: KindString, Doc: "Who it is from."},
		Option{Name: "twilio_message_service_sid", Kind: KindString, Doc: "The service that it is from, instead of a number."},
		Option{Name: "twilio_use_copilot", Kind: KindBool, Doc: "Use the service."}),
	oncallOptions, robotOptions, postOptions,
)
