package notify

import (
	"strings"
)

// adaptiveBody is for the workflows that have taken the place of the webhooks of Teams.
func adaptiveBody(s Spec, m Message) any {
	color := map[string]string{"critical": "attention", "error": "attention", "warning": "warning"}[m.Severity]
	if m.Event == Resolved {
		color = "good"
	}
	title := object{"type": "TextBlock", "text": plainMarkdown(cut(m.Subject, 300)), "weight": "bolder", "size": "medium", "wrap": true}
	put(title, "color", color)
	text := object{"type": "TextBlock", "text": plainMarkdown(shorten(strings.TrimRight(m.Text, "\n"), 15_000)), "wrap": true, "fontType": "monospace"}
	for _, x := range []struct {
		block        object
		option, name string
	}{{title, "title", "text"}, {title, "title_size", "size"}, {text, "text_size", "size"}} {
		own, _ := s.text(x.option) // checked when it was opened
		put(x.block, x.name, own)
	}
	body := []object{title, text}
	var facts []object
	for _, f := range s.factsOf("facts", m.first(), true) {
		facts = append(facts, object{"title": f.title, "value": plainMarkdown(f.value)})
	}
	if facts != nil {
		body = append(body, object{"type": "FactSet", "facts": facts})
	}
	content := object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body}
	if full, _ := s.flag("full_width", false); full {
		content["msteams"] = object{"width": "Full"}
	}
	var actions []object
	for _, l := range m.links() {
		actions = append(actions, object{"type": "Action.OpenUrl", "title": l.word, "url": l.address})
	}
	if actions != nil {
		content["actions"] = actions
	}
	return object{"type": "message", "attachments": []object{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": content}}}
}

// cardBody is for the old webhooks of Teams.
func cardBody(s Spec, m Message) any {
	text := shorten(strings.TrimRight(m.Text, "\n"), 15_000)
	if fixed, _ := s.flag("fixed_width", false); fixed {
		text = asCode(text)
	} else {
		text = plainMarkdown(text)
	}
	o := object{"@type": "MessageCard", "@context": "http://schema.org/extensions", "summary": cut(m.Subject, 300), "title": cut(m.Subject, 300),
		"themeColor": severityColor(m)[1:], "text": text}
	summary, _ := s.text("summary")
	put(o, "summary", summary)
	if color, _ := s.text("color"); m.Event != Resolved && m.Event != Acknowledged {
		put(o, "themeColor", strings.TrimPrefix(color, "#"))
	}
	var facts []object
	for _, f := range s.factsOf("facts", m.first(), true) {
		facts = append(facts, object{"name": f.title, "value": plainMarkdown(f.value)})
	}
	if facts != nil {
		o["sections"] = []object{{"facts": facts}}
	}
	var actions []object
	for _, l := range m.links() {
		actions = append(actions, object{"@type": "OpenUri", "name": l.word, "targets": []object{{"os": "default", "uri": l.address}}})
	}
	if actions != nil {
		o["potentialAction"] = actions
	}
	return o
}

// asCode writes each line as code: the old cards know no block of it.
func asCode(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, "```"+strings.ReplaceAll(line, "`", "'")+"```")
		}
	}
	return strings.Join(lines, "\n\n")
}

// plainMarkdown keeps line breaks and characters of a text as they are where Markdown is read.
func plainMarkdown(text string) string {
	return strings.NewReplacer("\n", "\n\n", "*", `\*`, "_", `\_`, "[", `\[`, "`", "\\`", "#", `\#`).Replace(text)
}
