package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// robot posts into a room through an address that has a key in it, and that says no with a yes whose body has a number. No such room
// knows a message again.
type robot struct {
	*poster
	spec    Spec
	address *url.URL
	kind    robotKind
}

// robotKind is what the rooms of one service are like.
type robotKind struct {
	service string
	// place puts the key into the address of the service.
	place func(u *url.URL, key string) *url.URL
	// forms are the ways in which it can be told, the first when nothing is said.
	forms []string
	// number is the name of what is 0 in the body of a yes; "" is none.
	number string
	body   func(Spec, Message, string) (any, error)
}

var (
	dingtalk   = robotKind{"https://oapi.dingtalk.com", inQuery("robot/send", "access_token"), []string{"text", "markdown", "single_action_card", "action_card"}, "errcode", dingtalkBody}
	workwechat = robotKind{"https://qyapi.weixin.qq.com", inQuery("cgi-bin/webhook/send", "key"), []string{"text", "markdown"}, "errcode", workwechatBody}
	lark       = robotKind{"https://open.feishu.cn", inPath("open-apis/bot/v2/hook"), []string{"text"}, "code", larkBody}
	webex      = robotKind{"https://webexapis.com", inPath("v1/webhooks/incoming"), []string{"text", "markdown"}, "", webexBody}
)

// key is what a service gives out; it becomes a part of an address.
var robotKey = regexp.MustCompile(`^[0-9A-Za-z_.=-]+$`)

func inPath(path string) func(*url.URL, string) *url.URL {
	return func(u *url.URL, key string) *url.URL { return u.JoinPath(path, key) }
}

func inQuery(path, name string) func(*url.URL, string) *url.URL {
	return func(u *url.URL, key string) *url.URL {
		u = u.JoinPath(path)
		u.RawQuery = url.Values{name: {key}}.Encode()
		return u
	}
}

func openRobot(kind robotKind) func(Spec) (Channel, error) {
	return func(s Spec) (Channel, error) {
		u, err := s.web(kind.service)
		if err != nil {
			return nil, err
		}
		if !robotKey.MatchString(s.Token) {
			return nil, errors.New("token: want the key from the end of the address that the service gave")
		}
		if err := s.textOptions("buttons"); err != nil {
			return nil, err
		}
		if form, _ := s.text("format"); form != "" && !slices.Contains(kind.forms, form) {
			return nil, fmt.Errorf("the option format is %s", strings.Join(kind.forms, ", "))
		}
		if _, err := kind.body(s, Message{}, s.form(kind)); err != nil {
			return nil, err
		}
		return &robot{newPoster(s), s, kind.place(u, s.Token), kind}, nil
	}
}

// form is how the room is told.
func (s Spec) form(kind robotKind) string {
	form, _ := s.text("format") // checked when it was opened
	if form == "" {
		form = kind.forms[0]
	}
	return form
}

// Keyed is false: the same message twice is shown twice.
func (r *robot) Keyed() bool { return false }

// Send posts the message into the room.
func (r *robot) Send(ctx context.Context, m Message) error {
	body, err := r.kind.body(r.spec, m, r.spec.form(r.kind))
	if err != nil {
		return &Error{Err: err, Permanent: true}
	}
	address := *r.address
	if r.spec.Type == "dingtalk" && r.spec.Password != "" {
		q := address.Query()
		at := strconv.FormatInt(time.Now().UnixMilli(), 10)
		q.Set("timestamp", at)
		q.Set("sign", dingtalkSign(r.spec.Password, at))
		address.RawQuery = q.Encode()
	}
	a, err := r.postJSON(ctx, address.String(), nil, body)
	if err != nil || r.kind.number == "" {
		return err
	}
	var said map[string]json.RawMessage
	if json.Unmarshal(a.body, &said) != nil {
		return nil
	}
	switch code := string(said[r.kind.number]); {
	case code == "" || code == "0":
		return nil
	case slices.Contains(busy, code):
		return &Error{Err: fmt.Errorf("the receiver refused it%s", r.quote(a.body)), After: time.Minute}
	default:
		return &Error{Err: fmt.Errorf("the receiver refused it%s", r.quote(a.body)), Permanent: true}
	}
}

// busy are the numbers that mean "too many": of WeCom, DingTalk, and Lark.
var busy = []string{"45009", "-1", "130101", "410100", "660026", "11232", "9499"}

