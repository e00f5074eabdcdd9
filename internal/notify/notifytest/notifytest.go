// Package notifytest is what channels send to in tests: a receiver of HTTP requests and a mail server, over real connections, which note
// what has arrived and fail as they are told to.
package notifytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Fault is how one request goes wrong. The zero value does not.
type Fault struct {
	// Status is the answer; 0 is 200.
	Status int
	Header http.Header
	Body   string
	// Hang does not answer until the client goes away; Cut closes the connection instead of an answer. The request has arrived.
	Hang, Cut bool
}

// Request is what has arrived.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         []byte
	// Key is by which a receiver knows a message again: the Idempotency-Key, dedup_key or alias, whatever there is; else the body.
	Key string
	// Status is what was answered; 0 where nothing was.
	Status int
}

// JSON returns the body's fields.
func (r Request) JSON() map[string]any {
	var o map[string]any
	_ = json.Unmarshal(r.Body, &o)
	return o
}

// Inbox is a receiver of HTTP requests. It may be used by many at the same time.
type Inbox struct {
	// URL is its address, without a path.
	URL string
	// Roots have its certificate, where it has TLS.
	Roots *x509.CertPool

	mu       sync.Mutex
	faults   []Fault
	requests []Request
	arrived  chan struct{} // closed, and made anew, with each request
	gone     chan struct{}
}

// NewInbox starts a receiver that speaks plain HTTP. It ends with the test.
func NewInbox(t testing.TB) *Inbox {
	t.Helper()
	in := &Inbox{}
	s := in.server(t)
	s.Start()
	in.URL = s.URL
	return in
}

// NewSecureInbox starts one that speaks HTTPS.
func NewSecureInbox(t testing.TB) *Inbox {
	t.Helper()
	in := &Inbox{}
	s := in.server(t)
	s.StartTLS()
	in.URL = s.URL
	in.Roots = x509.NewCertPool()
	in.Roots.AddCert(s.Certificate())
	return in
}

func (in *Inbox) server(t testing.TB) *httptest.Server {
	in.arrived, in.gone = make(chan struct{}), make(chan struct{})
	s := httptest.NewUnstartedServer(in)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that does not trust it is what a test wants
	t.Cleanup(func() {
		close(in.gone)
		s.Close()
	})
	return s
}

// Fail lets the next requests go wrong, one for each fault; those after them are answered 200.
func (in *Inbox) Fail(faults ...Fault) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.faults = append(in.faults, faults...)
}

// Requests returns what has arrived, in order.
func (in *Inbox) Requests() []Request {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.requests)
}

// Keys returns how often each key has arrived and was not refused: one that got no answer has arrived.
func (in *Inbox) Keys() map[string]int {
	keys := map[string]int{}
	for _, r := range in.Requests() {
		if r.Status < 300 {
			keys[r.Key]++
		}
	}
	return keys
}

// Wait returns when so many requests have arrived, and fails the test when they do not within ten seconds.
func (in *Inbox) Wait(t testing.TB, n int) []Request {
	t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		in.mu.Lock()
		got, arrived := slices.Clone(in.requests), in.arrived
		in.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-arrived:
		case <-late.C:
			t.Fatalf("%d requests have arrived, want %d", len(got), n)
		}
	}
}

// ServeHTTP notes a request and answers it.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	got := Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.Query(), Header: r.Header.Clone(), Body: body}
	got.Key = key(got)
	in.mu.Lock()
	var f Fault
	if len(in.faults) > 0 {
		f, in.faults = in.faults[0], in.faults[1:]
	}
	if got.Status = f.Status; got.Status == 0 {
		got.Status = http.StatusOK
	}
	if f.Hang || f.Cut {
		got.Status = 0
	}
	in.requests = append(in.requests, got)
	close(in.arrived)
	in.arrived = make(chan struct{})
	in.mu.Unlock()
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-in.gone:
		}
	case f.Cut:
		panic(http.ErrAbortHandler)
	default:
		for name, values := range f.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(got.Status)
		_, _ = io.WriteString(w, f.Body)
	}
}

func key(r Request) string {
	if k := r.Header.Get("Idempotency-Key"); k != "" {
		return k
	}
	o := r.JSON()
	for _, field := range []string{"dedup_key", "alias"} {
		if k, ok := o[field].(string); ok {
			return k
		}
	}
	return string(r.Body)
}

// certificate is one for this machine, signed by itself.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, roots
}
