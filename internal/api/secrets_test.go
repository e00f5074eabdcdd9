package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// A job is kept in Redis and shown to every viewer, so it must not carry what opens a database, in whatever way JSON writes that.
func TestAnAddressWithAPasswordIsRefusedInJobsAndSchedulesHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	for text, refused := range map[string]bool{
		`postgres://app:hunter2@db/x`: true, `postgres:\/\/app:hunter2@db\/x`: true, `postgres\u003a//app\u003ahunter2\u0040db/x`: true, `mysql://:hunter2@db/x`: true,
		`postgres://db/x?sslmode=require&password=hunter2`: true, `sqlserver://db?database=x;Password=hunter2`: true, `csv:dir?secret_access_key=hunter2`: true,
		`https://api.example/v1?access_token=hunter2`: true, `https://api.example/v1?api_key=hunter2`: true,
		`postgres://app@db/x`: false, `http://localhost:8080/users/@me`: false, `https://api.example/v1?page=1`: false, `https://api.example/v1?token=`: false, `password=hunter2`: false, `a ? b : c`: false,
	} {
		for what, send := range map[string]func() answered{
			"a spec": func() answered {
				return h.send("POST", s.at("/v1/jobs"), `{"kind":"test","spec":{"source":["`+text+`"]}}`)
			},
			"a label": func() answered {
				return h.send("POST", s.at("/v1/jobs"), `{"kind":"test","spec":{},"labels":{"from":"`+text+`"}}`)
			},
			"a spec of a schedule": func() answered {
				return h.send("PUT", s.at("/v1/schedules/s"), `{"every":"1h","job":{"kind":"test","spec":{"source":["`+text+`"]}}}`)
			},
			"a label of a schedule": func() answered {
				return h.send("PUT", s.at("/v1/schedules/s"), `{"every":"1h","job":{"kind":"test","spec":{},"labels":{"from":"`+text+`"}}}`)
			},
		} {
			got := send()
			if (got.status == http.StatusUnprocessableEntity) != refused || refused && !strings.Contains(string(got.body), "must not be part of a job") {
				t.Errorf("%s in %s: %s", text, what, got)
			}
			if refused && strings.Contains(string(got.body), "hunter2") {
				t.Errorf("%s in %s is repeated: %s", text, what, got)
			}
		}
	}
	if strings.Contains(h.everything(), "=hunter2@") || strings.Contains(h.everything(), ":hunter2") {
		t.Error("Redis has a password")
	}
}

func TestNobodyWritesTheNameOfWhoApprovesIntoASchedule(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(func(o *Options) { o.Families = append(o.Families, &deleter{}) })
	mallory := bearer(h.token(wire.NewToken{Name: "mallory", Role: "operator"}))
	for kind, want := range map[string]string{"test": "", "deletion": "mallory"} {
		body := fmt.Sprintf(`{"every":"1h","job":{"kind":%q,"spec":{},"labels":{"approved_by":"alice","team":"x"}}}`, kind)
		kept := as[wire.Schedule](t, h.send("PUT", s.at("/v1/schedules/"+kind), body, mallory...))
		if kept.Job.Labels["approved_by"] != want || kept.Job.Labels["team"] != "x" {
			t.Errorf("a schedule of the kind %s has the labels %v", kind, kept.Job.Labels)
		}
	}
}

// deleter is a family of the kind deletion that does nothing.
type deleter struct{ other }

func (*deleter) Kind() string { return "deletion" }

// What is known against the servers of HTTP/2 does not hold for this one.
func TestAServerWithTLSOffersHTTP1AloneAndNoOldTLS(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cert, key := certificate(t)
	s := h.start(h.api(), ServerOptions{TLSCert: cert, TLSKey: key})
	c, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p := c.ConnectionState().NegotiatedProtocol; p == "h2" {
		t.Error("it speaks HTTP/2")
	}
	if c, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		_ = c.Close()
		t.Error("it speaks TLS 1.1")
	}
}

// certificate writes one for 127.0.0.1 and its key into files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
