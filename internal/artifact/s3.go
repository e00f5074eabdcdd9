package artifact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/stint-run/stint/tasks"
)

// S3Options say where a bucket is and who may use it.
type S3Options struct {
	Bucket string
	// Prefix goes before every key, with a slash between: "" is the whole bucket.
	Prefix string
	// Endpoint is http:// or https:// and the server's host and port; "" is Amazon's own in Region.
	Endpoint string
	// Region is what requests are signed for. "" means us-east-1, which most servers other than Amazon's take.
	Region string
	// PathStyle puts the bucket into the path instead of the host's name, as most servers other than Amazon's want it.
	PathStyle bool
	// AccessKey and SecretKey sign the requests. They are needed.
	AccessKey, SecretKey string
	// CA is what the server's certificate is checked against; nil is what the system trusts.
	CA *x509.CertPool
	// PartSize is how many bytes are sent, and held in memory, at once: 5 MiB or more. 0 means 16 MiB.
	PartSize int
}

// Parts of an upload. No server takes more than 10,000.
const (
	defaultPartSize = 16 << 20
	leastPartSize   = 5 << 20
	maxParts        = 10_000
)

const defaultRegion = "us-east-1"

// S3 is a Store in a bucket of an S3-compatible server.
//
// What fits into one part is sent in one request; more is an upload of many parts, which counts only once it is completed. A
// crash leaves at most an upload that Clean aborts.
type S3 struct {
	client *s3.Client
	http   *http.Transport
	o      S3Options
	// unconditional says that the server has refused If-None-Match as something it does not know: then a look before decides.
	unconditional atomic.Bool
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)

// NewS3 returns the store of a bucket. It sends nothing yet.
func NewS3(o S3Options) (*S3, error) {
	o.Prefix = strings.Trim(o.Prefix, "/")
	switch {
	case o.Bucket == "":
		return nil, tasks.WithHint(nil, "write s3://BUCKET/PREFIX in artifacts.url", "no bucket is named")
	case o.Prefix != "" && (!prefixForm.MatchString(o.Prefix) || len(o.Prefix) > MaxKey-12):
		return nil, tasks.WithHint(nil, "use words of letters, digits and . _ ~ - with / between", "%q is no prefix for artifacts", o.Prefix)
	case o.AccessKey == "" || o.SecretKey == "":
		return nil, tasks.WithHint(nil, "set artifacts.access_key and artifacts.secret_key", "the bucket %s has no keys to open it", o.Bucket)
	}
	if o.PartSize == 0 {
		o.PartSize = defaultPartSize
	}
	o.PartSize = max(o.PartSize, leastPartSize)
	if o.Region == "" {
		o.Region = defaultRegion
	}
	// No proxy: it would come from the environment, which only the configuration reads.
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.CA},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute, // to complete an upload takes a while
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
	}
	so := s3.Options{
		Region:       o.Region,
		UsePathStyle: o.PathStyle,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey, Source: "configuration"}, nil
		}),
		HTTPClient:       &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		RetryMaxAttempts: 4,
		Logger:           logging.Nop{},
		// Content-MD5, which we send, is understood by every server; the newer checksums are not.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if o.Endpoint != "" {
		so.BaseEndpoint = aws.String(o.Endpoint)
	}
	return &S3{client: s3.New(so), http: transport, o: o}, nil
}

// String returns s3://BUCKET/PREFIX.
func (s *S3) String() string { return strings.TrimSuffix("s3://"+s.o.Bucket+"/"+s.o.Prefix, "/") }

// Close lets go of idle connections.
func (s *S3) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// name returns the object of a key or of a beginning of one.
func (s *S3) name(key string) *string {
	if s.o.Prefix == "" {
		return aws.String(key)
	}
	return aws.String(s.o.Prefix + "/" + key)
}

// key returns the key of an object; "" of one that is none of ours.
func (s *S3) key(object *string) string {
	key := aws.ToString(object)
	if s.o.Prefix != "" {
		below, ok := strings.CutPrefix(key, s.o.Prefix+"/")
		if !ok {
			return ""
		}
		key = below
	}
	if CheckKey(key) != nil {
		return ""
	}
	return key
}

// Stat implements Store. The digest is what the writer has noted: of what was put in one part, or with a promised one.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	info, _, err := s.head(ctx, key)
	return info, err
}

// head also returns the mark of the put that wrote the object.
func (s *S3) head(ctx context.Context, key string) (Info, string, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, "", err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: s.name(key)})
	if err != nil {
		return Info{}, "", s.failed(ctx, err, "look at", key)
	}
	return Info{Key: key, Size: aws.ToInt64(out.ContentLength), Digest: noted(out.Metadata),
		ContentType: aws.ToString(out.ContentType), Modified: aws.ToTime(out.LastModified)}, out.Metadata[markName], nil
}

// noted returns the digest that the writer has noted, if it is one.
func noted(metadata map[string]string) Digest {
	hex := metadata[digestName]
	if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return ""
	}
	return Digest(digestScheme + hex)
}

