package publish_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/publish"
)

// nupkg is a package of NuGet's, packed as a build packs it.
func nupkg(t *testing.T, content string) publish.Artifact {
	t.Helper()
	p := pipeline.Package{Name: "widgets", Format: pipeline.NuGet, Metadata: map[string]string{"id": "Acme.Widgets", "authors": "Acme", "description": "Widgets"}}
	name, err := pack.FileName(p, "1.5.57")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = pack.Write(t.Context(), &b, pack.Spec{Package: p, Version: "1.5.57", Time: time.Unix(1_700_000_000, 0),
		Files: []pack.File{{Name: "lib/a.dll", Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	return art(name, b.String())
}

// feed is a NuGet server that keeps to the protocol: it takes a package as a part of a form, knows it by what its .nuspec says, and has
// each version once.
type feed struct {
	*httptest.Server
	signs    bool   // it adds a signature to what it takes, as nuget.org does
	replaces bool   // a version may be pushed again
	slow     bool   // what it took is not shown yet
	cuts     int    // how many answers to a push get lost
	readOnly bool   // its index has nothing to push to
	pushTo   string // another server that its index names

	mu      sync.Mutex
	content map[string][]byte // by id/version, in lower case
	pushes  int
	seen    []http.Header // of pushes
}

func newFeed(t *testing.T) *feed {
	t.Helper()
	f := &feed{content: map[string][]byte{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v3/index.json", f.index)
	mux.HandleFunc("PUT /push", f.push)
	mux.HandleFunc("PUT /api/v2/package", f.push)
	mux.HandleFunc("GET /flat/{id}/{version}/{file}", f.get)
	mux.HandleFunc("GET /api/v2/package/{id}/{version}", f.get)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

const apiKey = "nuget-s3cret"

func (f *feed) target(t *testing.T, path string) publish.Target {
	t.Helper()
	n, err := publish.NewNuGet(publish.NuGetOptions{Source: f.URL + path, APIKey: apiKey, Reach: publish.Reach{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (f *feed) index(w http.ResponseWriter, _ *http.Request) {
	type resource struct {
		ID   string `json:"@id"`
		Type string `json:"@type"`
	}
	list := []resource{{f.URL + "/flat/", "PackageBaseAddress/3.0.0"}, {f.URL + "/query", "SearchQueryService"}}
	if !f.readOnly {
		list = append(list, resource{cmp.Or(f.pushTo, f.URL) + "/push", "PackagePublish/2.0.0"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"version": "3.0.0", "resources": list})
}

func (f *feed) push(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Header.Clone())
	f.mu.Unlock()
	if r.Header.Get("X-NuGet-ApiKey") != apiKey {
		http.Error(w, "the API key is wrong", http.StatusForbidden)
		return
	}
	form, err := r.MultipartReader()
	if err != nil || r.ContentLength <= 0 {
		http.Error(w, "no form of a known length", http.StatusBadRequest)
		return
	}
	part, err := form.NextPart()
	if err != nil || part.FileName() == "" {
		http.Error(w, "no file in it", http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(part)
	if err != nil {
		return
	}
	if _, err := form.NextPart(); !errors.Is(err, io.EOF) {
		http.Error(w, "more than one part", http.StatusBadRequest)
		return
	}
	key, err := nuspecOf(b)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pushes++
	if _, there := f.content[key]; there && !f.replaces {
		w.WriteHeader(http.StatusConflict)
		return
	}
	if f.signs {
		b = signed(b)
	}
	f.content[key] = b
	if f.cuts > 0 {
		f.cuts--
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
}

// nuspecOf returns id/version of a package.
func nuspecOf(b []byte) (string, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return "", err
	}
	for _, f := range z.File {
		if strings.Contains(f.Name, "/") || !strings.HasSuffix(f.Name, ".nuspec") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return "", err
		}
		var spec struct {
			Metadata struct {
				ID          string `xml:"id"`
				Version     string `xml:"version"`
				Authors     string `xml:"authors"`
				Description string `xml:"description"`
			} `xml:"metadata"`
		}
		m := &spec.Metadata
		if err := xml.NewDecoder(r).Decode(&spec); err != nil || m.ID == "" || m.Version == "" || m.Authors == "" || m.Description == "" {
			return "", errors.Join(errors.New("the .nuspec is not complete"), err)
		}
		return strings.ToLower(m.ID + "/" + m.Version), nil
	}
	return "", errors.New("no .nuspec")
}

// signed adds an entry to a package, as a signature is one.
func signed(b []byte) []byte {
	from, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range from.File {
		_ = z.Copy(f)
	}
	w, _ := z.CreateHeader(&zip.FileHeader{Name: ".signature.p7s", Method: zip.Store})
	_, _ = w.Write([]byte("signature"))
	_ = z.Close()
	return out.Bytes()
}

func (f *feed) get(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	b, ok := f.content[r.PathValue("id")+"/"+r.PathValue("version")]
	f.mu.Unlock()
	if file := r.PathValue("file"); !ok || f.slow || file != "" && file != r.PathValue("id")+"."+r.PathValue("version")+".nupkg" {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(b)
}

func TestAFeedThatSignsPackagesHasTheSameOnes(t *testing.T) {
	t.Parallel()
	f := newFeed(t)
	f.signs, f.cuts = true, 1
	target := f.target(t, "/v3/index.json")
	if _, _, err := target.Publish(t.Context(), nupkg(t, "one")); err == nil {
		t.Fatal("the lost answer is a success")
	}
	if _, already, err := target.Publish(t.Context(), nupkg(t, "one")); err != nil || !already {
		t.Errorf("again: %v %v", already, err)
	}
	var c *publish.Conflict
	if _, _, err := target.Publish(t.Context(), nupkg(t, "two")); !errors.As(err, &c) || f.pushes != 1 {
		t.Errorf("other content: %v, %d pushes", err, f.pushes)
	}
}

func TestAFeedThatReplacesPackagesIsAskedBefore(t *testing.T) {
	t.Parallel()
	f := newFeed(t)
	f.replaces = true
	for _, path := range []string{"/v3/index.json", "/api/v2/package"} {
		target := f.target(t, path)
		_, _, err := target.Publish(t.Context(), nupkg(t, "one"))
		var c *publish.Conflict
		if _, _, second := target.Publish(t.Context(), nupkg(t, "two")); err != nil || !errors.As(second, &c) || f.pushes != 1 {
			t.Errorf("%s: %v, %v, %d pushes", path, err, second, f.pushes)
		}
	}
}

func TestAFeedThatDoesNotShowItYetIsBelievedOnceAndAConflictIsNoSuccess(t *testing.T) {
	t.Parallel()
	f := newFeed(t)
	f.slow = true
	target := f.target(t, "/v3/index.json")
	if _, already, err := target.Publish(t.Context(), nupkg(t, "one")); err != nil || already {
		t.Fatal(err)
	}
	var c *publish.Conflict
	if _, _, err := target.Publish(t.Context(), nupkg(t, "one")); !errors.As(err, &c) || c.There != "" {
		t.Errorf("%v", err)
	}
	f.slow = false
	if _, already, err := target.Publish(t.Context(), nupkg(t, "one")); err != nil || !already {
		t.Errorf("when it shows it: %v %v", already, err)
	}
}

func TestWhatIsNoFeedOrNoPackageIsSaid(t *testing.T) {
	t.Parallel()
	f := newFeed(t)
	f.readOnly = true
	if err := f.target(t, "/v3/index.json").Check(t.Context()); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("to read from: %v", err)
	}
	if err := f.target(t, "/wrong/index.json").Check(t.Context()); !tasks.IsPermanent(err) {
		t.Errorf("no index: %v", err)
	}
	f.readOnly = false
	if _, _, err := f.target(t, "/v3/index.json").Publish(t.Context(), art("w-1.5.57.zip", "x")); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("a zip: %v", err)
	}
	if _, _, err := f.target(t, "/v3/index.json").Publish(t.Context(), art("Acme.Widgets.1.5.57.nupkg", "no zip")); !tasks.IsPermanent(err) || strings.Contains(err.Error(), apiKey) {
		t.Errorf("what the feed refuses: %v", err)
	}
	n, err := publish.NewNuGet(publish.NuGetOptions{Source: f.URL + "/v3/index.json", APIKey: "another-key", Reach: publish.Reach{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.Publish(t.Context(), nupkg(t, "one")); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "the API key is wrong") {
		t.Errorf("a wrong key: %v", err)
	}
	if _, err := publish.NewNuGet(publish.NuGetOptions{Source: "feed"}); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("no address: %v", err)
	}
}

func TestTheKeyGoesToTheServerThatTheIndexNamesAndThePasswordDoesNot(t *testing.T) {
	t.Parallel()
	f, other := newFeed(t), newFeed(t)
	f.pushTo = other.URL
	n, err := publish.NewNuGet(publish.NuGetOptions{Source: f.URL + "/v3/index.json", APIKey: apiKey, Credentials: publish.Credentials{User: "u", Password: "p"}, Reach: publish.Reach{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.Publish(t.Context(), nupkg(t, "one")); err != nil || other.pushes != 1 || other.seen[0].Get("Authorization") != "" {
		t.Errorf("%v, %d pushes, %v", err, other.pushes, other.seen)
	}
	f.pushTo = ""
	if n, err = publish.NewNuGet(publish.NuGetOptions{Source: f.URL + "/v3/index.json", APIKey: apiKey, Credentials: publish.Credentials{User: "u", Password: "p"}, Reach: publish.Reach{Private: true}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.Publish(t.Context(), nupkg(t, "one")); err != nil || f.seen[0].Get("Authorization") == "" {
		t.Errorf("its own server: %v, %v", err, f.seen)
	}
}
