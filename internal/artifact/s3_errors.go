package artifact

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/smithy-go"

	"github.com/stint-run/stint/tasks"
)

// patience is how long a step waits that a server asks to come back later.
const patience = 5 * time.Second

// codeOf returns what a server called an error, or else its status; "" of other errors.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError" {
		return api.ErrorCode()
	}
	if status := statusOf(err); status != 0 {
		return strconv.Itoa(status)
	}
	return ""
}

func statusOf(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		return response.HTTPStatusCode()
	}
	return 0
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// failed gives an error of a server, or on the way to it, its message and hint; nil stays nil.
func (s *S3) failed(ctx context.Context, err error, doing, key string) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause // the client's own words for it are long, and other than errors.Is expects
	}
	code, status := codeOf(err), statusOf(err)
	switch code {
	case "NoSuchKey", "NotFound", "404":
		return notFound(key, err)
	case "NoSuchUpload":
		return tasks.WithHint(errors.Join(ErrNotFound, err), "it was cleaned up while it ran: try again", "bucket %s: the upload of %s is gone", s.o.Bucket, key)
	}
	err = tasks.WithHint(err, s.hint(err, code, status), "bucket %s: cannot %s %s", s.o.Bucket, doing, key)
	if code == "SlowDown" || status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		return tasks.RetryAfter(err, patience)
	}
	return err
}

// hint says what to do about an error.
func (s *S3) hint(err error, code string, status int) string {
	switch code {
	case "NoSuchBucket":
		return "make the bucket " + s.o.Bucket + ", or correct artifacts.url"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return "correct artifacts.access_key and artifacts.secret_key"
	case "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem":
		return "the access key needs the rights to get, put, list and delete objects, and to list and abort uploads, in " + s.String()
	case "RequestTimeTooSkewed", "RequestExpired":
		return "let this machine and the server follow a time server: their clocks are too far apart"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "MovedPermanently", "TemporaryRedirect", "IllegalLocationConstraintException":
		return "the bucket is in another region: set region=NAME in artifacts.url, it says " + s.o.Region + " now"
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return "it was damaged on its way: try again"
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "StorageFull":
		return "the server is full: make room there"
	case "EntityTooLarge":
		return "the server takes no file so large: write it in smaller ones"
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return "set artifacts.ca to the file of the certificates that the server's is checked against"
	case errors.As(err, &host):
		return "the server's certificate is for another name: correct the endpoint in artifacts.url, or set path_style=true in it"
	case errors.As(err, &dns):
		return "correct the endpoint in artifacts.url; where the bucket's name is not part of a host's name set path_style=true"
	}
	var network net.Error
	switch {
	case status == http.StatusForbidden:
		return "does the access key have the rights to this bucket?"
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return "the server sends the request elsewhere: correct region and endpoint in artifacts.url"
	case status == http.StatusInsufficientStorage:
		return "the server is full: make room there"
	case status == 0 && errors.As(err, &network):
		return "is the server running, and the endpoint in artifacts.url right?"
	}
	return ""
}
