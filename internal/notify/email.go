package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/stint-run/stint/internal/outbound"
)

// mailer sends mail through one server. Each message has a connection of its own.
type mailer struct {
	told
	spec      Spec
	host      string
	port      int
	encrypted bool // from the first byte on
	policy    mail.TLSPolicy
	hello     string
	from      string
	domain    string // of Message-IDs
	// to, cc and bcc are as they were written; receivers are the addresses of all.
	to, cc, bcc, receivers []string
	replyTo                string
	html                   bool
}

func openMail(s Spec) (Channel, error) {
	m := &mailer{spec: s, from: s.From, to: s.To, policy: mail.TLSMandatory}
	if err := m.server(); err != nil {
		return nil, err
	}
	from, err := netmail.ParseAddress(s.From)
	if err != nil {
		return nil, errors.New("from: want an address of mail, such as stint@example.com or Stint <stint@example.com>")
	}
	_, m.domain, _ = strings.Cut(from.Address, "@")
	for option, to := range map[string]*[]string{"cc": &m.cc, "bcc": &m.bcc} {
		if *to, err = s.texts(option); err != nil {
			return nil, err
		}
	}
	if m.replyTo, err = s.text("reply_to"); err != nil {
		return nil, err
	}
	if m.hello, err = s.text("hello"); err != nil {
		return nil, err
	}
	format, err := s.text("format")
	if err != nil || format != "" && format != "html" && format != "text" {
		return nil, errors.New("the option format is text or html")
	}
	m.html = format == "html"
	for _, address := range slices.Concat(m.to, m.cc, m.bcc) {
		a, err := netmail.ParseAddress(address)
		if err != nil {
			return nil, fmt.Errorf("to: %q is no address of mail", address)
		}
		if !slices.Contains(m.receivers, a.Address) {
			m.receivers = append(m.receivers, a.Address)
		}
	}
	if _, err := m.compose(Message{}); err != nil {
		return nil, err
	}
	return m, nil
}

// opportunistic takes TLS where the server has it, as ElastAlert does. Who stands in between can take it away, so it is for alerters of
// rules alone.
const opportunistic = "opportunistic"

// server reads where the server is, and how it is spoken to.
func (m *mailer) server() error {
	u, err := url.Parse(m.spec.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return errors.New("url: want smtp://HOST:587, or smtps://HOST:465")
	}
	if u.User != nil {
		return errors.New("url: has a user in it; write it as user, and its password as password")
	}
	m.host, m.encrypted = u.Hostname(), u.Scheme == "smtps"
	switch m.spec.TLS {
	case "":
	case "starttls":
		m.encrypted = false
	case "tls":
		m.encrypted = true
	case opportunistic:
		m.encrypted, m.policy = false, mail.TLSOpportunistic
	case "none":
		if !m.spec.Private {
			return errors.New("tls: anybody on the way could read the mail: leave it away, or set private: true if the server is in a network of your own")
		}
		m.encrypted, m.policy = false, mail.NoTLS
	default:
		return fmt.Errorf("tls: want starttls, tls or none, got %q", m.spec.TLS)
	}
	m.port = 587
	if m.encrypted {
		m.port = 465
	}
	if text := u.Port(); text != "" {
		if m.port, err = strconv.Atoi(text); err != nil || m.port < 1 || m.port > 65535 {
			return fmt.Errorf("url: %q is no port", text)
		}
	}
	return nil
}

// Keyed is false: the Message-ID is the same, and many a mail program shows such a mail once, but no server promises it.
func (m *mailer) Keyed() bool { return false }

// Close does nothing: no connection is kept.
func (m *mailer) Close() error { return nil }

// Send hands the mail over to the server, for every address that it takes.
func (m *mailer) Send(ctx context.Context, message Message) error {
	ctx, cancel := context.WithTimeout(ctx, m.spec.Timeout)
	defer cancel()
	to := slices.DeleteFunc(slices.Clone(m.receivers), func(a string) bool { return m.has(message.ID, a) })
	if len(to) == 0 {
		return nil
	}
	body, err := m.compose(message)
	if err != nil {
		return &Error{Err: err, Permanent: true}
	}
	s := &session{ctx: ctx, mailer: m}
	defer s.close()
	client, err := s.open()
	if err != nil {
		return m.failed(err, false)
	}
	return s.transact(client, message.ID, to, body)
}