func dingtalkSign(secret, at string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "\n" + secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// whole is subject, text and links as one text.
func whole(m Message, most int, write func(link) string) string {
	return m.withLinks(strings.TrimRight(cut(m.Subject, 300)+"\n\n"+m.Text, "\n"), most, write)
}

func dingtalkBody(s Spec, m Message, form string) (any, error) {
	// Mentions are by telephone numbers that a message lists apart, so none in a text means anything.
	text := whole(m, 5000, markdownLink)
	title := cut(orRule(m), 100)
	single, _ := s.text("single_title")
	address, _ := s.text("single_url")
	switch form {
	case "markdown":
		return object{"msgtype": "markdown", "markdown": object{"title": title, "text": lines(text)}}, nil
	case "single_action_card":
		if address == "" {
			return nil, errors.New("the option single_url is missing: single_action_card leads to it")
		}
		if single == "" {
			single = "elastalert"
		}
		return object{"msgtype": "actionCard", "actionCard": object{"title": title, "text": lines(text), "singleTitle": single, "singleURL": address}}, nil
	case "action_card":
		card := object{"title": title, "text": lines(text)}
		orientation, _ := s.text("orientation")
		put(card, "btnOrientation", orientation)
		if buttons, ok := s.Options["buttons"].([]any); ok {
			card["btns"] = buttons
		} else if s.Options["buttons"] != nil {
			return nil, errors.New("the option buttons wants a list of {title, actionURL}")
		}
		return object{"msgtype": "actionCard", "actionCard": card}, nil
	}
	return object{"msgtype": "text", "text": object{"content": whole(m, 5000, plainLink)}}, nil
}

// lines keeps the line breaks of a text where Markdown is read.
func lines(text string) string { return strings.ReplaceAll(text, "\n", "  \n") }

// workwechatBody has room for 2048 bytes, and in Markdown for 4096; a character has three of them.
func workwechatBody(_ Spec, m Message, form string) (any, error) {
	if form == "markdown" {
		return object{"msgtype": "markdown", "markdown": object{"content": whole(m, 1300, markdownLink)}}, nil
	}
	return object{"msgtype": "text", "text": object{"content": whole(m, 680, plainLink)}}, nil
}

// larkBody takes the meaning out of <at ...>, which wakes up a room.
func larkBody(_ Spec, m Message, _ string) (any, error) {
	m.Subject, m.Text = angles.Replace(m.Subject), angles.Replace(m.Text)
	return object{"msg_type": "text", "content": object{"text": whole(m, 8000, plainLink)}}, nil
}

// webexBody has room for 7439 bytes.
func webexBody(_ Spec, m Message, form string) (any, error) {
	m.Subject, m.Text = angles.Replace(m.Subject), angles.Replace(m.Text)
	if form == "markdown" {
		return object{"markdown": lines(whole(m, 2300, markdownLink))}, nil
	}
	return object{"text": whole(m, 2400, plainLink)}, nil
}

// hookshotBody is for rooms of Matrix that Hookshot connects.
func hookshotBody(s Spec, m Message) any {
	o := object{"text": whole(m, 8000, markdownLink)}
	put(o, "username", s.From)
	for _, option := range []string{"text", "html"} {
		own, _ := s.text(option) // checked when it was opened
		put(o, option, own)
	}
	return o
}

// chatwork speaks into rooms by the API of that name, with a token of its own.
type chatwork struct {
	*poster
	told
	base  *url.URL
	token string
	to    []string
}

const chatworkService = "https://api.chatwork.com"

var digits = regexp.MustCompile(`^[0-9]+$`)

func openChatwork(s Spec) (Channel, error) {
	u, err := s.web(chatworkService)
	if err != nil {
		return nil, err
	}
	for _, room := range s.To {
		if !digits.MatchString(room) {
			return nil, fmt.Errorf("to: %q is no number of a room", room)
		}
	}
	return &chatwork{poster: newPoster(s), base: u, token: s.Token, to: s.To}, nil
}

// Keyed is false: the same message twice is shown twice.
func (c *chatwork) Keyed() bool { return false }

// brackets keeps [toall] of a log line from being a mention in Chatwork, which knows no escape.
var brackets = strings.NewReplacer("[", "［", "]", "］")

// Send writes the message into each room.
func (c *chatwork) Send(ctx context.Context, m Message) error {
	m.Subject, m.Text = brackets.Replace(m.Subject), brackets.Replace(m.Text)
	form := url.Values{"body": {whole(m, 5000, plainLink)}, "self_unread": {"0"}}
	header := http.Header{"X-Chatworktoken": {c.token}}
	return c.each(m.ID, c.to, func(room string) error {
		_, err := c.post(ctx, c.base.JoinPath("v2", "rooms", room, "messages").String(), "application/x-www-form-urlencoded", header, []byte(form.Encode()))
		return err
	})
}
