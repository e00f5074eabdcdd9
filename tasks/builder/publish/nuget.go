package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// NuGetOptions say where a feed is.
type NuGetOptions struct {
	// Source is the feed: the service index of version 3, which ends with index.json, or the address of version 2 that packages are
	// pushed to; of a host alone that is /api/v2/package.
	Source string
	// APIKey goes along as X-NuGet-ApiKey.
	APIKey string
	Credentials
	Reach
}

type nuget struct {
	source string
	v3     bool
	client *client
	apiKey string
	reach  Reach

	mu        sync.Mutex
	resources *resources // of the service index, once it was read
}

// resources are addresses of a feed.
type resources struct {
	publish string
	// pusher speaks to the server of publish, which may be another than that of the index.
	pusher *client
	// content is where packages are read from: content/ID/VERSION/ID.VERSION.nupkg for version 3; "" is nowhere.
	content string
}

// NewNuGet returns the target of a feed. It sends nothing yet.
func NewNuGet(o NuGetOptions) (Target, error) {
	u, err := address(o.Source)
	if err != nil {
		return nil, err
	}
	n := &nuget{v3: strings.HasSuffix(u.Path, "/index.json")}
	if !n.v3 && strings.Trim(u.Path, "/") == "" {
		u.Path = "/api/v2/package"
	}
	n.source, n.apiKey, n.reach = u.String(), o.APIKey, o.Reach
	n.client = newClient(u, o.Credentials, o.Reach)
	return n, nil
}

// to makes the resources of a feed that packages are pushed to at an address. The key belongs to that address, whichever server the
// index names for it: nuget.org names another one. User, password and token are for the server that was configured, and for it alone.
func (n *nuget) to(publish *url.URL) resources {
	var c Credentials
	if n.apiKey != "" {
		c.Header = map[string]string{"X-Nuget-Apikey": n.apiKey}
	}
	pusher := newClient(publish, c, n.reach)
	if n.client.sameServer(publish) {
		for name, values := range n.client.header {
			pusher.header[name] = values
		}
	}
	return resources{publish: publish.String(), pusher: pusher}
}

