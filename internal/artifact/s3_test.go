package artifact_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/s3test"
	"github.com/stint-run/stint/tasks"
)

// between puts a proxy before a server. Requests keep their Host, which is signed. meddle may answer instead of the server (true),
// and answer may change what the server says.
func between(t *testing.T, server *s3test.Server, meddle func(w http.ResponseWriter, r *http.Request) bool, answer func(*http.Response) error) string {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{ModifyResponse: answer,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // the connection breaks, as without a proxy
		}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if meddle == nil || !meddle(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func at(endpoint string) func(*artifact.S3Options) {
	return func(o *artifact.S3Options) { o.Endpoint = endpoint }
}

func TestWhatIsWrongWithABucketIsSaidWithAHint(t *testing.T) {
	t.Parallel()
	server, _ := s3test.New(t)
	server.User(t, "nobody-yet", "s3cret-of-nobody")
	for name, c := range map[string]struct {
		change     func(*artifact.S3Options)
		code, hint string
	}{
		"no bucket":     {func(o *artifact.S3Options) { o.Bucket = "none-of-ours" }, "NoSuchBucket", "make the bucket none-of-ours"},
		"wrong secret":  {func(o *artifact.S3Options) { o.SecretKey = "wrong-secret" }, "SignatureDoesNotMatch", "correct artifacts.access_key"},
		"unknown user":  {func(o *artifact.S3Options) { o.AccessKey = "unknown-user" }, "InvalidAccessKeyId", "correct artifacts.access_key"},
		"no rights":     {func(o *artifact.S3Options) { o.AccessKey, o.SecretKey = "nobody-yet", "s3cret-of-nobody" }, "AccessDenied", "needs the rights"},
		"wrong region":  {func(o *artifact.S3Options) { o.Region = "eu-central-1" }, "", "region=NAME"},
		"nobody there":  {at("http://127.0.0.1:1"), "refused", "is the server running"},
		"no such host":  {at("http://no-host.invalid"), "no-host.invalid", "correct the endpoint"},
		"not over TLS":  {at(strings.Replace(server.Endpoint, "http:", "https:", 1)), "HTTP response to HTTPS", "is the server running"},
		"skewed clocks": {answering(t, 403, "RequestTimeTooSkewed"), "RequestTimeTooSkewed", "time server"},
		"full":          {answering(t, 507, "XMinioStorageFull"), "XMinioStorageFull", "make room"},
		"redirected":    {answering(t, 301, "PermanentRedirect"), "PermanentRedirect", "another region"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bucket(t, c.change)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.Put(ctx, "k", strings.NewReader("x"), artifact.PutOptions{})
			if err == nil || !strings.Contains(err.Error(), c.code) || !strings.Contains(tasks.HintOf(err), c.hint) {
				t.Errorf("got %v (%s)", err, tasks.HintOf(err))
			}
			for _, secret := range []string{s3test.SecretKey, "wrong-secret", "s3cret-of-nobody"} {
				if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
					t.Errorf("a secret is told: %v", err)
				}
			}
		})
	}
}

// answering is a server that gives one answer, for those that a healthy server does not give.
func answering(t *testing.T, status int, code string) func(*artifact.S3Options) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
		}
	}))
	t.Cleanup(s.Close)
	return at(s.URL)
}

func TestAServerThatAsksForPatienceIsGivenIt(t *testing.T) {
	t.Parallel()
	_, err := bucket(t, answering(t, 503, "SlowDown")).Put(t.Context(), "k", strings.NewReader("x"), artifact.PutOptions{})
	if d, ok := tasks.RetryAfterOf(err); !ok || d < time.Second {
		t.Errorf("got %v, after %s", err, d)
	}
}

func TestAServersCertificateIsCheckedAgainstTheGivenOnes(t *testing.T) {
	t.Parallel()
	server, name := s3test.NewTLS(t)
	open := func(pem []byte) artifact.Store {
		return bucket(t, func(o *artifact.S3Options) {
			o.Endpoint, o.Bucket = server.Endpoint, name
			if pem != nil {
				o.CA = x509.NewCertPool()
				o.CA.AppendCertsFromPEM(pem)
			}
		})
	}
	if p, err := artifact.Probe(t.Context(), open(server.CA)); err != nil || !p.Once {
		t.Errorf("%+v, %v", p, err)
	}
	large := strings.Repeat("x", 6<<20)
	if _, err := artifact.PutOnce(t.Context(), open(server.CA), "large", strings.NewReader(large), artifact.PutOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := artifact.Probe(t.Context(), open(nil)); err == nil || !strings.Contains(tasks.HintOf(err), "artifacts.ca") {
		t.Errorf("got %v (%s)", err, tasks.HintOf(err))
	}
}

func TestAServerThatDoesNotKnowConditionsIsAskedBefore(t *testing.T) {
	t.Parallel()
	server, name := s3test.New(t)
	refused := atomic.Int64{}
	endpoint := between(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") == "" {
			return false
		}
		refused.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNotImplemented)
		_, _ = io.WriteString(w, "<Error><Code>NotImplemented</Code><Message>A header is not implemented</Message></Error>")
		return true
	}, nil)
	s := bucket(t, func(o *artifact.S3Options) { o.Endpoint, o.Bucket = endpoint, name })
	for _, size := range []int{10, 6 << 20} {
		key, content := fmt.Sprint("k", size), strings.Repeat("x", size)
		if _, err := s.Put(t.Context(), key, strings.NewReader(content), artifact.PutOptions{IfAbsent: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), key, strings.NewReader("other"), artifact.PutOptions{IfAbsent: true}); !errors.Is(err, artifact.ErrExists) {
			t.Errorf("the second: %v", err)
		}
		if get(t, s, key, 0) != content {
			t.Error("it was replaced")
		}
	}
	if n := refused.Load(); n == 0 || n > 4 { // the client itself tries again
		t.Errorf("asked %d times for what it does not know", n)
	}
}

