package config_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestArtifactsAreWhereTheURLSays(t *testing.T) {
	t.Parallel()
	const keys = "  access_key: env:KEY\n  secret_key: env:SECRET\n"
	env := config.Env{"KEY=AKIA", "SECRET=s3cret"}
	for yaml, want := range map[string]config.ArtifactsTarget{
		"":                                   {Dir: filepath.Join("/d", "artifacts")},
		"artifacts:\n  url: file:exports":    {Dir: "exports"},
		"artifacts:\n  url: file:/srv/a b":   {Dir: "/srv/a b"},
		"artifacts:\n  url: file:///srv/x?y": {Dir: "/srv/x?y"},
		"artifacts:\n  url: s3://b?region=x-1\n" + keys:                                {Bucket: "b-ucket", Region: "x-1"},
		"artifacts:\n  url: s3://b/p/Q/?endpoint=http://h:9000&region=x\n" + keys:      {Bucket: "b-ucket", Prefix: "p/Q", Endpoint: "http://h:9000", Region: "x", PathStyle: true},
		"artifacts:\n  url: s3://b?endpoint=https%3A%2F%2Fh&path_style=false\n" + keys: {Bucket: "b-ucket", Endpoint: "https://h"},
	} {
		file := write(t, map[string]string{"stint.yaml": "data: /d\n" + strings.Replace(yaml, "s3://b", "s3://b-ucket", 1)})
		c, _ := load(t, config.Options{File: file, Env: env})
		got, err := c.Artifacts.Target(c.Data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v", yaml, got, err)
		}
	}
}

func TestArtifactsThatCannotBeRightAreTold(t *testing.T) {
	t.Parallel()
	const keys = ", access_key: 'env:K', secret_key: 'env:K'"
	for yaml, want := range map[string]string{
		"url: exports":                                           `artifacts.url: has no scheme (write file:DIR, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME)`,
		"url: 'gs://b'":                                          `artifacts.url: artifacts are not kept by the scheme "gs" (write file:DIR, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME)`,
		"url: 'file:'":                                           `artifacts.url: names no folder of this machine (write file:DIR)`,
		"url: 'file://host/x'":                                   `artifacts.url: names no folder of this machine (write file:DIR)`,
		"url: 's3://bucket'" + keys:                              `artifacts.url: names no region (write s3://BUCKET/PREFIX?region=NAME, or ?endpoint=https://HOST for another server than Amazon's)`,
		"url: 's3:///p?region=x'" + keys:                         `artifacts.url: "" is no name for a bucket (write file:DIR, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME)`,
		"url: 's3://bucket/../p?region=x'" + keys:                `artifacts.url: "../p" is no prefix (use words of letters, digits and . _ ~ - with / between)`,
		"url: 's3://bucket?region=x&end_point=y'" + keys:         `artifacts.url: its query has the unknown word "end_point" (did you mean endpoint?)`,
		"url: 's3://bucket?endpoint=h:9000'" + keys:              `artifacts.url: its endpoint is no address of a server (write endpoint=https://HOST:PORT)`,
		"url: 's3://bucket?endpoint=http://u:p@h'" + keys:        `artifacts.url: its endpoint has a user in it (set artifacts.access_key and artifacts.secret_key instead)`,
		"url: 's3://u:p@bucket?region=x'" + keys:                 "artifacts.url: a password stands in a file",
		"url: 's3://bucket?region=x&path_style=1'" + keys:        `artifacts.url: path_style is "1" (write path_style=true or path_style=false)`,
		"url: 's3://bucket?region=x'":                            `artifacts.access_key: is missing: the bucket has to be opened with it (write file:PATH or env:NAME)`,
		"access_key: 'env:K'":                                    `artifacts.access_key: is for a bucket, and a folder needs none (write s3:// in artifacts.url, or remove it)`,
		"ca: x.pem":                                              `artifacts.ca: is for a bucket, and a folder needs none (write s3:// in artifacts.url, or remove it)`,
		"url: 's3://bucket?endpoint=http://h', ca: x.pem" + keys: `artifacts.ca: is for TLS, and the endpoint is without (write https:// in the endpoint, or remove it)`,
	} {
		file := write(t, map[string]string{"stint.yaml": "artifacts: {" + yaml + "}\n"})
		got := problems(t, config.Options{File: file, Env: config.Env{"K=v"}})
		if strings.Contains(want, "password") { // told beside a warning
			want = "has a user in it"
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %swant %s", yaml, got, want)
		}
	}
}

func TestACertificateForArtifactsThatIsNoneIsTold(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"ca.pem": "none"})
	a := config.Artifacts{URL: config.NewURL("s3://bucket?endpoint=https://h"), CA: filepath.Join(filepath.Dir(file), "ca.pem")}
	if _, err := a.Target("d"); err == nil || !strings.Contains(err.Error(), "has no certificate in it") {
		t.Errorf("got %v", err)
	}
	a.CA += ".gone"
	if _, err := a.Target("d"); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("got %v", err)
	}
}

func TestTheAddressOfABucketIsShownAndNoSecretInIt(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"s3://bucket/p?endpoint=https://h:9000&region=x": "s3://bucket/p?endpoint=https://h:9000&region=x",
		"s3://bucket?endpoint=https://u:pw@h":            "s3://bucket?endpoint=[redacted]",
		"s3://bucket?secret=pw&region=x":                 "s3://bucket?secret=[redacted]&region=[redacted]",
		"s3://key:pw@bucket?region=x":                    "s3://key:[redacted]@bucket?region=x",
		"file:/srv/exports":                              "file:/srv/exports",
		"file:///srv/exports":                            "file:///srv/exports",
	} {
		if got := config.NewURL(url).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