// compose writes the mail. It has the same Message-ID, and the same text, whenever it is sent.
func (m *mailer) compose(message Message) (*mail.Msg, error) {
	id := func(of string) string {
		sum := sha256.Sum256([]byte(m.spec.Name + "\n" + of))
		return hex.EncodeToString(sum[:16]) + "@" + m.domain
	}
	at := message.At
	if at.IsZero() {
		at = time.Now()
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithEncoding(mail.EncodingQP))
	for _, err := range []error{msg.From(m.from), msg.To(m.to...), msg.Cc(m.cc...)} {
		if err != nil {
			return nil, err
		}
	}
	if m.replyTo != "" {
		if err := msg.ReplyTo(m.replyTo); err != nil {
			return nil, fmt.Errorf("the option reply_to: %w", err)
		}
	}
	msg.Subject(strings.Join(strings.Fields(cut(message.Subject, 500)), " "))
	msg.SetMessageIDWithValue(id(message.ID))
	msg.SetGenHeader(mail.HeaderReferences, "<"+id("alert "+message.Alert)+">") // mails of one alert are shown together
	msg.SetDateWithValue(at)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // answers of absence would come back otherwise
	msg.SetGenHeader("X-Stint-Alert", strings.Join(strings.Fields(message.Alert), " "))
	if message.Severity == "critical" && message.Event != Resolved && message.Event != Acknowledged {
		msg.SetImportance(mail.ImportanceHigh)
	}
	if m.html {
		text := message.withLinks(message.Text, 200_000, func(l link) string {
			return `<p><a href="` + html.EscapeString(l.address) + `">` + l.word + "</a></p>"
		})
		msg.SetBodyString(mail.TypeTextHTML, text+"\n")
	} else {
		msg.SetBodyString(mail.TypeTextPlain, message.withLinks(message.Text, 200_000, plainLink)+"\n")
	}
	return msg, nil
}

// session is one connection to the server.
type session struct {
	ctx    context.Context
	mailer *mailer
	conn   net.Conn
	stop   func() bool
}

// open connects, says hello, and shows who we are.
func (s *session) open() (*smtp.Client, error) {
	m := s.mailer
	config := &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12, RootCAs: m.spec.Roots}
	options := []mail.Option{mail.WithPort(m.port), mail.WithTimeout(m.spec.Timeout), mail.WithTLSConfig(config), mail.WithTLSPolicy(m.policy),
		mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := m.spec.dialer().DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn = &bounded{conn, mostOfDialogue}
			s.conn = conn
			s.stop = context.AfterFunc(s.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
			if !m.encrypted {
				return conn, nil
			}
			secure := tls.Client(conn, config)
			return secure, secure.HandshakeContext(ctx)
		})}
	if m.encrypted {
		options = append(options, mail.WithTLSPolicy(mail.NoTLS)) // there is nothing to change over to
	}
	if m.hello != "" {
		options = append(options, mail.WithHELO(m.hello))
	}
	client, err := mail.NewClient(m.host, options...)
	if err != nil {
		return nil, err
	}
	c, err := client.DialToSMTPClientWithContext(s.ctx)
	if err != nil {
		return nil, err
	}
	if m.spec.User != "" {
		if err := m.showPassword(c); err != nil {
			return nil, fmt.Errorf("show the password: %w", err)
		}
	}
	if s.ctx.Err() != nil { // the library has set a deadline of its own since
		return nil, s.ctx.Err()
	}
	return c, nil
}

// close ends the connection, however far it came.
func (s *session) close() {
	if s.conn != nil {
		s.stop()
		_ = s.conn.Close()
	}
}

// transact sends one mail to those addresses that the server takes.
func (s *session) transact(c *smtp.Client, id string, to []string, body *mail.Msg) error {
	m := s.mailer
	sender, err := body.GetSender(false)
	if err != nil {
		return m.failed(err, false)
	}
	if err := c.Mail("<" + strings.Trim(sender, "<>") + ">"); err != nil {
		return m.failed(err, false)
	}
	var failed []failure
	var taken []string
	for _, address := range to {
		err := c.Rcpt("<" + address + ">")
		if _, answered := errors.AsType[*textproto.Error](err); err != nil && !answered {
			return m.failed(err, false)
		} else if err != nil {
			failed = append(failed, failure{address, m.failed(err, false)})
			continue
		}
		taken = append(taken, address)
	}
	if len(taken) == 0 {
		return outcome(len(m.receivers), failed)
	}
	w, err := c.Data()
	if err != nil {
		return m.failed(err, false)
	}
	if _, err := body.WriteTo(w); err != nil { // without the dot at its end it is no mail
		return m.failed(err, false)
	}
	if err := w.Close(); err != nil {
		return m.failed(err, true)
	}
	for _, address := range taken {
		m.add(id, address)
	}
	_ = s.conn.SetDeadline(time.Now().Add(time.Second)) // the mail is theirs; a farewell is not worth waiting for
	_ = c.Quit()
	return outcome(len(m.receivers), failed)
}

// failed is what an error means. ended says that the whole mail had been written.
func (m *mailer) failed(err error, ended bool) *Error {
	plain := func(text string) error {
		return outbound.Reworded(err, cut(printable(hide(strings.ToValidUTF8(text, "?"), m.secrets())), quoteOfAnswer))
	}
	e := &Error{Err: plain(err.Error())}
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		e.Err = plain(fmt.Sprintf("the server answered %d %s", answer.Code, answer.Msg))
		e.Permanent = answer.Code >= 500
		return e
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		e.Err = outbound.Reworded(err, "the server did not answer in time")
	}
	e.Permanent = errors.Is(err, outbound.ErrPrivate)
	e.Unknown = ended
	return e
}
