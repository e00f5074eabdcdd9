package notify_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/notify/notifytest"
)

func mailSpec(s *notifytest.MailServer) notify.Spec {
	return notify.Spec{Name: "mail", Type: "email", URL: "smtp://" + s.Address, From: "Stint <stint@example.com>", To: []string{"a@example.com", "Bob <b@example.com>"}, Roots: s.Roots,
		Timeout: 2 * time.Second}
}

func TestMailIsTheSameHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	s := notifytest.NewMailServer(t)
	spec := mailSpec(s)
	spec.User, spec.Password, spec.Options = "me", "secret", map[string]any{"cc": "c@example.com", "bcc": []any{"d@example.com"}, "reply_to": "ops@example.com"}
	m := message()
	m.Text += "Ümlaut, and a line that is longer than the 76 characters that quoted-printable allows in one line of mail\n.\n"
	send(t, open(t, spec), m)
	ch := open(t, spec) // another process
	send(t, ch, m)
	resolved := m
	resolved.ID, resolved.Event, resolved.Subject = "other", notify.Resolved, "Düster"
	send(t, ch, resolved)
	mails := s.Mails()
	if len(mails) != 3 || !bytes.Equal(mails[0].Raw, mails[1].Raw) {
		t.Fatalf("%d mails:\n%s\n%s", len(mails), mails[0].Raw, mails[1].Raw)
	}
	got := mails[0]
	h := got.Message.Header
	if !got.TLS || got.User != "me" || got.From != "stint@example.com" || strings.Join(got.To, " ") != "a@example.com b@example.com c@example.com d@example.com" {
		t.Errorf("%+v", got)
	}
	if h.Get("Subject") != m.Subject || h.Get("Date") != "Thu, 26 Nov 2026 08:00:00 +0000" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("Importance") != "high" ||
		!strings.HasSuffix(h.Get("Message-Id"), "@example.com>") || h.Get("To") != `<a@example.com>, "Bob" <b@example.com>` || h.Get("Reply-To") != "<ops@example.com>" || bytes.Contains(got.Raw, []byte("d@example.com")) {
		t.Errorf("%s", got.Raw)
	}
	if !strings.Contains(got.Body, "p99 & p50") || !strings.Contains(got.Body, "=C3=9Cmlaut") || !strings.Contains(got.Body, "Take it: https://stint.example.com/a/x?t=3D1") {
		t.Errorf("%s", got.Body)
	}
	if other := mails[2].Message.Header; other.Get("Message-Id") == h.Get("Message-Id") || other.Get("References") != h.Get("References") || other.Get("Importance") == "high" {
		t.Errorf("%v", other)
	}
	spec.Options = map[string]any{"format": "html"}
	send(t, open(t, spec), m)
	if last := s.Mails()[3]; last.Message.Header.Get("Content-Type") != "text/html; charset=UTF-8" || !strings.Contains(last.Body, `<p><a href=3D"https://stint.example.com/a/x?t=3D1">Take it</a></p>`) {
		t.Errorf("%s", last.Raw)
	}
	if ch.Keyed() {
		t.Error("no mail server promises to know a mail again")
	}
}

func TestMailSpeaksTLSInEachOfItsWays(t *testing.T) {
	t.Parallel()
	secure, plain := notifytest.NewSecureMailServer(t), notifytest.NewPlainMailServer(t)
	spec := mailSpec(secure)
	spec.URL, spec.User, spec.Password = "smtps://"+secure.Address, "me", "secret"
	send(t, open(t, spec), message())
	if m := secure.Mails()[0]; !m.TLS || m.User != "me" {
		t.Errorf("%+v", m)
	}
	spec = mailSpec(plain)
	if e := refused(t, open(t, spec)); e.Unknown || len(plain.Mails()) > 0 {
		t.Errorf("without STARTTLS it was sent: %+v", e)
	}
	spec.TLS = "none"
	send(t, open(t, spec), message())
	if m := plain.Mails()[0]; m.TLS {
		t.Errorf("%+v", m)
	}
	starttls := notifytest.NewMailServer(t)
	spec = mailSpec(starttls)
	spec.Roots = secure.Roots
	if e := refused(t, open(t, spec)); e.Unknown || !strings.Contains(e.Error(), "certificate") || len(starttls.Mails()) > 0 {
		t.Errorf("a stranger's certificate: %v", e)
	}
	spec = mailSpec(starttls)
	spec.Private = false
	ch, err := notify.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	if e := refused(t, ch); !e.Permanent || !strings.Contains(e.Error(), "private: true") {
		t.Errorf("%v", e)
	}
}

