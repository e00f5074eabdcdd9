package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The options of chats. What a rule, or the configuration, says in them is written as it is: a mention in it is meant.
var (
	roomOptions       = []string{"icon_emoji", "icon_url"}
	lookOptions       = []string{"title_link", "footer", "footer_icon", "image_url", "thumb_url", "author_name", "author_link", "author_icon", "pretext"}
	mattermostOptions = slices.Concat(roomOptions, lookOptions, []string{"title", "color", "fields"})
	slackOptions      = append(slices.Clone(mattermostOptions), "text")
	rocketchatOptions = append(slices.Clone(roomOptions), "text", "color", "fields")
	discordOptions    = []string{"icon_url", "emoji_title", "color", "footer", "footer_icon"}
	googleChatOptions = []string{"format", "title", "subtitle", "image", "link"}
	adaptiveOptions   = []string{"title", "title_size", "text_size", "full_width", "facts"}
	cardOptions       = []string{"summary", "color", "fixed_width", "facts"}
)

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
		if err := s.textOptions("fields", "facts", "full_width", "fixed_width"); err != nil {
			return nil, err
		}
		for _, option := range []string{"fields", "facts"} {
			if _, err := s.facts(option); err != nil {
				return nil, err
			}
		}
		for _, option := range []string{"full_width", "fixed_width"} {
			if _, err := s.flag(option, false); err != nil {
				return nil, err
			}
		}
		if format, _ := s.text("format"); format != "" && format != "basic" && format != "card" {
			return nil, errors.New("the option format is basic or card")
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
	s.dress(a, m, slackText)
	return s.room(object{"attachments": []object{a}, "unfurl_links": false, "unfurl_media": false})
}

// dress adds to an attachment what options say of its looks. plain takes the meaning out of what comes from an event.
func (s Spec) dress(a object, m Message, plain *strings.Replacer) {
	for _, option := range append([]string{"title"}, lookOptions...) {
		text, _ := s.text(option) // checked when it was opened, as all of them
		put(a, option, text)
	}
	if m.Event != Resolved && m.Event != Acknowledged {
		color, _ := s.text("color")
		put(a, "color", color)
	}
	var fields []object
	for _, f := range s.factsOf("fields", m.first(), false) {
		fields = append(fields, object{"title": f.title, "value": plain.Replace(f.value), "short": f.short})
	}
	if fields != nil {
		a["fields"] = fields
	}
}

// room adds who speaks, and where, to a message in Slack's form.
func (s Spec) room(o object) object {
	if len(s.To) == 1 {
		put(o, "channel", s.To[0])
	}
	put(o, "username", s.From)
	text, _ := s.text("text")
	put(o, "text", text)
	for _, option := range roomOptions {
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
	s.dress(a, m, mentions)
	return s.room(object{"attachments": []object{a}})
}

func rocketchatBody(s Spec, m Message) any {
	a := object{"title": mentions.Replace(cut(m.Subject, 300)), "text": mentions.Replace(m.withLinks(m.Text, 4500, markdownLink)), "color": severityColor(m)}
	put(a, "title_link", m.ViewURL)
	s.dress(a, m, mentions)
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
	hex := severityColor(m)[1:]
	color, _ := strconv.ParseInt(hex, 16, 64)
	if own, _ := s.text("color"); own != "" && m.Event != Resolved && m.Event != Acknowledged {
		if n, err := strconv.ParseInt(own, 0, 32); err == nil {
			color = n
		}
	}
	emoji, _ := s.text("emoji_title")
	e := object{"title": cut(strings.TrimLeft(emoji+" "+m.Subject, " "), 250), "description": m.withLinks(m.Text, 4000, markdownLink), "color": color}
	put(e, "url", m.ViewURL)
	if !m.At.IsZero() {
		e["timestamp"] = m.At.UTC().Format(time.RFC3339)
	}
	below := object{}
	for option, name := range map[string]string{"footer": "text", "footer_icon": "icon_url"} {
		text, _ := s.text(option)
		put(below, name, text)
	}
	if below["text"] != nil { // an icon alone is refused
		e["footer"] = below
	}
	o := object{"embeds": []object{e}, "allowed_mentions": object{"parse": []string{}}}
	put(o, "username", s.From)
	icon, _ := s.text("icon_url")
	put(o, "avatar_url", icon)
	return o
}

func googleChatBody(s Spec, m Message) any {
	if format, _ := s.text("format"); format == "card" {
		return googleCard(s, m)
	}
	text := "*" + strings.ReplaceAll(cut(m.Subject, 300), "*", "·") + "*\n" + angles.Replace(m.Text)
	return object{"text": m.withLinks(text, 4000, func(l link) string { return "<" + l.address + "|" + l.word + ">" })}
}

// googleCard is the form of messages with a header and buttons.
func googleCard(s Spec, m Message) any {
	header := object{"title": cut(angles.Replace(m.Subject), 200)}
	for option, name := range map[string]string{"title": "title", "subtitle": "subtitle", "image": "imageUrl"} {
		text, _ := s.text(option)
		put(header, name, text)
	}
	widgets := []object{{"textParagraph": object{"text": shorten(strings.ReplaceAll(angles.Replace(m.Text), "\n", "<br>"), 10_000)}}}
	links := m.links()
	if own, _ := s.text("link"); own != "" {
		links = append(links, link{"Open", own})
	}
	var buttons []object
	for _, l := range links {
		buttons = append(buttons, object{"text": l.word, "onClick": object{"openLink": object{"url": l.address}}})
	}
	if buttons != nil {
		widgets = append(widgets, object{"buttonList": object{"buttons": buttons}})
	}
	return object{"cardsV2": []object{{"cardId": "alert", "card": object{"header": header, "sections": []object{{"widgets": widgets}}}}}}
}

// angles keeps <users/all> of a log line from being a mention in Google Chat, which knows no escape.
var angles = strings.NewReplacer("<", "‹", ">", "›")
