package redisproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// probeTimeout bounds one question to a server on this machine.
const probeTimeout = 2 * time.Second

// Ping asks a server once whether it is ready. It returns nil when it answers with its data loaded; an error that begins
// with LOADING says that it is on its way there. It leaves out the client library, which logs each refused connection:
// to ask whether somebody listens is no event.
func Ping(ctx context.Context, network, addr, password string) error {
	return ask(ctx, network, addr, password, "+PONG", "PING")
}

// Shutdown asks a server to end, with its append-only file written out. It does not wait for the end. nil means that the
// server heard it.
func Shutdown(ctx context.Context, network, addr, password string) error {
	err := ask(ctx, network, addr, password, "", "SHUTDOWN", "NOSAVE")
	if errors.Is(err, errNoAnswer) {
		return nil // it closes the connection instead of answering
	}
	return err
}

var errNoAnswer = errors.New("the server closed the connection")

// ask sends one command, after the password.
func ask(ctx context.Context, network, addr, password, wanted string, command ...string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	in := bufio.NewReader(conn)
	if password != "" {
		if err := exchange(conn, in, "+OK", "AUTH", password); err != nil {
			return err
		}
	}
	return exchange(conn, in, wanted, command...)
}

func exchange(conn net.Conn, in *bufio.Reader, wanted string, words ...string) error {
	line := fmt.Sprintf("*%d\r\n", len(words))
	for _, w := range words {
		line += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := conn.Write([]byte(line)); err != nil {
		return err
	}
	answer, err := in.ReadString('\n')
	if err != nil {
		return errors.Join(errNoAnswer, err)
	}
	answer = strings.TrimRight(answer, "\r\n")
	if answer != wanted {
		return errors.New(strings.TrimPrefix(answer, "-"))
	}
	return nil
}
