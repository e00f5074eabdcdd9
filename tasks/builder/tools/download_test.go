package tools_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// server answers the nth request, from 0, as it is told.
func server(t *testing.T, answer func(n int64, w http.ResponseWriter, req *http.Request)) *httptest.Server {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { answer(asked.Add(1)-1, w, req) }))
	t.Cleanup(s.Close)
	return s
}

func TestADownloadGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 10000)
	var ranges []string
	s := server(t, func(n int64, w http.ResponseWriter, req *http.Request) {
		ranges = append(ranges, req.Header.Get("Range"))
		if n == 0 {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(data[:40000])
			return // the connection breaks off
		}
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
	})
	at := ensure(t, store(t, t.TempDir()), pinned(s.URL+"/x", data))
	if got, err := os.ReadFile(filepath.Join(at, "hello")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if len(ranges) != 2 || ranges[1] != "bytes=40000-" {
		t.Error(ranges)
	}
}

func TestWhatAKilledProcessHasBroughtIsUsed(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 100)
	for name, c := range map[string]struct {
		part  []byte
		asked int64
	}{
		"half":                {data[:500], 1},
		"all":                 {data, 0},
		"half of another one": {bytes.Repeat([]byte("x"), 500), 2},
		"too much":            {append(bytes.Clone(data), 'x'), 2},
	} {
		s := serve(t, map[string][]byte{"/x": data})
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, digest(data)+".part"), c.part, 0o600); err != nil {
			t.Fatal(err)
		}
		at := ensure(t, store(t, dir), pinned(s.URL+"/x", data))
		if got, err := os.ReadFile(filepath.Join(at, "hello")); err != nil || !bytes.Equal(got, data) || s.asked.Load() != c.asked {
			t.Errorf("%s: %d bytes, %v, asked %d times", name, len(got), err, s.asked.Load())
		}
	}
}

func TestAServerThatIsBusyIsAskedAgainWhenItSays(t *testing.T) {
	t.Parallel()
	data := []byte("x")
	s := server(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 0:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case 1:
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = w.Write(data)
		}
	})
	var waits []time.Duration
	st := store(t, t.TempDir())
	st.Waits(func(d time.Duration) { waits = append(waits, d) })
	ensure(t, st, pinned(s.URL+"/x", data))
	if len(waits) != 2 || waits[0] != 7*time.Second || waits[1] < 2*time.Second || waits[1] > 3*time.Second {
		t.Error(waits)
	}
	long := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	err := refused(t, st, pinned(long.URL+"/y", []byte("y")), "503")
	if d, ok := tasks.RetryAfterOf(err); !ok || d != time.Hour {
		t.Error(err)
	}
}

func TestAServerThatFailsForGoodIsGivenUp(t *testing.T) {
	t.Parallel()
	gone := serve(t, nil)
	if err := refused(t, store(t, t.TempDir()), pinned(gone.URL+"/x?sig=s3cret", []byte("x")), "404"); !tasks.IsPermanent(err) || gone.asked.Load() != 1 || strings.Contains(err.Error()+tasks.HintOf(err), "s3cret") {
		t.Error(err)
	}
	broken := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if err := refused(t, store(t, t.TempDir()), pinned(broken.URL+"/x", []byte("x")), "500"); tasks.IsPermanent(err) {
		t.Error(err)
	}
	silent := server(t, func(_ int64, w http.ResponseWriter, req *http.Request) {
		_, _ = w.Write([]byte("x"))
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	s := store(t, t.TempDir())
	s.Stall(50 * time.Millisecond)
	refused(t, s, pinned(silent.URL+"/x", []byte("xy")), "nothing came")
	closed := server(t, nil)
	closed.Close()
	if err := refused(t, store(t, t.TempDir()), pinned(closed.URL+"/x?sig=s3cret", []byte("x")), "refused"); strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestToolsComeFromWhereTheyMay(t *testing.T) {
	t.Parallel()
	data := []byte("x")
	for _, bad := range []string{"http://example.com/x", "file:///etc/passwd", "ftp://example.com/x", "https://user:s3cret@example.com/x", "https:///x", "x", "http://localhost.example.com/x", "http://127.0.0.1.example.com/x"} {
		if err := refused(t, store(t, t.TempDir()), pinned(bad, data)); strings.Contains(err.Error(), "s3cret") {
			t.Error(err)
		}
	}
	good := serve(t, map[string][]byte{"/tools/x": data, "/other/x": data})
	list := func(patterns ...string) *tools.Store {
		dir := t.TempDir()
		s := tools.New(tools.Options{Dir: dir, OS: "linux", Arch: "amd64", Allowed: patterns})
		t.Cleanup(func() { unlocked(t, dir) })
		return s
	}
	ensure(t, list(good.URL+"/tools/*"), pinned(good.URL+"/tools/x?y=z", data))
	refused(t, list(good.URL+"/tools/*"), pinned(good.URL+"/other/x", data), "not among")
	refused(t, list("*"), pinned(good.URL+"/tools/x", data), "cannot be read")
	if _, err := list(good.URL+"/tools/*").Ensure(t.Context(), []pipeline.Tool{pinned(good.URL+"/tools/../other/x", data)}, nil); err == nil {
		t.Error("upwards")
	}
	away := httptest.NewServer(http.RedirectHandler(good.URL+"/other/x", http.StatusFound))
	t.Cleanup(away.Close)
	refused(t, list(away.URL+"/**"), pinned(away.URL+"/x", data), "not among")
	ensure(t, list(away.URL+"/**", good.URL+"/**"), pinned(away.URL+"/x", data))
	out := httptest.NewServer(http.RedirectHandler("http://example.com/x", http.StatusFound))
	t.Cleanup(out.Close)
	refused(t, store(t, t.TempDir()), pinned(out.URL+"/x", data), "example.com")
	round := server(t, func(_ int64, w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, "/x", http.StatusFound) })
	refused(t, store(t, t.TempDir()), pinned(round.URL+"/x", data), "too many redirects")
}
