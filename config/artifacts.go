package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Artifacts say where files are kept that outlive a worker: exported rows, packages, archives.
type Artifacts struct {
	// URL is file:DIR or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME&path_style=true; "" means the folder artifacts in
	// Data. Without endpoint the bucket is Amazon's, and region is needed; with one, path_style is true unless it says false.
	URL URL `key:"url"`
	// AccessKey opens the bucket; s3:// only.
	AccessKey Secret `key:"access_key"`
	// SecretKey belongs to AccessKey.
	SecretKey Secret `key:"secret_key"`
	// CA is the path of the certificates (PEM) that the server's is checked against; "" means those of the system.
	CA string `key:"ca"`
}

// ArtifactsTarget says where artifacts are. Either Dir or Bucket is set.
type ArtifactsTarget struct {
	// Dir is a folder of this machine, or one that it shares with others.
	Dir string
	// Bucket is of an S3-compatible server.
	Bucket string
	// Prefix goes before every key; "" is the whole bucket.
	Prefix string
	// Endpoint is http:// or https:// and a host; "" is Amazon's own.
	Endpoint string
	// Region is what requests are signed for; "" leaves it to the server's custom.
	Region string
	// PathStyle puts the bucket into the path and not into the host's name.
	PathStyle bool
	// CA is what the server's certificate is checked against; nil is what the system trusts.
	CA *x509.CertPool
}

// artifactsForm is how a URL is written.
const artifactsForm = "write file:DIR, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME"

var (
	bucketName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)
	bucketPrefix = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)
	regionName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)
)

// artifactsQuery are the words of the query, none of which is secret.
var artifactsQuery = []string{"endpoint", "region", "path_style"}

// Target returns where artifacts are; without a URL that is a folder in data. It reads the file of certificates. The error is an
// *Error and has no secret in it.
func (a Artifacts) Target(data string) (ArtifactsTarget, error) {
	var k checker
	t := a.parse(&k, data)
	if t.Bucket != "" && a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		pool := x509.NewCertPool()
		if err != nil {
			k.add("artifacts.ca", "give the right path", "cannot be read: %v", errors.Unwrap(err))
		} else if t.CA = pool; !pool.AppendCertsFromPEM(pem) {
			k.add("artifacts.ca", "name a file in PEM form", "%s has no certificate in it", a.CA)
		}
	}
	return t, asError(k.problems)
}

func (a Artifacts) parse(k *checker, data string) ArtifactsTarget {
	const key = "artifacts.url"
	switch a.URL.Scheme() {
	case "s3":
		return a.parseS3(k)
	case "file":
		if dir := a.URL.folder(); dir != "" {
			return ArtifactsTarget{Dir: dir}
		}
		k.add(key, "write file:DIR", "names no folder of this machine")
	case "":
		if a.URL.IsZero() {
			return ArtifactsTarget{Dir: filepath.Join(data, "artifacts")}
		}
		k.add(key, artifactsForm, "has no scheme")
	default:
		k.add(key, artifactsForm, "artifacts are not kept by the scheme %q", a.URL.Scheme())
	}
	return ArtifactsTarget{}
}

// folder returns the path of a file: address, which may be written with slashes before it; "" when it has none, or a host.
func (u URL) folder() string {
	_, path, _ := strings.Cut(u.value, ":")
	if rest, slashed := strings.CutPrefix(path, "//"); slashed {
		if path = rest; !strings.HasPrefix(path, "/") {
			return ""
		}
	}
	return path
}

func (a Artifacts) parseS3(k *checker) ArtifactsTarget {
	const key = "artifacts.url"
	u, err := url.Parse(a.URL.Reveal())
	if err != nil || u.Opaque != "" {
		k.add(key, artifactsForm, "is no address") // the error's own text may quote the URL
		return ArtifactsTarget{}
	}
	if u.User != nil {
		k.add(key, "set artifacts.access_key and artifacts.secret_key instead", "has a user in it")
	}
	t := ArtifactsTarget{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if !bucketName.MatchString(t.Bucket) {
		k.add(key, artifactsForm, "%q is no name for a bucket", t.Bucket)
	}
	if t.Prefix != "" && (!bucketPrefix.MatchString(t.Prefix) || len(t.Prefix) > 500) {
		k.add(key, "use words of letters, digits and . _ ~ - with / between", "%q is no prefix", t.Prefix)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		k.add(key, artifactsForm, "its query cannot be read")
	}
	for name := range query {
		if !slices.Contains(artifactsQuery, name) {
			hint := "its words are " + strings.Join(artifactsQuery, ", ")
			if meant := nearest(name, artifactsQuery); meant != "" {
				hint = fmt.Sprintf("did you mean %s?", meant)
			}
			k.add(key, hint, "its query has the unknown word %q", name)
		}
	}
	t.Endpoint, t.Region, t.PathStyle = query.Get("endpoint"), query.Get("region"), query.Get("endpoint") != ""
	a.checkEndpoint(k, t)
	switch style := query.Get("path_style"); style {
	case "":
	case "true", "false":
		t.PathStyle = style == "true"
	default:
		k.add(key, "write path_style=true or path_style=false", "path_style is %q", style)
	}
	return t
}

func (a Artifacts) checkEndpoint(k *checker, t ArtifactsTarget) {
	const key = "artifacts.url"
	if t.Region != "" && !regionName.MatchString(t.Region) {
		k.add(key, "write it as eu-central-1", "%q is no region", t.Region)
	}
	if t.Endpoint == "" {
		if t.Region == "" {
			k.add(key, "write s3://BUCKET/PREFIX?region=NAME, or ?endpoint=https://HOST for another server than Amazon's", "names no region")
		}
		return
	}
	u, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		k.add(key, "write endpoint=https://HOST:PORT", "its endpoint is no address of a server")
	case u.User != nil:
		k.add(key, "set artifacts.access_key and artifacts.secret_key instead", "its endpoint has a user in it")
	case u.Port() != "" && !isPort(u.Port()):
		k.add(key, "want 1 to 65535", "%q is no port", u.Port())
	case a.CA != "" && u.Scheme == "http":
		k.add("artifacts.ca", "write https:// in the endpoint, or remove it", "is for TLS, and the endpoint is without")
	}
}

func (a Artifacts) check(k *checker) {
	a.parse(k, "data")
	bucket := a.URL.Scheme() == "s3"
	for _, p := range []struct {
		key    string
		set    bool
		needed bool
	}{
		{"access_key", !a.AccessKey.IsZero(), true}, {"secret_key", !a.SecretKey.IsZero(), true}, {"ca", a.CA != "", false},
	} {
		switch {
		case p.set && !bucket:
			k.add("artifacts."+p.key, "write s3:// in artifacts.url, or remove it", "is for a bucket, and a folder needs none")
		case bucket && p.needed && !p.set:
			k.add("artifacts."+p.key, "write file:PATH or env:NAME", "is missing: the bucket has to be opened with it")
		}
	}
}
