package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
)

// answering is what a process writes when its API listens, as JSON or as text.
var answering = regexp.MustCompile(`the API answers"?,? *"?address"?[:=]"?([0-9.:]+)`)

// address waits until a process serves the API, and returns the URL.
func address(p *rig.Process) (string, error) {
	url := ""
	err := rig.Poll(time.Minute, 5*time.Millisecond, func(context.Context) (bool, error) {
		if m := answering.FindStringSubmatch(p.Log()); m != nil {
			url = "http://" + m[1]
		}
		return url != "" || !p.Running(), nil
	})
	if err == nil && url == "" {
		err = fmt.Errorf("%s has ended:\n%s", p.Name, p.Log())
	}
	return url, err
}

// makeToken has a server make a token in somebody's name, and returns its secret. by is the token of who asks, "" for the first.
func makeToken(ctx context.Context, server, by, role string) (string, error) {
	c, err := client.New(client.Options{Server: server, Token: by})
	if err != nil {
		return "", err
	}
	made, err := c.MakeToken(ctx, wire.NewToken{Name: "a " + role, Role: role})
	if err != nil {
		return "", err
	}
	return made.Secret, nil
}

// server is a process that serves the API, and the flags with which a command uses it.
type server struct {
	*rig.Process
	url   string
	flags []string
}

// serve starts one. token is the file with a token; a server makes it when it is not there.
func serve(t *testing.T, r *rig.Rig, token string) server {
	t.Helper()
	p := r.Start("serve", "--listen", "127.0.0.1:0")
	url, err := address(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.Dir, token)
	if _, err := os.Stat(file); err != nil {
		secret, err := makeToken(t.Context(), url, "", "admin")
		if err == nil {
			err = os.WriteFile(file, []byte(secret+"\n"), 0o600)
		}
		if err != nil {
			t.Fatalf("make a token: %v", err)
		}
	}
	return server{p, url, []string{"--server", url, "--token-file", file}}
}
