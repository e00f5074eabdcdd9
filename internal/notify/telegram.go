package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// telegramService is the public one.
const telegramService = "https://api.telegram.org"

// telegram speaks as a bot into chats.
type telegram struct {
	*poster
	told
	address string
	to      []string
	thread  int
	mode    string // parse_mode; "" is plain text
}

// telegramModes are how Telegram can be made to read a text.
var telegramModes = map[string]string{"": "", "markdown": "Markdown", "markdownV2": "MarkdownV2", "html": "HTML"}

var botToken = regexp.MustCompile(`^[0-9A-Za-z:_-]+$`)

func openTelegram(s Spec) (Channel, error) {
	u, err := s.web(telegramService)
	if err != nil {
		return nil, err
	}
	if !botToken.MatchString(s.Token) {
		return nil, errors.New("token: want the one that BotFather gave: digits, a colon, letters")
	}
	t := &telegram{poster: newPoster(s), address: u.JoinPath("bot"+s.Token, "sendMessage").String(), to: s.To}
	mode, err := s.text("parse_mode")
	if err != nil {
		return nil, err
	}
	known := false
	if t.mode, known = telegramModes[mode]; !known {
		return nil, errors.New("the option parse_mode is markdown, markdownV2 or html")
	}
	thread, err := s.text("thread")
	if err != nil {
		return nil, err
	}
	if thread != "" {
		if t.thread, err = strconv.Atoi(thread); err != nil {
			return nil, errors.New("the option thread is no number")
		}
	}
	return t, nil
}

// Keyed is false: Telegram shows the same message twice.
func (t *telegram) Keyed() bool { return false }

// Send sends the message to each chat.
func (t *telegram) Send(ctx context.Context, m Message) error {
	text := m.withLinks(cut(m.Subject, 300)+"\n\n"+m.Text, 2000, plainLink) // of 4096, which it counts as UTF-16 does
	return t.each(m.ID, t.to, func(chat string) error {
		o := object{"chat_id": chat, "text": text, "link_preview_options": object{"is_disabled": true}} // a preview would open the link
		if t.thread != 0 {
			o["message_thread_id"] = t.thread
		}
		if t.mode != "" {
			o["parse_mode"] = t.mode
		}
		a, err := t.postJSON(ctx, t.address, nil, o)
		if a.status == http.StatusBadRequest && bytes.Contains(a.body, []byte("parse entities")) { // a log line that is no Markdown
			delete(o, "parse_mode")
			a, err = t.postJSON(ctx, t.address, nil, o)
		}
		if e, is := errors.AsType[*Error](err); is && a.status != 0 {
			return t.explain(a, e)
		}
		return err
	})
}

// explain takes what Telegram says beside the status.
func (t *telegram) explain(a answer, e *Error) error {
	var said struct {
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	if json.Unmarshal(a.body, &said) != nil {
		return e
	}
	if said.Description != "" {
		e.Err = fmt.Errorf("the receiver answered %d%s", a.status, t.quote([]byte(said.Description)))
	}
	if said.Parameters.RetryAfter > 0 {
		e.After = time.Duration(min(said.Parameters.RetryAfter, int(mostPatience/time.Second))) * time.Second
	}
	return e
}
