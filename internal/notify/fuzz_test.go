package notify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/notify"
)

// FuzzAnyAnswerOfAReceiverIsTakenOrAnError holds that whatever a receiver of alerts answers, the message is taken or the error is short, on
// one line and without the secret, and that nobody is made to wait for ever.
func FuzzAnyAnswerOfAReceiverIsTakenOrAnError(f *testing.F) {
	for _, seed := range []string{"", "ok", `{"ok":true}`, `{"description":"no ` + token + `","parameters":{"retry_after":5}}`, `{"parameters":{"retry_after":9223372036854775807}}`, `{"parameters":{"retry_after":10000000000}}`, `{"parameters":{"retry_after":-1}}`, `{"errcode":45009,"errmsg":"x"}`, `{"errcode":1}`, `{"code":9499}`, "<html>\x1b[2J" + token, "\xff", "[]", `{"errcode":null}`} {
		for _, status := range []int{200, 302, 400, 429, 500, 503, 504} {
			f.Add(status, "30", seed)
		}
	}
	for _, after := range []string{"", "-1", "NaN", "1e300", "99999999999", "0.5", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 02 Jan 2006 15:04:05 GMT"} {
		f.Add(429, after, "")
	}
	type said struct {
		status      int
		after, body string
	}
	var answer atomic.Pointer[said]
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := answer.Load()
		w.Header()["Retry-After"] = []string{strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1
			}
			return r
		}, a.after)}
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	f.Cleanup(server.Close)
	url := server.URL + "/" + token
	var channels []notify.Channel
	for _, s := range []notify.Spec{{Type: "slack", URL: url}, {Type: "webhook", URL: url}, {Type: "telegram", URL: server.URL, Token: token, To: []string{"-100", "-200"}}, {Type: "pagerduty", URL: server.URL, Token: token},
		{Type: "opsgenie", URL: server.URL, Token: token}, {Type: "sms", URL: server.URL, User: "AC1", Password: token, From: "+1", To: []string{"+2"}}, {Type: "dingtalk", URL: server.URL, Token: token}, {Type: "lark", URL: server.URL, Token: token}, {Type: "workwechat", URL: server.URL, Token: token}} {
		s.Name, s.Private = "ops", true
		c, err := notify.New(s)
		if err != nil {
			f.Fatal(s.Type, err)
		}
		f.Cleanup(func() { _ = c.Close() })
		channels = append(channels, c)
	}
	f.Fuzz(func(t *testing.T, status int, after, body string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		answer.Store(&said{status, after, body})
		for i, c := range channels {
			m := message()
			m.ID = fmt.Sprint(sent.Add(1)) // whom it has told of a message is not told again
			err := c.Send(t.Context(), m)
			var e *notify.Error
			if err == nil {
				if status > 299 {
					t.Errorf("channel %d takes %d for a yes", i, status)
				}
				continue
			}
			if !errors.As(err, &e) {
				t.Errorf("channel %d: the error is %v", i, err)
				continue
			}
			if e.After < 0 || e.After > time.Hour {
				t.Errorf("channel %d is to wait for %s: %v", i, e.After, err)
			}
			if text := err.Error(); text == "" || len(text) > 3000 || !utf8.ValidString(text) || strings.Contains(text, token) || strings.ContainsAny(text, "\x00\x1b\r") {
				t.Errorf("channel %d: %d bytes of error: %.300q", i, len(text), text)
			}
		}
	})
}
