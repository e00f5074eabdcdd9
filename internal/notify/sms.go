package notify

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// smsService is Twilio's.
const smsService = "https://api.twilio.com"

// sms sends text messages as Twilio's API has it, which others have too.
type sms struct {
	*poster
	told
	address        string
	user, password string
	from, service  string
	to             []string
	segments       int
}

func openSMS(s Spec) (Channel, error) {
	u, err := s.web(smsService)
	if err != nil {
		return nil, err
	}
	account, err := s.text("account")
	if err != nil {
		return nil, err
	}
	if account == "" {
		account = s.User
	}
	c := &sms{poster: newPoster(s), user: s.User, password: s.Password, from: s.From, to: s.To, segments: 2,
		address: u.JoinPath("2010-04-01", "Accounts", url.PathEscape(account), "Messages.json").String()}
	if c.service, err = s.text("service"); err != nil {
		return nil, err
	}
	if c.from == "" && c.service == "" {
		return nil, errors.New("sms needs from, or the option service")
	}
	segments, err := s.text("segments")
	if err != nil {
		return nil, err
	}
	if segments != "" {
		if c.segments, err = strconv.Atoi(segments); err != nil || c.segments < 1 || c.segments > 3 {
			return nil, errors.New("the option segments is 1, 2 or 3")
		}
	}
	return c, nil
}

// Keyed is false: Twilio sends the same message twice. The Idempotency-Key is for those who have its API and do better.
func (c *sms) Keyed() bool { return false }

// Send sends the message to each number.
func (c *sms) Send(ctx context.Context, m Message) error {
	body := smsText(m, c.segments)
	return c.each(m.ID, c.to, func(number string) error {
		form := url.Values{"To": {number}, "Body": {body}}
		if c.service != "" {
			form.Set("MessagingServiceSid", c.service)
		} else {
			form.Set("From", c.from)
		}
		header := basic(c.user, c.password)
		header.Set("Idempotency-Key", m.ID+"/"+number)
		_, err := c.post(ctx, c.address, "application/x-www-form-urlencoded", header, []byte(form.Encode()))
		return err
	})
}

// smsText is the subject, as much of the text as there is room for, and the link to take the alert.
func smsText(m Message, segments int) string {
	tail := ""
	if m.AckURL != "" {
		tail = "\n" + m.AckURL
	}
	head := strings.Join(strings.Fields(m.Subject), " ")
	if text := strings.Join(strings.Fields(m.Text), " "); text != "" && !strings.HasPrefix(text, head) {
		head += ": " + text
	} else if text != "" {
		head = text
	}
	whole := []rune(head)
	for keep := whole[:min(len(whole), segments*smsMost)]; ; keep = keep[:len(keep)-1] {
		body := string(keep)
		if len(keep) < len(whole) {
			body = strings.TrimRight(body, " ") + "..."
		}
		if len(keep) == 0 || smsSegments(body+tail) <= segments {
			return body + tail
		}
	}
}

// gsm are the characters of the alphabet of text messages, and gsmTwice those that count twice in it. One that is in neither makes the
// whole message UCS-2, which has room for less than half as much.
const (
	gsm      = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmTwice = "^{}\\[~]|€\f"
)

// smsMost is what one message can hold.
const smsMost = 160

// smsSegments is how many messages a text is sent as.
func smsSegments(text string) int {
	n, one, part := 0, 160, 153
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsm, r):
			n++
		case strings.ContainsRune(gsmTwice, r):
			n += 2
		default:
			n, one, part = 0, 70, 67
			for _, r := range text {
				n++
				if r > 0xffff {
					n++
				}
			}
		}
		if one == 70 {
			break
		}
	}
	if n <= one {
		return 1
	}
	return (n + part - 1) / part
}
