package notify

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// cut shortens a text to so many characters, and says that it did.
func cut(text string, most int) string {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)
	keep := max(0, most-1)
	return strings.TrimRight(string(runes[:keep]), " \n") + "…"
}

// shorten is cut for the text of a message: what is missing is said on a line of its own.
func shorten(text string, most int) string {
	n := utf8.RuneCountInString(text)
	if n <= most {
		return text
	}
	note := fmt.Sprintf("\n… %d more characters", n-most)
	keep := most - utf8.RuneCountInString(note) - 4 // the number grows with the note
	if keep <= 0 {
		return cut(text, most)
	}
	return string([]rune(text)[:keep]) + fmt.Sprintf("\n… %d more characters", n-keep)
}

// link is an address with a word for it.
type link struct{ word, address string }

// links are where a person can go from a message.
func (m Message) links() []link {
	var out []link
	if m.AckURL != "" {
		out = append(out, link{"Take it", m.AckURL})
	}
	if m.ViewURL != "" {
		out = append(out, link{"Show it", m.ViewURL})
	}
	return out
}

// withLinks is the text with the links below it, in at most so many characters; the text gives way.
func (m Message) withLinks(text string, most int, write func(link) string) string {
	var lines []string
	for _, l := range m.links() {
		lines = append(lines, write(l))
	}
	below := strings.Join(lines, "\n")
	text = strings.TrimRight(text, "\n")
	if below == "" {
		return shorten(text, most)
	}
	room := most - utf8.RuneCountInString(below) - 2
	return strings.TrimLeft(shorten(text, max(0, room))+"\n\n"+below, "\n")
}

// plainLink writes a link as every mail program and chat understands it.
func plainLink(l link) string { return l.word + ": " + l.address }

// severityColor is that of a message: an alert that is over is green, whatever it was.
func severityColor(m Message) string {
	switch {
	case m.Event == Resolved:
		return "#2eb886"
	case m.Event == Acknowledged:
		return "#439fe0"
	case m.Severity == "critical":
		return "#a30200"
	case m.Severity == "error":
		return "#e01e5a"
	case m.Severity == "warning":
		return "#daa038"
	}
	return "#9e9e9e"
}