func TestTheProbeFindsAServerThatIgnoresConditions(t *testing.T) {
	t.Parallel()
	server, name := s3test.New(t)
	endpoint := between(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.Header.Get("If-None-Match") == "" {
			return false
		}
		content, _ := io.ReadAll(r.Body)
		put(t, bucket(t, func(o *artifact.S3Options) { o.Bucket = name }), strings.TrimPrefix(r.URL.Path, "/"+name+"/"), string(content))
		return true
	}, nil)
	p, err := artifact.Probe(t.Context(), bucket(t, func(o *artifact.S3Options) { o.Endpoint, o.Bucket = endpoint, name }))
	if err != nil || p.Once {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAPutWhoseAnswerIsLostKnowsItsOwnObject(t *testing.T) {
	t.Parallel()
	server, name := s3test.New(t)
	var lost sync.Map
	endpoint := between(t, server, nil, func(r *http.Response) error {
		q := r.Request
		ends := q.Method == http.MethodPut && !q.URL.Query().Has("uploadId") || q.Method == http.MethodPost && q.URL.Query().Has("uploadId")
		if _, again := lost.LoadOrStore(q.URL.Path, true); ends && !again && r.StatusCode == http.StatusOK {
			return errors.New("the answer is lost")
		}
		if !ends {
			lost.Delete(q.URL.Path)
		}
		return nil
	})
	s := bucket(t, func(o *artifact.S3Options) { o.Endpoint, o.Bucket = endpoint, name })
	for _, size := range []int{10, 12 << 20} {
		key, content := fmt.Sprint("k", size), bytes.Repeat([]byte("x"), size)
		info, err := s.Put(t.Context(), key, bytes.NewReader(content), artifact.PutOptions{IfAbsent: true})
		if err != nil || info.Digest != artifact.DigestOf(content) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err := artifact.Verify(t.Context(), s, key, artifact.DigestOf(content), int64(size)); err != nil {
			t.Error(err)
		}
	}
	if n, err := s.Clean(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("%d uploads are left, %v", n, err)
	}
}

func TestAConnectionThatBreaksIsMadeAgainWhereItBroke(t *testing.T) {
	t.Parallel()
	server, name := s3test.New(t)
	var broken, replaced atomic.Int64
	endpoint := between(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && replaced.Load() == 1 && r.Header.Get("Range") != "" {
			replaced.Store(2)
			put(t, bucket(t, func(o *artifact.S3Options) { o.Endpoint, o.Bucket = server.Endpoint, name }), "k", strings.Repeat("y", 3<<20))
		}
		return false
	}, func(r *http.Response) error {
		if r.Request.Method == http.MethodGet && r.ContentLength > 1<<20 {
			broken.Add(1)
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.LimitReader(r.Body, 1<<20), r.Body}
		}
		return nil
	})
	direct := bucket(t, func(o *artifact.S3Options) { o.Bucket = name })
	content := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	put(t, direct, "k", content)
	s := bucket(t, func(o *artifact.S3Options) { o.Endpoint, o.Bucket = endpoint, name })
	if get(t, s, "k", 0) != content || broken.Load() == 0 {
		t.Errorf("not the same after %d breaks", broken.Load())
	}
	if get(t, s, "k", 100) != content[100:] {
		t.Error("not the same from an offset")
	}
	// Another object of the same name and size must not be glued to the first one.
	replaced.Store(1)
	r, _, err := s.Get(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err == nil {
		t.Error("two objects were read as one")
	}
}

func TestUnfinishedUploadsAreCleanedByAge(t *testing.T) {
	t.Parallel()
	server, name := s3test.New(t)
	reached := make(chan struct{})
	endpoint := between(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodDelete // a process that was killed aborts nothing
	}, nil)
	s := bucket(t, func(o *artifact.S3Options) { o.Endpoint, o.Bucket = endpoint, name })
	ctx, cancel := context.WithCancel(t.Context())
	stops := readerFunc(func(p []byte) (int, error) {
		select {
		case <-reached:
		default:
			close(reached)
			return len(p), nil
		}
		cancel()
		return len(p), nil
	})
	if _, err := s.Put(ctx, "big", io.MultiReader(io.LimitReader(zeros{}, 6<<20), stops), artifact.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	direct := bucket(t, func(o *artifact.S3Options) { o.Bucket = name })
	if n, err := direct.Clean(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("young ones: %d, %v", n, err)
	}
	if n, err := direct.Clean(t.Context(), 0); n != 1 || err != nil {
		t.Errorf("old ones: %d, %v", n, err)
	}
	if n, err := direct.Clean(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestABucketWithoutKeysOrWithAStrangePrefixIsRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []artifact.S3Options{
		{AccessKey: "a", SecretKey: "b"}, {Bucket: "b"}, {Bucket: "b", AccessKey: "a"},
		{Bucket: "b", AccessKey: "a", SecretKey: "b", Prefix: "../x"}, {Bucket: "b", AccessKey: "a", SecretKey: "b", Prefix: "a//b"},
	} {
		if _, err := artifact.NewS3(o); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}

func TestNothingListensIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts, and says nothing
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("enough"))
	defer cancel()
	start := time.Now()
	_, err = bucket(t, at("http://"+l.Addr().String())).Stat(ctx, "k")
	if err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}