// Get implements Store. A connection that breaks is made again where it broke, as long as the object is the same.
func (s *S3) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, Info, error) {
	if err := CheckKey(key); err != nil {
		return nil, Info{}, err
	}
	b := &body{ctx: ctx, store: s, key: key, at: max(offset, 0), size: unknownSize}
	out, err := b.connect()
	if err == nil && offset >= 0 {
		return b, Info{Key: key, Size: b.size, Digest: noted(out.Metadata), ContentType: aws.ToString(out.ContentType), Modified: aws.ToTime(out.LastModified)}, nil
	}
	if err == nil {
		_ = b.Close()
	} else if code := codeOf(err); code != "InvalidRange" && code != "416" {
		return nil, Info{}, err
	}
	info, err := s.Stat(ctx, key)
	switch {
	case err != nil:
		return nil, Info{}, err
	case offset == info.Size: // no server has a range for the empty rest
		return &body{at: offset, size: offset}, info, nil
	}
	return nil, Info{}, badOffset(key, offset, info.Size)
}

// unknownSize is that of an object that has not been opened yet.
const unknownSize = -1

// body reads an object to its end over as many connections as it takes.
type body struct {
	ctx    context.Context
	store  *S3
	key    string
	at     int64 // the next byte
	size   int64
	etag   *string // of the object that was opened first
	open   io.ReadCloser
	broken int // connections in a row that brought nothing
}

// maxBroken is how many connections may break in a row without a byte between.
const maxBroken = 3

func (b *body) connect() (*s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: &b.store.o.Bucket, Key: b.store.name(b.key), IfMatch: b.etag}
	if b.at > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", b.at))
	}
	out, err := b.store.client.GetObject(b.ctx, in)
	if err != nil {
		return nil, b.store.failed(b.ctx, err, "read", b.key)
	}
	left := aws.ToInt64(out.ContentLength)
	if b.at > 0 && out.ContentRange == nil {
		_ = out.Body.Close()
		return nil, tasks.WithHint(nil, "use another server", "artifact %s: the server cannot send a part of it", b.key)
	}
	if b.size == unknownSize {
		b.size = b.at + left
	} else if left != b.size-b.at {
		_ = out.Body.Close()
		return nil, tasks.WithHint(nil, "has it been replaced while it was read? Begin anew", "artifact %s: the server sends %d bytes, and %d were to come", b.key, left, b.size-b.at)
	}
	b.etag, b.open = out.ETag, out.Body
	return out, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.at >= b.size {
			return 0, io.EOF
		}
		if b.open == nil {
			if _, err := b.connect(); err != nil {
				return 0, err
			}
		}
		n, err := b.open.Read(p)
		b.at += int64(n)
		if n > 0 {
			b.broken = 0
		}
		if err == nil {
			return n, nil
		}
		_ = b.open.Close()
		b.open = nil
		if n > 0 || b.at >= b.size {
			return n, nil // what there is first; the next call goes on, or says that this was all
		}
		if cause := context.Cause(b.ctx); cause != nil {
			return 0, cause
		}
		if b.broken++; b.broken > maxBroken {
			return 0, tasks.WithHint(err, "is the network all right?", "artifact %s: the connection broke at byte %d of %d", b.key, b.at, b.size)
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.size = b.at
	if b.open == nil {
		return nil
	}
	err := b.open.Close()
	b.open = nil
	return err
}

// List implements Store.
func (s *S3) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	in := &s3.ListObjectsV2Input{Bucket: &s.o.Bucket, Prefix: s.name(prefix)}
	if after != "" {
		in.StartAfter = s.name(after)
	}
	var found []Info
	for len(found) < limit {
		in.MaxKeys = aws.Int32(int32(min(1000, limit-len(found))))
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, s.failed(ctx, err, "list", prefix)
		}
		for _, object := range out.Contents {
			if key := s.key(object.Key); key != "" {
				found = append(found, Info{Key: key, Size: aws.ToInt64(object.Size), Modified: aws.ToTime(object.LastModified)})
			}
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			break
		}
		in.ContinuationToken = out.NextContinuationToken
	}
	return found, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.o.Bucket, Key: s.name(key)})
	if err = s.failed(ctx, err, "delete", key); err != nil && !isNotFound(err) {
		return err
	}
	return nil
}

// Clean implements Store: it aborts uploads that began so long ago. Their bytes are on nobody's list, and on the bill.
func (s *S3) Clean(ctx context.Context, age time.Duration) (int, error) {
	in := &s3.ListMultipartUploadsInput{Bucket: &s.o.Bucket}
	if s.o.Prefix != "" {
		in.Prefix = s.name("")
	}
	removed := 0
	for {
		out, err := s.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return removed, s.failed(ctx, err, "list the unfinished uploads of", s.String())
		}
		for _, u := range out.Uploads {
			if s.key(u.Key) == "" || time.Since(aws.ToTime(u.Initiated)) < age {
				continue
			}
			if err := s.abort(ctx, u); err != nil && !isNotFound(err) {
				return removed, err
			}
			removed++
		}
		if !aws.ToBool(out.IsTruncated) {
			return removed, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

func (s *S3) abort(ctx context.Context, u types.MultipartUpload) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.o.Bucket, Key: u.Key, UploadId: u.UploadId})
	return s.failed(ctx, err, "abort the unfinished upload of", aws.ToString(u.Key))
}
