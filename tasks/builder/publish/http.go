package publish

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// HTTPOptions say where files are put.
type HTTPOptions struct {
	// URL has {name} in it, and {version} and {product} where they are wanted: https://files.example.com/{product}/{version}/{name}.
	URL string
	Credentials
	Reach
}

type httpTarget struct {
	template string
	client   *client
}

// NewHTTP returns the target that puts files to a server: a WebDAV folder, a raw repository of Nexus or Artifactory, a package registry.
func NewHTTP(o HTTPOptions) (Target, error) {
	if !strings.Contains(o.URL, "{name}") {
		return nil, tasks.WithHint(nil, "write https://HOST/{product}/{version}/{name}", "the address of an HTTP target has no {name} in it")
	}
	u, err := address(fill(o.URL, "p", "v", "n"))
	if err != nil {
		return nil, err
	}
	if v, err := address(fill(o.URL, "q", "w", "m")); err != nil || v.Host != u.Host { // else a branch's name would choose the server
		return nil, tasks.WithHint(err, "put the words into the path", "the address of an HTTP target has {product}, {version} or {name} in its host")
	}
	return &httpTarget{o.URL, newClient(u, o.Credentials, o.Reach)}, nil
}

func fill(template, product, version, name string) string {
	return strings.NewReplacer("{product}", url.PathEscape(product), "{version}", url.PathEscape(version), "{name}", url.PathEscape(name)).Replace(template)
}

// Publish implements Target. It looks before it puts, as many servers replace what is there whatever If-None-Match says; between two who
// look at once that header decides, where the server knows it, and the last look tells the one that has lost.
func (t *httpTarget) Publish(ctx context.Context, a Artifact) (at string, already bool, err error) {
	for _, word := range []string{a.Product, a.Version, a.Name} {
		if word == "" || word == "." || word == ".." {
			return "", false, tasks.Permanent(tasks.WithHint(nil, "name the product and the package", "%q cannot be a part of an address", word))
		}
	}
	to := fill(t.template, a.Product, a.Version, a.Name)
	u, err := url.Parse(to)
	if err != nil {
		return "", false, err
	}
	at = place(u)
	there, known, err := t.client.digest(ctx, to)
	if err != nil {
		return at, false, err
	}
	if there != "" {
		return same(at, there, a.Digest)
	}
	return t.put(ctx, to, at, a, known)
}

// same decides what it means that there is something.
func same(at string, there, offered artifact.Digest) (string, bool, error) {
	if there == offered {
		return at, true, nil
	}
	return at, false, conflict(at, there, offered)
}

func (t *httpTarget) put(ctx context.Context, to, at string, a Artifact, readable bool) (string, bool, error) {
	r, err := t.client.request(ctx, http.MethodPut, to, a.Size, func() (io.ReadCloser, error) { return open(ctx, a) })
	if err != nil {
		return at, false, err
	}
	r.Header.Set("If-None-Match", "*")
	r.Header.Set("Content-Type", contentType(a))
	res, err := t.client.do(r)
	if err != nil {
		return at, false, err
	}
	defer drain(res)
	switch res.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
	case http.StatusPreconditionFailed, http.StatusConflict: // another was faster, or the server shows nothing
		there, known, err := t.client.digest(ctx, to)
		if err != nil {
			return at, false, err
		}
		if known && there == "" { // a conflict about something else, such as a folder that is missing
			return at, false, t.client.refusal(res)
		}
		return same(at, there, a.Digest)
	default:
		return at, false, t.client.refusal(res)
	}
	if !readable || res.StatusCode == http.StatusAccepted { // it will be there later
		return at, false, nil
	}
	there, known, err := t.client.digest(ctx, to)
	switch {
	case err != nil:
		return at, false, err
	case known && there == "":
		return at, false, tasks.WithHint(ErrNotStored, "look at the server: it says that it has taken the file, and it is not there", "%s", at)
	case known && there != a.Digest:
		return at, false, conflict(at, there, a.Digest)
	}
	return at, false, nil
}

func contentType(a Artifact) string {
	if a.ContentType == "" {
		return "application/octet-stream"
	}
	return a.ContentType
}

// Check implements Target: it asks for a file that is not there.
func (t *httpTarget) Check(ctx context.Context) error {
	return t.client.check(ctx, fill(t.template, "stint-check", "0.0.0", "stint-check"))
}

// check fails where the server cannot be reached or refuses the credentials; what is not there is fine.
func (k *client) check(ctx context.Context, address string) error {
	r, err := k.request(ctx, http.MethodHead, address, 0, nil)
	if err != nil {
		return err
	}
	res, err := k.do(r)
	if err != nil {
		return err
	}
	defer drain(res)
	if c := res.StatusCode; c >= 500 && c != http.StatusNotImplemented || c == http.StatusUnauthorized || c == http.StatusForbidden || c == http.StatusProxyAuthRequired {
		return k.refusal(res)
	}
	return nil
}
