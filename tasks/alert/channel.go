package alert

import (
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/tasks"
)

// ChannelSpec says what an entry of a rule's alert list that describes its receiver itself means as a channel, and whether that wants a
// message again of which it is not known whether it arrived. options are ElastAlert's, secrets among them.
func ChannelSpec(kind string, options map[string]any) (spec notify.Spec, again bool, err error) {
	text := func(name string) string {
		if v, ok := options[name]; ok && v != nil {
			return document.Text(v)
		}
		return ""
	}
	switch kind {
	case "debug":
		return notify.Spec{Type: "debug"}, false, nil
	case "slack":
		return notify.Spec{Type: "slack", URL: text("slack_webhook_url")}, false, nil
	}
	return spec, false, tasks.WithHint(nil, "name a channel of the configuration in alert:", "%s cannot be sent by what a rule says", kind)
}
