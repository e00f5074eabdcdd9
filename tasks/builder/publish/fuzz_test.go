package publish

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// What the server of the target alone is shown, and what goes to the server that packages are pushed to.
const (
	fuzzPassword = "fuzz-passw0rd"
	fuzzKey      = "fuzz-k3y"
)

// answers stand for all servers of the world: the same index, package and answer to a push wherever they are asked for.
type answers struct {
	index, there, said []byte
	status, pushed     int
	reason, location   string
	after              string
	cut                bool // an answer ends before its end

	asked []*http.Request
	whole bool // a package was read to its end, and the answer is one of success
}

// RoundTrip answers a request.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r)
	body, status := a.there, a.status
	if strings.HasSuffix(r.URL.Path, "/index.json") {
		body, status = a.index, http.StatusOK
	}
	if r.Method == http.MethodPut {
		body, status = a.said, a.pushed
		n, err := io.Copy(io.Discard, r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		a.whole = n == r.ContentLength && status >= 200 && status < 300
	}
	told := r.Header.Get("Authorization") + r.Header.Get("X-Nuget-Apikey")
	body = bytes.ReplaceAll(body, []byte("{told}"), []byte(told))
	res := &http.Response{StatusCode: status, Status: fmt.Sprint(status, " ", a.reason), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
	if a.cut {
		res.ContentLength++
	}
	if a.location != "" {
		res.Header.Set("Location", a.location)
	}
	if a.after != "" {
		res.Header.Set("Retry-After", a.after)
	}
	return res, nil
}

// check holds that nobody was shown what is not for him.
func (a *answers) check(t *testing.T, pushTo string) {
	t.Helper()
	for _, r := range a.asked {
		at := r.URL.Scheme + "://" + strings.ToLower(r.URL.Host)
		if r.URL.Scheme != "https" {
			t.Errorf("%s is asked without https", r.URL)
		}
		if r.Header.Get("Authorization") != "" && at != "https://feed.example.com" {
			t.Errorf("%s is shown the password", r.URL)
		}
		to, err := url.Parse(pushTo)
		if r.Header.Get("X-Nuget-Apikey") != "" && (err != nil || to.Scheme+"://"+strings.ToLower(to.Host) != at) {
			t.Errorf("%s is shown the key of %s", r.URL, pushTo)
		}
		if r.Header.Get("Referer") != "" {
			t.Errorf("%s is told %q", r.URL, r.Header.Get("Referer"))
		}
	}
}

// packageOf is a package of NuGet's with a signature or without.
func packageOf(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range entries {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "content of "+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// publishTo publishes to a target of one of three kinds whose servers are these answers. It returns where packages are pushed to.
func publishTo(t *testing.T, kind int, a *answers, content []byte) (pushTo string, already bool, err error) {
	t.Helper()
	c := Credentials{User: "me", Password: fuzzPassword}
	file := Artifact{Product: "w", Version: "1.5.57", Channel: "release", Name: "w.1.5.57.nupkg", Size: int64(len(content)), Digest: artifact.DigestOf(content),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
	if kind == 0 {
		target, err := NewHTTP(HTTPOptions{URL: "https://feed.example.com/{version}/{name}", Credentials: c})
		if err != nil {
			t.Fatal(err)
		}
		target.(*httpTarget).client.http.Transport = a
		_, already, err = target.Publish(t.Context(), file)
		return "", already, err
	}
	source := "https://feed.example.com/v3/index.json"
	if kind == 1 {
		source = "https://feed.example.com"
	}
	target, err := NewNuGet(NuGetOptions{Source: source, APIKey: fuzzKey, Credentials: c})
	if err != nil {
		t.Fatal(err)
	}
	n := target.(*nuget)
	n.client.http.Transport = a
	found, err := n.find(t.Context())
	if err != nil {
		return "", false, err
	}
	found.pusher.http.Transport = a // the one that is kept, too
	_, already, err = target.Publish(t.Context(), file)
	return found.publish, already, err
}

// FuzzAnyAnswerOfAFeedIsAPackagePublishedOrAnError holds that whatever the servers of a NuGet feed or of an HTTP target answer, the package
// is there as it is, was taken as a whole, or is an error with a hint, short and without secrets; that these are shown to nobody but whom
// they are for, and nothing is asked for without https; and that no answer makes a large one or a long wait.
func FuzzAnyAnswerOfAFeedIsAPackagePublishedOrAnError(f *testing.F) {
	index := func(push, content string) []byte {
		return fmt.Appendf(nil, `{"version":"3.0.0","resources":[{"@id":%q,"@type":"PackageBaseAddress/3.0.0"},{"@id":%q,"@type":"PackagePublish/2.0.0"},{"@id":"q","@type":"SearchQueryService"}]}`, content, push)
	}
	content := packageOf(f, "w.nuspec", "lib/a.dll")
	signed := packageOf(f, "w.nuspec", "lib/a.dll", signaturePart)
	indices := [][]byte{index("https://feed.example.com/push", "https://feed.example.com/flat/"), index("https://other.example.com/push", "https://cdn.example.com/flat"), index("http://feed.example.com/push", "http://x/"), index("/push", "flat"), index("//x/push", "?"), index("https://me:x@feed.example.com/push?a=b", ""),
		[]byte(""), []byte("null"), []byte("{}"), []byte(`{"resources":[{"@id":"\u0000","@type":"PackagePublish/2.0.0"}]}`), []byte(`{"resources":[{"@id":"ftp://x","@type":"PackagePublish/2.0.0"}]}`), []byte("<html>{told}"), index("https://FEED.example.com", "https://feed.example.com:443/")}
	for kind := range 3 {
		for i, x := range indices {
			f.Add(kind, x, []byte("{told}"), []byte{}, 404, 201, "OK", "", "", i%2 == 1)
		}
		for _, there := range [][]byte{content, signed, signed[:len(signed)-3], nil, []byte("other")} {
			f.Add(kind, indices[1], []byte{}, there, 200, 409, "", "", "", false)
			f.Add(kind, indices[0], []byte{}, there, 200, 201, "", "", "", true)
		}
		for _, status := range []int{200, 202, 204, 301, 302, 307, 308, 400, 401, 403, 404, 409, 412, 413, 429, 500, 503} {
			f.Add(kind, indices[1], []byte("no \x1b[2J{told}\xff"), []byte("{told}"), 404, status, "\x1b{told}", "https://evil.example.com/x", "99999999999", false)
			f.Add(kind, indices[0], []byte{}, []byte("no {told}"), status, 201, "", "http://feed.example.com/x", "Fri, 31 Dec 9999 23:59:59 GMT", false)
			f.Add(kind, indices[0], []byte{}, []byte{}, status, status, "", "/again", "-1", false)
		}
	}
	f.Fuzz(func(t *testing.T, kind int, index, said, there []byte, status, pushed int, reason, location, after string, cut bool) {
		if kind < 0 || kind > 2 || status < 200 || status > 599 || pushed < 200 || pushed > 599 {
			t.Skip()
		}
		a := &answers{index: index, there: there, said: said, status: status, pushed: pushed, reason: reason, location: location, after: after, cut: cut}
		var before, made runtime.MemStats
		runtime.ReadMemStats(&before)
		pushTo, already, err := publishTo(t, kind, a, content)
		runtime.ReadMemStats(&made)
		size := len(index) + len(said) + len(there) + len(location)
		if n := made.TotalAlloc - before.TotalAlloc; n > 32<<20+1000*uint64(size) {
			t.Errorf("%d bytes made %d", size, n)
		}
		a.check(t, pushTo)
		switch {
		case err == nil && already && (status != http.StatusOK || !bytes.Equal(there, content) && !bytes.Contains(there, []byte(signaturePart))):
			t.Errorf("%d with %q is the package that was to be published", status, there)
		case err == nil && !already && !a.whole:
			t.Error("it is published, and no server has taken it as a whole")
		}
		if err == nil {
			return
		}
		text, hint := err.Error(), tasks.HintOf(err)
		if hint == "" || len(text) > 3000+4*len(index)+4*len(location) || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%d bytes: %.300q (%s)", len(text), text, hint)
		}
		for _, secret := range []string{fuzzPassword, fuzzKey, base64.StdEncoding.EncodeToString([]byte("me:" + fuzzPassword))} {
			if strings.Contains(text, secret) {
				t.Errorf("it has %q in it: %q", secret, text)
			}
		}
		if wait, asked := tasks.RetryAfterOf(err); asked && (wait < 0 || wait > mostPatient) {
			t.Errorf("it is to wait for %s", wait)
		}
	})
}

// FuzzAnyRecordOfTheCatalogueIsItsReleaseOrAnError holds that what lies in a store as the record of a release is that release, however it
// is asked for, or an error with a hint; and that one that cannot be read is not entered again, nor taken for one that is not there.
func FuzzAnyRecordOfTheCatalogueIsItsReleaseOrAnError(f *testing.F) {
	const good = `{"product":"w","version":"1.0.0","channel":"release","at":"2026-11-01T12:00:00Z","packages":[{"name":"w.zip","size":3,"digest":"sha256:` + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" + `","keys":["w/1.0.0/w.zip"]}]}`
	for _, seed := range []string{good, strings.Replace(good, `"w"`, `"v"`, 1), strings.Replace(good, "1.0.0", "1.0.1", 1), strings.Replace(good, "2026-11", "2026-13", 1), strings.Replace(good, `"w"`, `"W"`, 1), good[:40], good + good, "", "null", "{}", "[]", "\xff", `{"product":"w","version":"1.0.0","packages":null}`, `{"Product":"w","VERSION":"1.0.0"}`} {
		f.Add([]byte(seed), []byte("{}"), true)
		f.Add([]byte(seed), []byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, record, tomb []byte, removed bool) {
		s, err := artifact.NewFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		put := func(key string, content []byte) {
			if _, err := s.Put(t.Context(), key, bytes.NewReader(content), artifact.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		put(recordKey(releases, "w", "1.0.0"), record)
		if removed {
			put(recordKey("removed/", "w", "1.0.0"), tomb)
		}
		c := NewCatalogue(s)
		r, err := c.Get(t.Context(), "w", "1.0.0")
		if err == nil && (r.Product != "w" || r.Version != "1.0.0") {
			t.Errorf("1.0.0 of w is %+v", r)
		}
		var listed []Release
		listing := c.List(t.Context(), "w", func(r Release) error { listed = append(listed, r); return nil })
		if (err == nil) != (listing == nil) || err == nil && (len(listed) != 1 || !reflect.DeepEqual(listed[0], r)) {
			t.Errorf("by itself it is %+v, %v, in the list %+v, %v", r, err, listed, listing)
		}
		_, gone, removing := c.Removed(t.Context(), "w", "1.0.0")
		if gone && !removed || !gone && removing == nil && removed {
			t.Errorf("removed: %v, and it is %v", gone, removed)
		}
		if _, entering := c.Enter(t.Context(), Release{Product: "w", Version: "1.0.0", Channel: "other"}); entering == nil && (err != nil || r.Channel != "other") {
			t.Errorf("it is entered over %q", record)
		}
		if _, err := c.Products(t.Context()); err != nil && tasks.HintOf(err) == "" {
			t.Errorf("%v has no hint", err)
		}
		for _, err := range []error{err, listing, removing} {
			if err != nil && tasks.HintOf(err) == "" {
				t.Errorf("%v has no hint", err)
			}
		}
	})
}