func TestWhatAMailServerSaysDecidesWhatHappensNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults             []notifytest.MailFault
		permanent, unknown bool
		text               string
		mails              int // after another try
		to                 string
	}{
		"password":   {faults: []notifytest.MailFault{{At: notifytest.Auth, Reply: "535 5.7.8 no, " + token}}, permanent: true, text: "the server answered 535 5.7.8 no, [redacted]", mails: 1},
		"greeting":   {faults: []notifytest.MailFault{{At: notifytest.Hello, Reply: "421 later"}, {At: notifytest.Hello, Reply: "421 later"}}, text: "421", mails: 1},
		"sender":     {faults: []notifytest.MailFault{{At: notifytest.From, Reply: "451 later"}}, text: "451 later", mails: 1},
		"no":         {faults: []notifytest.MailFault{{At: notifytest.From, Reply: "550 not you"}}, permanent: true, text: "550 not you", mails: 1},
		"nobody":     {faults: []notifytest.MailFault{{At: notifytest.To, Reply: "550 who?"}, {At: notifytest.To, Reply: "550 who?"}}, permanent: true, text: "a@example.com: the server answered 550 who?; b@", mails: 1},
		"one of two": {faults: []notifytest.MailFault{{At: notifytest.To, Only: "a@example.com", Reply: "550 who?"}}, permanent: true, text: "1 of 2 have got it; a@example.com: ", mails: 2, to: "a@example.com"},
		"one later":  {faults: []notifytest.MailFault{{At: notifytest.To, Only: "b@example.com", Reply: "450 grey"}}, unknown: true, text: "1 of 2 have got it; b@example.com: ", mails: 2, to: "b@example.com"},
		"full":       {faults: []notifytest.MailFault{{At: notifytest.Data, Reply: "452 full"}}, text: "452 full", mails: 1},
		"spam":       {faults: []notifytest.MailFault{{At: notifytest.End, Reply: "554 spam"}}, permanent: true, text: "554 spam", mails: 1},
		"busy":       {faults: []notifytest.MailFault{{At: notifytest.End, Reply: "451 busy"}}, text: "451 busy", mails: 1},
		"silent":     {faults: []notifytest.MailFault{{At: notifytest.End, Hang: true}}, unknown: true, text: "did not answer in time", mails: 2},
		"cut":        {faults: []notifytest.MailFault{{At: notifytest.End, Cut: true}}, unknown: true, mails: 2},
		"cut before": {faults: []notifytest.MailFault{{At: notifytest.Data, Cut: true}}, mails: 1},
		"hangs":      {faults: []notifytest.MailFault{{At: notifytest.Data, Hang: true}}, text: "did not answer in time", mails: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := notifytest.NewMailServer(t)
			s.Fail(c.faults...)
			spec := mailSpec(s)
			spec.User, spec.Password, spec.Token = "me", "secret", token
			if name == "silent" || name == "hangs" {
				spec.Timeout = 500 * time.Millisecond
			}
			ch := open(t, spec)
			e := refused(t, ch)
			if e.Permanent != c.permanent || e.Unknown != c.unknown || !strings.Contains(e.Error(), c.text) {
				t.Errorf("%+v: %v", e, e)
			}
			send(t, ch, message())
			mails := s.Mails()
			if len(mails) != c.mails || c.to != "" && strings.Join(mails[1].To, " ") != c.to {
				t.Errorf("%d mails, want %d: %+v", len(mails), c.mails, mails)
			}
		})
	}
}
