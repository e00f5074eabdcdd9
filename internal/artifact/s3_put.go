package artifact

import (
	"bytes"
	"context"
	"crypto/md5" // what Content-MD5 asks for: it finds damage, not forgery
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stint-run/stint/tasks"
)

// What is noted beside an object.
const (
	digestName = "sha256" // 64 hex digits
	// markName is a word by which a put knows its own object again, when the answer of the server was lost and the request,
	// sent again, says that there is one already.
	markName = "stint-put"
)

// conflictTries is how often a put is tried again that the server could not decide between rivals.
const conflictTries = 5

// putting is one Put.
type putting struct {
	s        *S3
	key      string
	o        PutOptions
	in       *intake
	mark     string
	partSize int
}

// Put implements Store. It holds one part in memory. IfAbsent is decided by the server (If-None-Match); one that does not know
// this is asked before, and two writers at the same moment may then both win.
func (s *S3) Put(ctx context.Context, key string, r io.Reader, o PutOptions) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	p := &putting{s: s, key: key, o: o, in: newIntake(ctx, key, r, o.MaxBytes), mark: rand.Text(),
		partSize: max(s.o.PartSize, int(o.Size/(maxParts-1000)))}
	if o.IfAbsent { // so that nothing large is sent for nothing
		switch _, _, err := s.head(ctx, key); {
		case err == nil:
			if _, err := io.Copy(io.Discard, p.in); err != nil {
				return Info{}, p.unreadable(err)
			}
			return p.in.info(o), exists(key)
		case !isNotFound(err):
			return Info{}, err
		}
	}
	first, last, err := p.fill(nil)
	if err != nil {
		return Info{}, err
	}
	if last {
		err = p.single(ctx, first)
	} else {
		err = p.multipart(ctx, first)
	}
	info := p.in.info(o)
	if errors.Is(err, ErrExists) && p.isOurs(ctx) {
		err = nil
	}
	return info, err
}

// putBlindly puts if absent without a look before: it is ErrExists where the server decides so.
func (s *S3) putBlindly(ctx context.Context, key string, content []byte) error {
	p := &putting{s: s, key: key, o: PutOptions{IfAbsent: true}, in: newIntake(ctx, key, bytes.NewReader(content), 0), mark: rand.Text(), partSize: s.o.PartSize}
	first, _, err := p.fill(nil)
	if err != nil {
		return err
	}
	return p.single(ctx, first)
}

// fill reads a part into a buffer, which grows as it is needed, and says whether it was the last.
func (p *putting) fill(buf []byte) ([]byte, bool, error) {
	buf = buf[:0]
	for len(buf) < p.partSize {
		if len(buf) == cap(buf) {
			larger := make([]byte, len(buf), min(max(64<<10, 2*cap(buf)), p.partSize))
			copy(larger, buf)
			buf = larger
		}
		n, err := p.in.Read(buf[len(buf):min(cap(buf), p.partSize)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, true, nil
		}
		if err != nil {
			return nil, false, p.unreadable(err)
		}
	}
	return buf, false, nil
}

func (p *putting) unreadable(err error) error {
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("read what is to be artifact %s: %w", p.key, err)
}

// metadata returns what is noted; digest may be unknown.
func (p *putting) metadata(digest Digest) map[string]string {
	m := map[string]string{markName: p.mark}
	if digest != "" {
		m[digestName] = digest.Hex()
	}
	return m
}

func (p *putting) contentType() *string {
	if p.o.ContentType == "" {
		return nil
	}
	return aws.String(p.o.ContentType)
}

// condition returns what If-None-Match is to say.
func (p *putting) condition() *string {
	if !p.o.IfAbsent || p.s.unconditional.Load() {
		return nil
	}
	return aws.String("*")
}

// conditionally sends a request until the server has decided whether it comes first.
func (p *putting) conditionally(ctx context.Context, send func(condition *string) error) error {
	for try := 1; ; try++ {
		condition := p.condition()
		err := send(condition)
		switch code := codeOf(err); {
		case err == nil:
			return nil
		case condition != nil && (code == "PreconditionFailed" || code == "412"):
			return exists(p.key)
		case condition != nil && (code == "NotImplemented" || code == "501"):
			p.s.unconditional.Store(true)
		case condition != nil && code == "ConditionalRequestConflict" && try < conflictTries:
			if err := wait(ctx, time.Duration(try)*100*time.Millisecond); err != nil {
				return err
			}
		default:
			return p.s.failed(ctx, err, "write", p.key)
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// single sends all in one request.
func (p *putting) single(ctx context.Context, content []byte) error {
	if err := p.in.keeps(p.o); err != nil {
		return err
	}
	in := &s3.PutObjectInput{Bucket: &p.s.o.Bucket, Key: p.s.name(p.key), ContentType: p.contentType(), ContentMD5: md5Of(content),
		ContentLength: aws.Int64(int64(len(content))), Metadata: p.metadata(digestSum(p.in.hash))}
	return p.conditionally(ctx, func(condition *string) error {
		in.Body, in.IfNoneMatch = bytes.NewReader(content), condition
		_, err := p.s.client.PutObject(ctx, in)
		return err
	})
}

func md5Of(b []byte) *string {
	sum := md5.Sum(b)
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

// multipart sends one part after the other, the first of which has been read already.
func (p *putting) multipart(ctx context.Context, buf []byte) (err error) {
	created, err := p.s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &p.s.o.Bucket, Key: p.s.name(p.key),
		ContentType: p.contentType(), Metadata: p.metadata(p.o.Digest)})
	if err != nil {
		return p.s.failed(ctx, err, "begin the upload of", p.key)
	}
	defer func() {
		if err == nil {
			return
		}
		// Where this fails Clean is the second net.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = p.s.abort(ctx, types.MultipartUpload{Key: p.s.name(p.key), UploadId: created.UploadId})
	}()
	var parts []types.CompletedPart
	for last := false; ; {
		number := aws.Int32(int32(len(parts) + 1))
		if *number > maxParts {
			return tasks.WithHint(ErrTooLarge, "write it in smaller files", "artifact %s has more than %d parts of %d MiB", p.key, maxParts, p.partSize>>20)
		}
		sent, err := p.s.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &p.s.o.Bucket, Key: p.s.name(p.key), UploadId: created.UploadId,
			PartNumber: number, Body: bytes.NewReader(buf), ContentLength: aws.Int64(int64(len(buf))), ContentMD5: md5Of(buf)})
		if err != nil {
			return p.s.failed(ctx, err, "write", p.key)
		}
		parts = append(parts, types.CompletedPart{ETag: sent.ETag, PartNumber: number})
		if last {
			break
		}
		if buf, last, err = p.fill(buf); err != nil {
			return err
		}
		if last && len(buf) == 0 {
			break
		}
	}
	if err := p.in.keeps(p.o); err != nil {
		return err
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: &p.s.o.Bucket, Key: p.s.name(p.key), UploadId: created.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}
	err = p.conditionally(ctx, func(condition *string) error {
		in.IfNoneMatch = condition
		_, err := p.s.client.CompleteMultipartUpload(ctx, in)
		return err
	})
	// An upload that is gone may have been completed by the request whose answer was lost.
	if err != nil && codeOf(err) == "NoSuchUpload" && p.isOurs(ctx) {
		return nil
	}
	return err
}

// isOurs reports whether the object that is there was written by this put.
func (p *putting) isOurs(ctx context.Context) bool {
	_, mark, err := p.s.head(ctx, p.key)
	return err == nil && mark == p.mark
}
