package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stint-run/stint/config"
)

// FuzzAnyFileIsAConfigurationOrProblems holds that a file, with another one over it, is a configuration or problems that say where they
// are, the same each time, and that no secret is in what people are shown.
func FuzzAnyFileIsAConfigurationOrProblems(f *testing.F) {
	const secret = "zq7hunter2"
	sample, err := os.ReadFile(filepath.Join("..", "docs", "stint.example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample), "")
	for _, seed := range []string{"", "tokens: {A: x}\nworker: {id: '@@A@@-@@@@'}\n", "connections: [{name: a, url: env:ADDRESS, password: env:PW}]\nredis: {url: env:ADDRESS}\n",
		"schedules: [&s {name: a, cron: '* * * * *', job: {kind: x, spec: &p {a: [1, .5, ~, true, *p]}}}, *s]\n", "a: &a [*a]\nworker: &w {concurrency: *a, labels: [a, *w]}\n",
		"alerts: {channels: [{name: a, type: slack, url: env:ADDRESS, token: env:PW, quiet: ['Mo-Fr 22:00-07:00']}]}\n", "webhooks: [{name: a, url: env:ADDRESS, secret: env:PW}]\n",
		"builds: {credentials: [{name: a, password: env:PW}], secrets: [{name: A, value: env:PW}]}\n", "<<: {a: 1}\n? [x]: y\n", "a: 'x\n", "--- {}\n--- {}\n", "api: {listen: 1, listen: 2}\n", "\tx: 1", "artifacts: {url: env:ADDRESS}\n"} {
		f.Add(seed, "")
		f.Add("api: {max_body: 1}\n", seed)
	}
	env := config.Env{"PW=" + secret, "ADDRESS=postgres://u:" + secret + "@h/d?x=" + secret, "STINT_CONNECTIONS_A_PASSWORD=" + secret, "HOME=/home/somebody"}
	f.Fuzz(func(t *testing.T, base, over string) {
		if len(base)+len(over) > 8<<10 && base != string(sample) {
			t.Skip()
		}
		if strings.Contains(base+over, "@@PW") || strings.Contains(base+over, "@@ADDR") || strings.Contains(base+over, "file:") { // a token is shown, and a file is read
			t.Skip()
		}
		files := map[string]string{"stint.yaml": base, "stint.over.yaml": over}
		dir := filepath.Dir(write(t, files))
		o := config.Options{File: filepath.Join(dir, "stint.yaml"), Environment: "over", Env: env}
		c, origins, err := config.Load(o)
		again, _, errAgain := config.Load(o)
		if (c == nil) != (err != nil) || origins == nil || fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(c, again) {
			t.Fatalf("%v and %v, then %v and %v", c, err, again, errAgain)
		}
		shown := fmt.Sprint(err, origins.All(), origins.Warnings())
		var e *config.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("the error is %#v", err)
		}
		if e != nil {
			for _, p := range e.Problems {
				if p.Message == "" || p.Place.File != "" && (p.Place.Line < 1 || p.Place.Column < 1 || p.Place.Line > 1+strings.Count(files[filepath.Base(p.Place.File)], "\n")+strings.Count(files[filepath.Base(p.Place.File)], "\r")) {
					t.Errorf("a problem without a place, or without words: %q", p)
				}
			}
		} else {
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			shown += string(b) + fmt.Sprintf("%+v %#v", *c, *c)
			for _, conn := range c.Connections {
				_ = conn.DSN()
			}
		}
		if strings.Contains(shown, secret) {
			t.Errorf("the secret is shown: %s", shown)
		}
	})
}

// FuzzAnAddressIsShownWithoutItsSecrets holds that neither the password of an address nor the values of its query are shown, and that a
// password of its own takes the place of the one in it.
func FuzzAnAddressIsShownWithoutItsSecrets(f *testing.F) {
	const secret = "zq7hunter2"
	for _, seed := range []string{"postgres://u:%s@h:1/d?a=b", "postgres://h/d?password=%s&sslmode=require", "mysql://u:%s@[::1]:3306/d", "redis://:%s@h:6379/0", "unix://u:%s@/run/x.sock?db=1", "s3://b/p?endpoint=http://u:%s@h&region=x",
		"sqlite:/tmp/x?key=%s", "csv:dir?%s", "file:/x?%s", "https://u:%s@h/%%zz", "http://h/?x=%s#y", "u:%s@h", "//u:%s@h", "sqlserver://u:%s@h/i?database=x", "firebird://u:%s@h:1/C:/x.fdb", "prometheus://h?tls=true&token=%s", "POSTGRES://u:%s@h", " postgres://u:%s@h", "a://b://u:%s@h"} {
		before, after, _ := strings.Cut(strings.ReplaceAll(seed, "%%", "%"), "%s")
		f.Add(before, after)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		u := config.NewURL(before + secret + after)
		shown := fmt.Sprintf("%s %v %+v %#v %q", u, u, u, u, u)
		text, err := u.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		shown += string(text) + u.LogValue().String()
		// Before the first @ and behind the user's colon, or in a query, it is a secret; elsewhere it is a part of the address.
		at := strings.LastIndexByte(before, '/') + 1
		inPassword := strings.HasSuffix(before[:at], "://") && strings.Count(before[:at], "/") == 2 && strings.Contains(before[at:], ":") && !strings.ContainsAny(before[at:], "@/?#[") && !strings.ContainsAny(before[:at], "?#") && strings.HasPrefix(after, "@")
		inQuery := strings.Contains(before, "?") && strings.HasSuffix(before, "=") && !strings.Contains(before, "#") && (after == "" || after[0] == '&') && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(before)), "s3:")
		if (inPassword || inQuery) && strings.Contains(shown, secret) {
			t.Errorf("%q is shown as %s", before+secret+after, shown)
		}
		c := config.Connection{Name: "a", URL: config.NewURL(before + after), Password: config.NewSecret(secret), Schema: "a,\"b"}
		if utf8.ValidString(before+after) && strings.Contains(fmt.Sprintf("%v %+v", c, c), secret) && !strings.Contains(before+after, secret) {
			t.Errorf("%+v", c)
		}
		_ = c.DSN()
	})
}
