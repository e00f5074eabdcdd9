package notify_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/notify"
)

// scripted is a mail server that reads its answers from a list, whatever it is asked: one for the greeting, and one for each line. {said}
// in an answer is what it was asked, and {nonce} what a client that shows a password without saying it has made up. Behind the last answer
// it hangs or ends the connection.
type scripted struct {
	answers []string
	hangs   bool
	over    chan struct{} // the test has ended
	// taken says that the whole mail was read, and that the answer to it is 250. odd says that an answer was not one whole answer.
	taken, odd bool
	done       chan struct{}
}

func (s *scripted) serve(c net.Conn) {
	defer close(s.done)
	defer c.Close()
	in := bufio.NewReader(c)
	said, mail, nonce := "", false, ""
	for _, answer := range s.answers {
		answer = strings.ReplaceAll(strings.ReplaceAll(answer, "{said}", said), "{nonce}", nonce)
		if n, first, found := strings.Cut(answer, "{base64 "); found {
			text, last, _ := strings.Cut(first, "}")
			answer = n + base64.StdEncoding.EncodeToString([]byte(text)) + last
		}
		one := textproto.NewReader(bufio.NewReader(strings.NewReader(answer)))
		code, _, err := one.ReadResponse(0)
		if _, more := one.R.ReadByte(); err != nil || more == nil {
			s.odd = true
		}
		s.taken = s.taken || mail && code == 250
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
		if mail = strings.EqualFold(said, "DATA") && code == 354; mail {
			if _, err := io.Copy(io.Discard, textproto.NewReader(in).DotReader()); err != nil {
				return
			}
			said = ""
			continue
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		said = strings.TrimSpace(line)
		if b, err := base64.StdEncoding.DecodeString(said); err == nil {
			if _, n, found := strings.Cut(string(b), ",r="); found {
				nonce = n
			}
		}
	}
	if s.hangs {
		<-s.over
	}
}

// mailWords are what must not be seen in an error: the password, and the forms in which it is shown to a server.
func mailWords(user string) []string {
	words := []string{token}
	for _, text := range []string{token, "\x00" + user + "\x00" + token} {
		words = append(words, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return words
}

// FuzzAnyDialogueOfAMailServerIsSentOrAnError holds that whatever a mail server says, and where it stops to speak, the mail is taken as a
// whole, or the error is short, on one line, and without the password in any form; that nobody is made to wait for longer than a server
// may take; and that a server that does not end makes no large answer.
func FuzzAnyDialogueOfAMailServerIsSentOrAnError(f *testing.F) {
	const hello, ok = "220 x\r\n|250-x\r\n250-8BITMIME\r\n250 AUTH ", "|235 ok\r\n|250 ok\r\n|250 ok\r\n|250 ok\r\n|354 go on\r\n"
	for _, how := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "NTLM", "XOAUTH2", "x"} {
		f.Add(hello+how+"\r\n"+ok+"|250 taken\r\n|221 bye\r\n", false)
	}
	login := hello + "LOGIN\r\n|334 {base64 Username:}\r\n|334 {base64 Password:}\r\n"
	f.Add(login+ok+"|250 taken\r\n", false)
	for _, s := range []string{"", "220 x\r\n", "421 later\r\n", "220-x\r\n", "x", "\xff\x00\x1b[2J\r\n", "220 " + strings.Repeat("x", 5000) + "\r\n", "220 x\r\n|250 x\r\n", hello + "PLAIN\r\n|535 no: {said}\r\n", hello + "PLAIN\r\n|no: {said}\r\n", login + "|535 {said}\r\n",
		login + "|334 {base64 " + token + "}\r\n", hello + "SCRAM-SHA-256\r\n|334 \r\n|334 {base64 r={nonce}x,s=AAAA,i=4096}\r\n|334 {base64 v=x}\r\n", hello + "CRAM-MD5\r\n|334 {base64 <1@x>}\r\n|535-{said}\r\n535 \x1b\r\n", login + ok + "|451 busy " + token + "\r\n", login + ok + "|250-x\r\n", login + ok + "|354 more\r\n",
		login + "|235 ok\r\n|250 ok\r\n|550 {said}\r\n|250 ok\r\n|354 go on\r\n|250 taken\r\n", login + "|235 ok\r\n|550-a\r\n550 \u2028\u0085\r\n", strings.Repeat("220-"+strings.Repeat("x", 4000)+"\r\n", 600)} {
		f.Add(s, false)
	}
	f.Add(login+ok, true)
	f.Add(hello+"SCRAM-SHA-256\r\n|334 \r\n|334 {base64 r={nonce}x,s=AAAA,i=2147483647}\r\n|334 {base64 v=x}\r\n", true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	var now atomic.Pointer[scripted]
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			now.Load().serve(c)
		}
	}()
	f.Fuzz(func(t *testing.T, script string, hangs bool) {
		s := &scripted{answers: strings.Split(script, "|"), hangs: hangs, over: make(chan struct{}), done: make(chan struct{})}
		now.Store(s)
		c, err := notify.New(notify.Spec{Name: "ops", Type: "email", URL: "smtp://" + l.Addr().String(), TLS: "none", Private: true, User: "me", Password: token, From: "stint@example.com", To: []string{"a@example.com", "b@example.com"}, Timeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		err = c.Send(t.Context(), message())
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		close(s.over)
		<-s.done
		if took > time.Minute { // of a machine that has much to do
			t.Errorf("it took %s", took)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 16<<20+10*uint64(len(script)) {
			t.Errorf("%d bytes made %d", len(script), made)
		}
		if err == nil {
			if !s.taken && !s.odd {
				t.Error("it counts as sent, and the server has not taken it")
			}
			return
		}
		e, isError := errors.AsType[*notify.Error](err)
		if !isError {
			t.Fatalf("the error is %v", err)
		}
		if s.taken && !s.odd && !e.Unknown && !strings.Contains(err.Error(), "1 of 2 have got it") {
			t.Errorf("the server has taken it, and it is to be sent again: %v", err)
		}
		text := err.Error()
		if text == "" || len(text) > 3000 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%d bytes of error: %.300q", len(text), text)
		}
		for _, secret := range mailWords("me") {
			if strings.Contains(text, secret) {
				t.Errorf("it has %q in it: %q", secret, text)
			}
		}
	})
}

// A server that never comes to an end of what it says is not listened to until the memory is full.
func TestAMailServerThatDoesNotEndIsNotListenedTo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	written := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		n, line := int64(0), bytes.Repeat([]byte("220-"+strings.Repeat("x", 60)+"\r\n"), 1000)
		for n < 1<<30 {
			m, err := c.Write(line)
			if n += int64(m); err != nil {
				break
			}
		}
		written <- n
	}()
	e := refused(t, open(t, notify.Spec{Type: "email", URL: "smtp://" + l.Addr().String(), TLS: "none", From: "a@example.com", To: []string{"b@example.com"}, Timeout: time.Minute}))
	if n := <-written; n > 64<<20 || e.Unknown || !strings.Contains(e.Error(), "says too much") {
		t.Errorf("%d bytes, %v", n, e)
	}
}
