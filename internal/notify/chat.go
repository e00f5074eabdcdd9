package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// chatOptions are those of the chats that take Slack's form.
var chatOptions = []string{"icon_emoji", "icon_url"}

// chat is a room that is reached by an address of its own: an incoming webhook. No such chat knows a message again.
type chat struct {
	*poster
	address string
	spec    Spec
	body    func(Spec, Message) any
}

func openChat(body func(Spec, Message) any) func(Spec) (Channel, error) {
	return func(s Spec) (Channel, error) {
		u, err := s.web("")
		if err != nil {
			return nil, err
		}
		if len(s.To) > 1 {
			return nil, errors.New("to: an address leads into one room; make a channel for each")
		}
		for option := range s.Options {
			if _, err := s.text(option); err != nil {
				return nil, err
			}
		}
		return &chat{newPoster(s), u.String(), s, body}, nil
	}
}

// Keyed is false: the same message twice is shown twice.
func (c *chat) Keyed() bool { return false }

// Send posts the message into the room.
func (c *chat) Send(ctx context.Context, m Message) error {
	a, err := c.postJSON(ctx, c.address, nil, c.body(c.spec, m))
	if err != nil {
		return err
	}
	return c.said(a)
}

// teamsError is how the old webhooks of Teams say no: with a yes whose body has the status.
var teamsError = regexp.MustCompile(`HTTP error (\d{3})`)

// said looks at the body of a yes: some chats say no in it.
func (c *chat) said(a answer) error {
	switch c.spec.Type {
	case "ms_teams":
		if found := teamsError.FindSubmatch(a.body); found != nil {
			a.status, _ = strconv.Atoi(string(found[1]))
			return c.refused(a)
		}
	case "rocketchat":
		if bytes.Contains(a.body, []byte(`"success":false`)) {
			return &Error{Err: fmt.Errorf("the receiver refused it%s", c.quote(a.body)), Permanent: true}
		}
	}
	return nil
}

type object = map[string]any

// put sets what there is.
func put(o object, name, value string) {
	if value != "" {
		o[name] = value
	}
}

// slackText takes away the meaning of what Slack reads as its own: a mention in a log line would wake up everybody.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slackBody(s Spec, m Message) any {
	text := m.withLinks(slackText.Replace(shorten(m.Text, 3000)), 8000, func(l link) string { return "<" + l.address + "|" + l.word + ">" })
	a := object{"title": slackText.Replace(cut(m.Subject, 300)), "text": text, "color": severityColor(m), "fallback": slackText.Replace(cut(m.Subject, 300)), "mrkdwn_in": []string{}}
	put(a, "title_link", m.ViewURL)
	return s.room(object{"attachments": []object{a}, "unfurl_links": false, "unfurl_media": false})
}

// room adds who speaks, and where, to a message in Slack's form.
func (s Spec) room(o object) object {
	if len(s.To) == 1 {
		put(o, "channel", s.To[0])
	}
	put(o, "username", s.From)
	for _, option := range chatOptions {
		text, _ := s.text(option) // checked when it was opened
		put(o, option, text)
	}
	return o
}

// mentions are what wakes up a room in chats that read it in plain text; a character without width takes the meaning away.
var mentions = strings.NewReplacer("@all", "@\u200ball", "@here", "@\u200bhere", "@channel", "@\u200bchannel", "@everyone", "@\u200beveryone")

func markdownLink(l link) string { return "[" + l.word + "](" + l.address + ")" }

func mattermostBody(s Spec, m Message) any {
	text := mentions.Replace(m.withLinks(m.Text, 7000, markdownLink))
	a := object{"title": mentions.Replace(cut(m.Subject, 300)), "text": text, "color": severityColor(m), "fallback": mentions.Replace(cut(m.Subject, 300))}
	put(a, "title_link", m.ViewURL)
	return s.room(object{"attachments": []object{a}})
}

func rocketchatBody(s Spec, m Message) any {
	a := object{"title": mentions.Replace(cut(m.Subject, 300)), "text": mentions.Replace(m.withLinks(m.Text, 4500, markdownLink)), "color": severityColor(m)}
	put(a, "title_link", m.ViewURL)
	o := s.room(object{"attachments": []object{a}})
	for slack, rocket := range map[string]string{"username": "alias", "icon_emoji": "emoji", "icon_url": "avatar"} {
		if v, ok := o[slack]; ok {
			delete(o, slack)
			o[rocket] = v
		}
	}
	return o
}

func discordBody(s Spec, m Message) any {
	color, _ := strconv.ParseInt(severityColor(m)[1:], 16, 64)
	e := object{"title": cut(m.Subject, 250), "description": m.withLinks(m.Text, 4000, markdownLink), "color": color}
	put(e, "url", m.ViewURL)
	if !m.At.IsZero() {
		e["timestamp"] = m.At.UTC().Format(time.RFC3339)
	}
	o := object{"embeds": []object{e}, "allowed_mentions": object{"parse": []string{}}}
	put(o, "username", s.From)
	icon, _ := s.text("icon_url")
	put(o, "avatar_url", icon)
	return o
}

func googleChatBody(_ Spec, m Message) any {
	text := "*" + strings.ReplaceAll(cut(m.Subject, 300), "*", "·") + "*\n" + angles.Replace(m.Text)
	return object{"text": m.withLinks(text, 4000, func(l link) string { return "<" + l.address + "|" + l.word + ">" })}
}

// angles keeps <users/all> of a log line from being a mention in Google Chat, which knows no escape.
var angles = strings.NewReplacer("<", "‹", ">", "›")

// adaptiveBody is for the workflows that have taken the place of the webhooks of Teams.
func adaptiveBody(_ Spec, m Message) any {
	color := map[string]string{"critical": "attention", "error": "attention", "warning": "warning"}[m.Severity]
	if m.Event == Resolved {
		color = "good"
	}
	title := object{"type": "TextBlock", "text": plainMarkdown(cut(m.Subject, 300)), "weight": "bolder", "size": "medium", "wrap": true}
	put(title, "color", color)
	content := object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": []object{title, {"type": "TextBlock", "text": plainMarkdown(shorten(strings.TrimRight(m.Text, "\n"), 15_000)), "wrap": true, "fontType": "monospace"}}}
	var actions []object
	for _, l := range m.links() {
		actions = append(actions, object{"type": "Action.OpenUrl", "title": l.word, "url": l.address})
	}
	if actions != nil {
		content["actions"] = actions
	}
	return object{"type": "message", "attachments": []object{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": content}}}
}

// plainMarkdown keeps line breaks and characters of a text as they are where Markdown is read.
func plainMarkdown(text string) string {
	return strings.NewReplacer("\n", "\n\n", "*", `\*`, "_", `\_`, "[", `\[`, "`", "\\`", "#", `\#`).Replace(text)
}

// cardBody is for the old webhooks of Teams.
func cardBody(_ Spec, m Message) any {
	o := object{"@type": "MessageCard", "@context": "http://schema.org/extensions", "summary": cut(m.Subject, 300), "title": cut(m.Subject, 300),
		"themeColor": severityColor(m)[1:], "text": plainMarkdown(shorten(strings.TrimRight(m.Text, "\n"), 15_000))}
	var actions []object
	for _, l := range m.links() {
		actions = append(actions, object{"@type": "OpenUri", "name": l.word, "targets": []object{{"os": "default", "uri": l.address}}})
	}
	if actions != nil {
		o["potentialAction"] = actions
	}
	return o
}
