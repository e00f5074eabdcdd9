package notify

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

const (
	// mostOfDialogue is how many bytes a mail server may say in all, TLS included.
	mostOfDialogue = 1 << 20
	// mostIterations is how often a server may have the password hashed: nothing ends that before it is done, and a second is plenty.
	mostIterations = 2_000_000
)

var errTalks = errors.New("the server says too much")

// bounded is a connection to somebody who may say only so much.
type bounded struct {
	net.Conn
	left int
}

// Read reads what is still allowed.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTalks
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// showPassword shows who we are, in the first way of ours that the server knows.
func (m *mailer) showPassword(c *smtp.Client) error {
	has, known := c.Extension("AUTH")
	if !has {
		return errors.New("the server takes no password")
	}
	user, password := m.spec.User, m.spec.Password
	state, err := c.GetTLSConnectionState()
	secure := err == nil
	for _, way := range []struct {
		name string
		open func() smtp.Auth
		can  bool
	}{
		{"SCRAM-SHA-256", func() smtp.Auth { return smtp.ScramSHA256Auth(user, password) }, true},
		{"PLAIN", func() smtp.Auth { return smtp.PlainAuth("", user, password, m.host, false) }, true},
		{"LOGIN", func() smtp.Auth { return smtp.LoginAuth(user, password, m.host, false) }, true},
		{"CRAM-MD5", func() smtp.Auth { return smtp.CRAMMD5Auth(user, password) }, true},
		{"SCRAM-SHA-256-PLUS", func() smtp.Auth { return smtp.ScramSHA256PlusAuth(user, password, state) }, secure},
		{"SCRAM-SHA-1-PLUS", func() smtp.Auth { return smtp.ScramSHA1PlusAuth(user, password, state) }, secure},
		{"SCRAM-SHA-1", func() smtp.Auth { return smtp.ScramSHA1Auth(user, password) }, true},
		{"NTLM", func() smtp.Auth { return smtp.NTLMAuth(user, password, "") }, true},
	} {
		if way.can && slices.Contains(strings.Fields(known), way.name) {
			return c.Auth(patient{way.open()})
		}
	}
	return errors.New("the server takes a password in no way that is known here")
}

// patient refuses to hash for as long as a server likes.
type patient struct{ smtp.Auth }

// Next answers what the server asks.
func (p patient) Next(asked []byte, more bool) ([]byte, error) {
	if more && bytes.HasPrefix(asked, []byte("r=")) {
		for part := range bytes.SplitSeq(asked, []byte(",")) {
			text, counts := bytes.CutPrefix(part, []byte("i="))
			if n, err := strconv.Atoi(string(text)); counts && (err != nil || n > mostIterations) {
				return nil, errors.New("the server wants the password hashed too often")
			}
		}
	}
	return p.Auth.Next(asked, more)
}

// secrets are the texts that nobody may see, the password in the forms in which a server is shown it: many a one repeats what it was told.
func (m *mailer) secrets() []string {
	list := m.spec.secrets()
	if password := m.spec.Password; password != "" {
		for _, text := range []string{password, "\x00" + m.spec.User + "\x00" + password} {
			list = append(list, base64.StdEncoding.EncodeToString([]byte(text)))
		}
	}
	return list
}
