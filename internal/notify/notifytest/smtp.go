package notifytest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The moments of a delivery at which a mail server can fail.
const (
	Hello = "EHLO"
	Auth  = "AUTH"
	From  = "MAIL"
	To    = "RCPT"
	Data  = "DATA"
	// End is after the whole mail was read; without a reply of its own the mail counts as arrived.
	End = "END"
)

// MailFault is how a delivery goes wrong.
type MailFault struct {
	At string
	// Only is, at To, the address that it holds for; "" is any.
	Only string
	// Reply is the answer, such as "451 later".
	Reply string
	// Hang does not answer until the server ends; Cut closes the connection instead of an answer.
	Hang, Cut bool
	// Stays keeps it for the deliveries that follow.
	Stays bool
}

// Mail is what has arrived.
type Mail struct {
	From string
	To   []string
	// Raw is the whole mail, as it was sent.
	Raw []byte
	// Message is what Raw says; its body has been read.
	Message *mail.Message
	Body    string // as it was sent: encoded as the header says
	User    string // who has shown a password
	TLS     bool
}

// MailServer is a mail server. It takes one password: "secret", of whoever.
type MailServer struct {
	// Address is host:port.
	Address string
	// Roots have its certificate.
	Roots *x509.CertPool

	config   *tls.Config
	starttls bool
	listener net.Listener
	done     chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	faults []MailFault
	mails  []Mail
	conns  map[net.Conn]bool
}

// NewMailServer starts a mail server that offers STARTTLS. It ends with the test.
func NewMailServer(t testing.TB) *MailServer { t.Helper(); return startMail(t, true, false) }

// NewPlainMailServer starts one without TLS.
func NewPlainMailServer(t testing.TB) *MailServer { t.Helper(); return startMail(t, false, false) }

// NewSecureMailServer starts one that speaks TLS from the first byte on.
func NewSecureMailServer(t testing.TB) *MailServer { t.Helper(); return startMail(t, false, true) }

func startMail(t testing.TB, starttls, implicit bool) *MailServer {
	t.Helper()
	cert, roots := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &MailServer{Address: l.Addr().String(), Roots: roots, config: &tls.Config{Certificates: []tls.Certificate{cert}}, starttls: starttls, listener: l,
		done: make(chan struct{}), conns: map[net.Conn]bool{}}
	s.running.Go(func() { s.accept(implicit) })
	t.Cleanup(func() {
		close(s.done)
		_ = l.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

// Fail lets deliveries go wrong: each fault once, unless it stays.
func (s *MailServer) Fail(faults ...MailFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Mend takes all faults away.
func (s *MailServer) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Mails returns what has arrived, in order.
func (s *MailServer) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

func (s *MailServer) accept(implicit bool) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			d := &dialogue{server: s, conn: c}
			if implicit {
				d.conn, d.secure = tls.Server(c, s.config), true
			}
			d.run()
		})
	}
}

// fault takes the one that holds now.
func (s *MailServer) fault(at, address string) (MailFault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.At == at && (f.Only == "" || f.Only == address) {
			if !f.Stays {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
			return f, true
		}
	}
	return MailFault{}, false
}

// dialogue is one connection.
type dialogue struct {
	server *MailServer
	conn   net.Conn
	text   *textproto.Conn
	secure bool
	user   string
	from   string
	to     []string
}

func (d *dialogue) say(line string) { _ = d.text.PrintfLine("%s", line) }

// fails carries out a fault, and reports whether there was one and whether the connection has ended by it.
func (d *dialogue) fails(at, address string) (failed, over bool) {
	f, there := d.server.fault(at, address)
	switch {
	case !there:
		return false, false
	case f.Hang:
		<-d.server.done
		return true, true
	case f.Cut:
		return true, true
	}
	d.say(f.Reply)
	return true, false
}

func (d *dialogue) run() {
	d.text = textproto.NewConn(d.conn)
	d.say("220 localhost ESMTP")
	for {
		line, err := d.text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		if d.command(strings.ToUpper(verb), rest) {
			return
		}
	}
}

// command answers one line, and reports whether the connection is over.
func (d *dialogue) command(verb, rest string) (over bool) {
	at := map[string]string{"EHLO": Hello, "HELO": Hello, "AUTH": Auth, "MAIL": From, "RCPT": To, "DATA": Data}[verb]
	address := ""
	if i, j := strings.Index(rest, "<"), strings.Index(rest, ">"); i >= 0 && j > i {
		address = rest[i+1 : j]
	}
	if at != "" {
		if failed, over := d.fails(at, address); failed {
			return over
		}
	}
	switch verb {
	case "EHLO", "HELO":
		d.say("250-localhost")
		if d.server.starttls && !d.secure {
			d.say("250-STARTTLS")
		}
		d.say("250-8BITMIME")
		d.say("250 AUTH PLAIN LOGIN")
	case "STARTTLS":
		d.say("220 go on")
		d.conn, d.secure = tls.Server(d.conn, d.server.config), true
		d.text = textproto.NewConn(d.conn)
	case "AUTH":
		d.auth(rest)
	case "MAIL":
		d.from, d.to = address, nil
		d.say("250 ok")
	case "RCPT":
		d.to = append(d.to, address)
		d.say("250 ok")
	case "DATA":
		return d.data()
	case "RSET", "NOOP":
		d.say("250 ok")
	case "QUIT":
		d.say("221 bye")
		return true
	default:
		d.say("500 what?")
	}
	return false
}

func (d *dialogue) auth(rest string) {
	mechanism, initial, _ := strings.Cut(rest, " ")
	ask := func(prompt string) string {
		d.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)))
		line, _ := d.text.ReadLine()
		b, _ := base64.StdEncoding.DecodeString(line)
		return string(b)
	}
	var user, password string
	if strings.EqualFold(mechanism, "LOGIN") {
		user, password = ask("Username:"), ask("Password:")
	} else {
		b, _ := base64.StdEncoding.DecodeString(initial)
		if parts := strings.Split(string(b), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	}
	if password != "secret" {
		d.say("535 5.7.8 who are you?")
		return
	}
	d.user = user
	d.say("235 welcome")
}

func (d *dialogue) data() (over bool) {
	if len(d.to) == 0 {
		d.say("503 to whom?")
		return false
	}
	d.say("354 go on")
	raw, err := io.ReadAll(d.text.DotReader())
	if err != nil {
		return true
	}
	m := Mail{From: d.from, To: d.to, Raw: raw, User: d.user, TLS: d.secure}
	if m.Message, err = mail.ReadMessage(bufio.NewReader(bytes.NewReader(raw))); err == nil {
		b, _ := io.ReadAll(m.Message.Body)
		m.Body = string(b)
	}
	f, there := d.server.fault(End, "")
	if !there || f.Reply == "" {
		d.server.mu.Lock()
		d.server.mails = append(d.server.mails, m)
		d.server.mu.Unlock()
	}
	switch {
	case !there:
		d.say("250 taken")
	case f.Hang:
		<-d.server.done
		return true
	case f.Cut:
		return true
	default:
		d.say(f.Reply)
	}
	return false
}
