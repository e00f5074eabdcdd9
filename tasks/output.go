package tasks

import (
	"context"
	"errors"
	"io"
)

// Outputter gives out the files that a job leaves behind, such as an analysis. Like Rejecter it is asked by the API, in any process
// that knows the family.
type Outputter interface {
	// Outputs lists the files that are whole, in an order that is always the same; none while there are none yet. It changes nothing.
	Outputs(ctx context.Context, job Job) ([]Output, error)
	// OpenOutput opens one of them by its name; the caller closes it. A name that Outputs does not list is ErrNoOutput. The Output is
	// of the bytes that are read.
	OpenOutput(ctx context.Context, job Job, name string) (io.ReadCloser, Output, error)
}

// ErrNoOutput is the error of a job that has no file of that name, or not yet.
var ErrNoOutput = errors.New("no such output")

// Output is a file that a job has left behind. It does not change any more, unless the job begins anew.
type Output struct {
	Name        string `json:"name" doc:"The name of the file, without a folder"`
	Size        int64  `json:"size" doc:"Bytes"`
	Digest      string `json:"digest,omitempty" doc:"sha256: and 64 hex digits; left out where it is not known"`
	ContentType string `json:"content_type,omitempty" doc:"A MIME type; left out where it is not known"`
}