// find reads the service index.
func (n *nuget) find(ctx context.Context) (resources, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.resources != nil {
		return *n.resources, nil
	}
	if !n.v3 {
		found := n.to(n.client.origin)
		n.resources = &found
		return found, nil
	}
	r, err := n.client.request(ctx, http.MethodGet, n.source, 0, nil)
	if err != nil {
		return resources{}, err
	}
	res, err := n.client.do(r)
	if err != nil {
		return resources{}, err
	}
	defer drain(res)
	if res.StatusCode != http.StatusOK {
		return resources{}, n.client.refusal(res)
	}
	var index struct {
		Resources []struct {
			ID   string `json:"@id"`
			Type string `json:"@type"`
		} `json:"resources"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&index); err != nil {
		return resources{}, tasks.WithHint(err, "is it the service index of a feed?", "%s cannot be read", place(r.URL))
	}
	var publish *url.URL
	content := ""
	for _, x := range index.Resources {
		u, err := url.Parse(x.ID)
		if err != nil {
			continue
		}
		u = r.URL.ResolveReference(u)
		if u.Scheme != "https" && r.URL.Scheme == "https" { // who listens in must not choose where it goes
			continue
		}
		switch kind, version, _ := strings.Cut(x.Type, "/"); {
		case kind == "PackagePublish" && version == "2.0.0":
			publish = u
		case kind == "PackageBaseAddress":
			content = strings.TrimSuffix(u.String(), "/")
		}
	}
	if publish == nil {
		return resources{}, tasks.Permanent(tasks.WithHint(nil, "it may be a feed to read from only", "%s names no PackagePublish/2.0.0", place(r.URL)))
	}
	found := n.to(publish)
	found.content = content
	n.resources = &found
	return found, nil
}

// identity reads id and version of a package out of its name: ID.VERSION.nupkg.
func identity(a Artifact) (id, version string, err error) {
	version, _, _ = strings.Cut(a.Version, "+")
	name, ok := strings.CutSuffix(a.Name, ".nupkg")
	for _, separator := range []string{".", "-"} {
		if id, found := strings.CutSuffix(name, separator+version); ok && found && id != "" && !strings.ContainsAny(id, "/\\?#%") {
			return id, version, nil
		}
	}
	return "", "", tasks.Permanent(tasks.WithHint(nil, "publish packages of the format nupkg to it", "%s is no package for a NuGet feed: it is not named ID.%s.nupkg", a.Name, version))
}

// where returns the address that a package is read from; "" is nowhere.
func (n *nuget) where(r resources, id, version string) string {
	id, version = strings.ToLower(id), strings.ToLower(version)
	switch {
	case !n.v3:
		return strings.TrimSuffix(r.publish, "/") + "/" + url.PathEscape(id) + "/" + url.PathEscape(version)
	case r.content == "":
		return ""
	}
	return r.content + "/" + url.PathEscape(id) + "/" + url.PathEscape(version) + "/" + url.PathEscape(id+"."+version+".nupkg")
}

// Publish implements Target. It looks before it pushes, as a feed may be set to replace packages. Feeds show a package some time after
// they took it, so nothing is concluded from its not being there afterwards.
func (n *nuget) Publish(ctx context.Context, a Artifact) (at string, already bool, err error) {
	id, version, err := identity(a)
	if err != nil {
		return "", false, err
	}
	r, err := n.find(ctx)
	if err != nil {
		return "", false, err
	}
	u, err := url.Parse(r.publish)
	if err != nil {
		return "", false, err
	}
	at = place(u) + " (" + id + " " + version + ")"
	if there, err := n.there(ctx, r, id, version, a); err != nil || there != "" {
		if err != nil {
			return at, false, err
		}
		return same(at, there, a.Digest)
	}
	res, err := n.push(ctx, r, a)
	if err != nil {
		return at, false, err
	}
	defer drain(res)
	switch res.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
		return at, false, nil
	case http.StatusConflict:
		there, err := n.there(ctx, r, id, version, a)
		if err != nil {
			return at, false, err
		}
		return same(at, there, a.Digest)
	}
	return at, false, r.pusher.refusal(res)
}

// there returns the digest of the package that the feed has; "" where it has none, or shows none. A feed that signs what it takes has
// other bytes of the same package: then the digest is the one that is asked about.
func (n *nuget) there(ctx context.Context, r resources, id, version string, a Artifact) (artifact.Digest, error) {
	address := n.where(r, id, version)
	if address == "" {
		return "", nil
	}
	d, _, err := n.client.digest(ctx, address)
	if err != nil || d == "" || d == a.Digest {
		return d, err
	}
	signed, err := n.sameContent(ctx, address, a)
	if signed {
		d = a.Digest
	}
	return d, err
}

// push sends a package as the one part of a form, in constant memory.
func (n *nuget) push(ctx context.Context, to resources, a Artifact) (*http.Response, error) {
	const border = "stint-4f0d6a1c9b7e4c52a0c3"
	head := []byte("--" + border + "\r\nContent-Disposition: form-data; name=\"package\"; filename=\"package.nupkg\"\r\nContent-Type: application/octet-stream\r\n\r\n")
	tail := []byte("\r\n--" + border + "--\r\n")
	r, err := to.pusher.request(ctx, http.MethodPut, to.publish, int64(len(head)+len(tail))+a.Size, func() (io.ReadCloser, error) {
		s, err := open(ctx, a)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), s, bytes.NewReader(tail)), s}, nil
	})
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", `multipart/form-data; boundary="`+border+`"`)
	r.Header.Set("X-Nuget-Client-Version", "4.1.0") // nuget.org asks for the protocol of this version or a later one
	r.Header.Set("X-Nuget-Protocol-Version", "4.1.0")
	return to.pusher.do(r)
}

// Check implements Target: it reads the service index, or asks for the address of version 2.
func (n *nuget) Check(ctx context.Context) error {
	if !n.v3 {
		return n.client.check(ctx, n.source)
	}
	_, err := n.find(ctx)
	return err
}
