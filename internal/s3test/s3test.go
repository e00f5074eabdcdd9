// Package s3test gives tests a real S3 server: Versity's gateway over a folder, which checks signatures, knows conditional puts
// and keeps objects as files. One serves a test binary, with a bucket for each test; it is gone when the binary ends, even when
// that is killed (on Linux), and its folder with the last test.
package s3test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"go/build"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/freeport"
)

// The keys of the user who may do everything, and the region.
const (
	AccessKey = "root-of-the-test"
	SecretKey = "s3cret-of-the-test"
	Region    = "us-east-1"
)

// startTimeout bounds a start; on an idle machine one takes a tenth of a second.
const startTimeout = 60 * time.Second

// Server is a running server.
type Server struct {
	// Endpoint is http://127.0.0.1:PORT, or https:// with TLS.
	Endpoint string
	// Buckets is the folder with a folder for each bucket, where objects are files of the same name.
	Buckets string
	// CA is what its certificate is checked against (PEM); nil without TLS.
	CA []byte

	binary string
	cmd    *exec.Cmd
	output *bytes.Buffer // of the server; read only when it has ended
	ended  chan struct{}
	names  atomic.Int64
}

// shared is the server of this test binary, without TLS.
var shared struct {
	sync.Mutex
	server *Server
	users  int
}

// New returns a server, which it shares with other tests, and a bucket of its own. Without the gateway on PATH or among the
// binaries of Go the test fails: it is never skipped.
func New(t testing.TB) (s *Server, bucket string) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		shared.server = start(t, false)
	}
	shared.users++
	s = shared.server
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.users--; shared.users == 0 {
			shared.server.stop(t)
			shared.server = nil
		}
	})
	return s, s.bucket(t)
}

// NewTLS starts a server of the test's own that speaks TLS with a certificate of its own making.
func NewTLS(t testing.TB) (s *Server, bucket string) {
	t.Helper()
	s = start(t, true)
	t.Cleanup(func() { s.stop(t) })
	return s, s.bucket(t)
}

// bucket makes one. The gateway takes folders for buckets.
func (s *Server) bucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", s.names.Add(1))
	if err := os.Mkdir(filepath.Join(s.Buckets, name), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

// User makes a user who may do nothing with the buckets that are there.
func (s *Server) User(t testing.TB, access, secret string) {
	t.Helper()
	cmd := exec.Command(s.binary, "admin", "--access", AccessKey, "--secret", SecretKey, "--endpoint-url", s.Endpoint,
		"create-user", "--access", access, "--secret", secret, "--role", "user")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a user: %v\n%s", err, out)
	}
}

// find looks for the gateway.
func find() (string, error) {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	for _, dir := range append([]string{os.Getenv("GOBIN")}, filepath.SplitList(build.Default.GOPATH)...) {
		for _, path := range []string{filepath.Join(dir, "versitygw"), filepath.Join(dir, "bin", "versitygw")} {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	return "", errors.New("versitygw is neither on PATH nor among the binaries of Go")
}

func start(t testing.TB, secure bool) *Server {
	t.Helper()
	binary, err := find()
	if err != nil {
		t.Fatalf("this test needs a real S3 server: %v; install it with `scripts/install-test-deps.sh`", err)
	}
	dir, err := os.MkdirTemp("", "s3") // not t.TempDir: it is shared
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"buckets", "users"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeAddress(t)
	s := &Server{Endpoint: "http://" + addr, Buckets: filepath.Join(dir, "buckets"), binary: binary, output: &bytes.Buffer{}, ended: make(chan struct{})}
	args := []string{"--port", addr, "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--iam-dir", filepath.Join(dir, "users"), "--quiet", "--keep-alive"}
	if secure {
		s.Endpoint = "https://" + addr
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		s.CA = certificate(t, cert, key)
		args = append(args, "--cert", cert, "--key", key)
	}
	// It keeps metadata in extended attributes, which the folder for temporary files has to have. Beside the files (--sidecar) it
	// would not be whole: there is a moment in which an object refuses a second one and is not found itself.
	args = append(args, "posix", s.Buckets)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = []string{}, dir, s.output, s.output
	s.cmd.SysProcAttr = dieWithStarter()
	started := make(chan error)
	go func() {
		// The kernel ends the server with the thread that started it, so the thread has to stay.
		runtime.LockOSThread()
		defer close(s.ended)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // it is killed in the end
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	if err := s.await(addr); err != nil {
		s.stop(t)
		t.Fatalf("start %s: %v\n%s", binary, err, s.output)
	}
	return s
}

// await returns when the server listens, or has ended.
func (s *Server) await(addr string) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return errors.New("it has ended")
		case <-deadline.C:
			return fmt.Errorf("it does not answer at %s", addr)
		}
	}
}

// stop ends the server and removes what it kept.
func (s *Server) stop(t testing.TB) {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.ended
	if err := os.RemoveAll(filepath.Dir(s.Buckets)); err != nil {
		t.Errorf("remove the folder of the S3 server: %v", err)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// certificate makes a certificate for 127.0.0.1 that signs itself, and returns it.
func certificate(t testing.TB, certFile, keyFile string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "s3test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, content := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}
